"""Sample issues and synthetic people."""
