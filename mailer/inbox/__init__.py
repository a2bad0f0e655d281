"""Where mail lands in a demo or a rehearsal."""
