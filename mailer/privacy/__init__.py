"""What is held on one person, how it is handed to them, how it goes, and how long it stays."""
