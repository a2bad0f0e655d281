"""What readers did."""
