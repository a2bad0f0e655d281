"""Pages for readers: what a link in a letter leads to, and the archive."""
