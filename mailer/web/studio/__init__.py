"""Pages for those who write and send."""
