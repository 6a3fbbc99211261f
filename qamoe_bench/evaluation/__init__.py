"""Sweeps: a model through every condition of a protocol, to stored predictions."""
