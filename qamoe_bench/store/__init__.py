"""The store: a results folder whose files are written completely or not at all, without locks.

Read `store` first: it describes the layout of the folder and holds `Store` and `StoredCell`. `cell` defines what is
stored (`Cell`, `CellFacts`) and how keys are computed, `atomic` writes files, `index` caches the metadata of many
files in one, `failures` records cells that could not be finished.
"""
