"""Who may do what, and how users are identified."""
