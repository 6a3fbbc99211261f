"""The store: a results folder whose files are written completely or not at all, without locks.

Read `store` first: it describes the layout of the folder and holds `Store` and `StoredCell`. `cell` defines the
stored types (`Cell`, `CellFacts`) and the keys, `atomic` writes files, `new_folder` whole folders,
`index` caches the metadata of many files in one, `failures` records cells that could not be finished, and `selection`
keeps the test metrics of every epoch for one diagnosis.
"""
