"""Readers of the layouts in which the field shares features."""
