"""Corruption: what a condition does to a batch."""
