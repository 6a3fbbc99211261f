"""Unpickling of untrusted files without executing them. Start with `safe_pickle.py`, whose `load` is the entry point.

`opcodes.py` scans the instructions of a pickle before it is loaded; `names.py` lists the globals that it may refer to
and the stand-ins that replace them.
"""
