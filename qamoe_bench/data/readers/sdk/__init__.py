"""Sequences of CMU-MultimodalSDK: folders of `.csd` files, and one HDF5 file of all as MultiBench has it.

Start with `csd.py`. `roles.py` decides which sequence holds labels, words, audio and vision, `folds.py` which video
belongs to which split. `word_alignment.py` reads whole videos and averages frames over words (`intervals.py`), and
`segments.py` reads files that are cut into segments already. `hdf5.py` gives safe access to untrusted files, and
`sequences.py` to the entries of a sequence.
"""
