"""Corruption: what a condition does to a batch.

`apply` runs the steps of a condition, with one function per kind in `modalities` (whole modalities), `frames`,
`blocks` (exact numbers of frames) and `values`. `state` holds a batch between the steps and the record of what happened
to it. `draws` makes the random numbers, so that masks are nested and every model sees the same corrupted samples. The
traits of the kinds are in `qamoe_bench.protocol.kinds`.
"""
