"""Provenance: the environment that a result was computed in, and digests of the code that determines its numbers.

`environment` is the interface: versions, machine, commit and the digest of the engine. `closure` follows the imports of
a module to everything that it runs, and `meaning` reduces a source file to the part that affects what it computes, so
that comments and formatting do not change a digest.
"""
