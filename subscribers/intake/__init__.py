"""People from a file: read, understood, stored, and taken back where that was a mistake."""
