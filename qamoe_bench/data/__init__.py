"""Data sets: the embedded synthetic one, and readers for the feature files that the field shares.

Start with `open.py`: `open_dataset` takes a name or a path and returns a `Dataset` (`dataset.py`). A file passes
through three steps: a reader in `readers/` returns its unmodified content as a `Source` (`source.py`), `cleaning.py`
turns that into finite, back-padded splits with centred labels (`labels.py`), as the user chose (`options.py`), and
`digest.py` identifies the result. `folder/` holds the project's own memory-mapped format, `pickles/` unpickles
untrusted files safely, `synthetic/` defines the embedded data set and its Bayes-optimal predictor, and `text/`
tokenises raw text for language models.
"""
