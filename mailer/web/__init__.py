"""Pages for readers, marketers and operators."""
