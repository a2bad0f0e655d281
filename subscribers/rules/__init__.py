"""Who is in a segment because of what is known of them."""
