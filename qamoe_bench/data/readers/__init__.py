"""Readers of the file layouts in which the field shares features. Start with `mmsa.py`, the shortest.

Every reader has `FORMAT`, the name of its layout, and `read`, which returns a `Source`. Readers of pickles (`mmsa`,
`multibench`, `mag`) also have `matches`, which recognises the layout by content; `qamoe_bench.data.open` chooses among
them. `csd.py` reads folders of CMU-MultimodalSDK sequences, with the help of `hdf5.py` (safe HDF5 access), `folds.py`
(which video belongs to which split) and `intervals.py` (alignment in time).
"""
