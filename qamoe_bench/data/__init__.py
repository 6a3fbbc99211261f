"""Data sets: the embedded one and readers of users' files."""
