"""Functions, classes and modules that code can replace in its process, and that all other code calls.

`torch.nn.functional.linear = mine` changes every model that is computed in this process afterwards.
"""

import builtins
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

LIBRARIES = (
    *("copy", "hashlib", "io", "json", "math", "os", "pathlib", "posixpath", "random", "shutil", "signal", "tempfile"),
    *("threading", "time", "warnings", "numpy", "pyarrow", "safetensors", "scipy", "torch", "qamoe_bench"),
)
"""Top-level modules whose functions are watched, besides Python's built-in ones."""
CLASSES = ("torch.nn.modules", "torch.optim", "qamoe_bench")
"""Packages whose classes are watched as well; those of NumPy and of Python's own modules in C cannot be changed."""

# Bound now, because code that replaces a built-in function would replace it for the restoring code, too.
_callable = callable
_set = setattr
_isinstance = isinstance
_BUILT_IN = frozenset(builtins.__dict__)


@contextmanager
def functions_restored(changed: Callable[[list[str]], None]) -> Iterator[None]:
    """A context that puts back every function, class and module that was replaced or deleted in it.

    What is new stays, such as modules that were imported, unless it hides something: a method of a base class, or a
    built-in function. What a function does inside, such as the state of a cache, is not watched.

    Args:
        changed: Is called at the end with one phrase per library, if anything was replaced.
    """
    modules = dict(sys.modules)
    before = [(place, _callables(place.__dict__), frozenset(place.__dict__)) for place in _places(modules)]
    try:
        yield
    finally:
        # Built-in functions are the first place, so that all that follows can use them again.
        names: dict[str, None] = {}
        for place, functions, known in before:
            for name, function in functions.items():
                if place.__dict__.get(name) is not function:
                    _set(place, name, function)
                    names[f"functions of {_library(place)}"] = None
            for name in place.__dict__.keys() - known:
                if _hides(place, name):
                    delattr(place, name)
                    names[f"functions of {_library(place)}"] = None
        for name, module in modules.items():
            if sys.modules.get(name) is not module:
                sys.modules[name] = module
                names["sys.modules"] = None
        if names:
            changed([*names])


def _callables(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if _callable(value)}


def _hides(place: Any, name: str) -> bool:
    """Whether a new name of a class or module takes the place of what was called so before."""
    if _isinstance(place, type):
        return any(name in base.__dict__ for base in place.__mro__[1:])
    return name in _BUILT_IN


def _places(modules: Mapping[str, ModuleType]) -> list[Any]:
    """The modules and classes that are watched."""
    places: list[Any] = [builtins]
    classes: dict[Any, None] = {pathlib.PurePath: None, pathlib.Path: None}
    for name, module in modules.items():
        # Some entries are None, or objects that import when they are asked for something.
        if type(module) is not ModuleType or name.partition(".")[0] not in LIBRARIES:
            continue
        places.append(module)
        if name.startswith(CLASSES):
            of_module = (value for value in module.__dict__.values() if _isinstance(value, type))
            classes.update((kind, None) for kind in of_module if kind.__module__ == name)
    if "torch" in modules:
        classes[modules["torch"].Tensor] = None
    return [*places, *classes]


def _library(place: Any) -> str:
    name: str = place.__name__ if _isinstance(place, ModuleType) else place.__module__
    return name.partition(".")[0]
