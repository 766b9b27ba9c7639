"""Who may use a proxy."""
