"""What goes to whom, and when."""
