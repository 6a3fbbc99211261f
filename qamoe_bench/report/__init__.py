"""Tables of what an analysis holds."""
