"""Unpickling files from strangers without executing them."""
