"""Who may do what, and how that is found out."""
