"""The store: a results folder whose files are written completely or not at all, without locks.

Read `store` first: it describes the layout of the folder and holds `Store`. `cell` defines the stored types (`Cell`,
`CellFacts`) and the keys. `folder` lists names and manifests, and `intact` says whether all cells are intact; both need
neither numpy nor Arrow. `stored_cell` reads a finished cell; `checksum`, `identity` and `verification` say what must
hold of one, `agreement` whether two files of one key agree, and `contents` joins what several folders hold. `atomic`
writes files, `new_folder` whole folders, `index` caches the metadata of many files in one, `failures` records cells
that could not be finished, and `selection` keeps the test metrics of every epoch for one diagnosis.
"""
