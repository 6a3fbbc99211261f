"""Comparison of stored results with a reference."""
