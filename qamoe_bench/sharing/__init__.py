"""Sharing results: the stores of several machines become one, and a store becomes one file that others can check.

`merging` joins stores. `layout` describes a bundle, `packing` writes one, and `opening` checks and unpacks one.
"""
