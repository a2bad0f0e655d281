"""Sending, from an issue to the report on it."""

__version__ = "0.1.0"
