"""Who may call, with what, and how much."""
