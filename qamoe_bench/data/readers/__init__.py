"""Readers of the file layouts in which the field shares features. Start with `arrays.py`, the most common.

Every reader has `read`, which returns a `Source`. `layouts.py` chooses among the layouts of objects in a file: `arrays`
(dicts of arrays by split) and `sample_tuples` (lists of samples); `keys.py` and `splits.py` know the names that the
field gives to arrays and splits, and `foreign.py` what is no data set. `shared_folders.py` chooses among folders: a
file per split or per modality (`several_files.py`), a file per utterance (`utterances.py`, `mmin.py`, `mintrec.py`),
and CMU-MultimodalSDK's sequences (`sdk/`).
"""
