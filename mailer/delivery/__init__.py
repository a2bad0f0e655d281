"""Each edition out of the door, once."""
