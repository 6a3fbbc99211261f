"""Where the source of a module lies."""

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path


def source_of(module: str) -> Path | None:
    """The file of a module, which need not have been imported.

    None if there is no such module, or if it has no file, like the built-in modules of Python.
    """
    spec = spec_of(module)
    if spec is None or not spec.has_location or not spec.origin:
        return None
    path = Path(spec.origin)
    return path if path.is_file() else None


def spec_of(module: str) -> ModuleSpec | None:
    """How Python finds a module; None if it finds none."""
    # An imported module takes precedence: a script may have changed sys.path only while it imported it.
    loaded = sys.modules.get(module)
    if loaded is not None and loaded.__spec__ is not None:
        return loaded.__spec__
    # What is imported from a module may be a name in it. Python would import the module to look for a submodule.
    parent = module.rpartition(".")[0]
    if parent and parent not in sys.modules:
        outer = spec_of(parent)
        if outer is None or outer.submodule_search_locations is None:
            return None
    try:
        return find_spec(module)
    except (Exception, SystemExit):
        # Looking for a submodule imports its package, whose code may raise anything; then the module cannot be used.
        return None


def is_file(path: Path) -> bool:
    """Whether there is a file; False also for a path that no file can have, for which `Path.is_file` may fail."""
    return os.path.isfile(path)  # noqa: PTH113


def user_cache(name: str) -> Path:
    """A folder of the user's cache; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # unlike Path.home, never fails  # noqa: PTH111
    return Path(base) / "qamoe-bench" / name
