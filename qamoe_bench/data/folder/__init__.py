"""The project's own format: a folder of NumPy arrays with a manifest, mapped into memory instead of loaded.

`folder.py` documents the layout and reads it, checking every byte against the manifest (`manifest.py`); `mapped.py`
keeps the memory that the mapped files occupy bounded. `qamoe_bench.curation.convert` writes such folders.
"""
