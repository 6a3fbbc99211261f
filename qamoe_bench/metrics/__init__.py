"""Metrics and their dialects: the definitions by which the field computes them."""
