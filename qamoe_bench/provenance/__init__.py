"""Provenance: the environment that a result was computed in, and digests of the code that determines its numbers.

`environment` has versions, machine and commit, and `engine` the digest of all code but the models. `closure` follows
the imports of a module to everything that it runs, `location` finds the files, and `meaning` reduces a source file to
the part that affects what it computes, so that comments and formatting do not change a digest.
"""
