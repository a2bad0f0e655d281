"""Tools that know nothing about newsletters."""
