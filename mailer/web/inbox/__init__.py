"""Pages to read what landed in the built-in inbox."""
