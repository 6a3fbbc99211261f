"""Data sets: the embedded synthetic ones, and readers for the feature files that the field shares.

Start with `open.py`: `open_dataset` takes a name or a path and returns a `Dataset` (`dataset.py`). A file passes
through three steps: a reader in `readers/` returns its unmodified content as a `Source` (`source.py`), `cleaning.py`
turns that into finite, back-padded splits (`labels.py` into centred labels, with the user's choices in `options.py`),
and `digest.py` identifies the result. `file_kinds.py`, `unpacking.py` and `contents.py` lead from a file to the objects
in it. `folder/` holds the project's own memory-mapped format, `pickles/` unpickles untrusted files safely, and `text/`
tokenises raw text for language models. `embedded.py` lists the embedded data sets, which `synthetic/` defines together
with their Bayes-optimal predictors.
"""
