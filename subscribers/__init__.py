"""Who may be mailed, and why."""
