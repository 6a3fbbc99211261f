"""Where Python looks for modules: the current folder last, so that files beside the data cannot replace libraries."""

import os
import sys


def put_current_folder_last() -> None:
    """Let `--model package.module:build` be in the current folder, behind the standard library and all packages.

    Python itself puts that folder first for `python -m`: a `torch.py` or `statistics.py` in it would run.
    """
    here = os.path.realpath(os.curdir)
    # A folder that PYTHONPATH names stays where it is: the user has put it there.
    named = [os.path.realpath(folder) for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    if here not in named:
        sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder or os.curdir) != here]
    sys.path.append("")
