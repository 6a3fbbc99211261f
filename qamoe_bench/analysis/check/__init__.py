"""Comparison of stored results with a reference: the gate that `qamoe-bench check` runs.

`check.compare_stores` matches rows of both stores by name and returns a `Verdict`. `regressions` decides, from paired
predictions, what became significantly worse or slower; `findings` holds the vocabulary of the result.
"""
