"""What we want to say."""
