"""Protocols: named lists of conditions, the corruption kinds that they combine, and the files that define them.

`kinds` has the traits of every corruption kind, `spec` protocols and conditions as data, `level` the type of a level,
`parse` reads the TOML files, `training` how they are trained on, and `documentation` makes the tables of
`protocols/README.md`. Nothing here needs torch.
"""
