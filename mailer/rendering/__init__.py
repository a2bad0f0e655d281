"""Issue and theme into an edition; edition and reader into bytes."""
