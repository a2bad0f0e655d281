"""People written to a file: which of them, what of them, in which form, and on whose word."""
