"""What it amounted to."""
