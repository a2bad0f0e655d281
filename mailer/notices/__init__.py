"""What we write to people about the service itself: please confirm, welcome."""
