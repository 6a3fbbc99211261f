"""Unpickling without trust: arrays, lists, dicts, text and numbers, and nothing that could act.

A pickle is a program. Three guards stand between it and the interpreter:

    opcodes   are walked, without executing them, before the C unpickler starts (`pickle_opcodes`)
    names     every global that it may name is replaced by a stand-in of ours; no other name is resolved, so there is
              nothing to call that could do more than build an array (`pickle_names`)
    state     of an array is checked by its stand-in before NumPy sees it

So memory stays in proportion to the size of the file.
"""

import pickle
from pathlib import Path

from qamoe_bench.data.pickles.names import ALLOWED, printable
from qamoe_bench.data.pickles.opcodes import DamagedError, RefusedError, walk_file
from qamoe_bench.errors import BenchError


def load(path: Path) -> object:
    """The object in a pickle file, made of dicts, lists, tuples, sets, text, bytes, numbers and NumPy arrays only.

    Arrays come as read-only instances of an `ndarray` subclass, NumPy scalars as Python numbers and text, ordered dicts
    as dicts. Pickles of Python 2 and of NumPy 1 are read too.

    Raises:
        BenchError: The file cannot be read, is no complete pickle, or refers to anything else. Nothing was executed.
    """
    try:
        if not path.is_file():
            raise BenchError(f"{path}: expected a pickle file, got {_instead(path)}; check the path")
        with path.open("rb") as file:
            walk_file(file)
            # Python 2 wrote array bytes as strings, which only latin1 gives back unchanged.
            return _Unpickler(file, encoding="latin1").load()
    except BenchError:
        raise
    except OSError as error:
        raise BenchError(
            f"{path}: expected a readable file, got {error.strerror}; check the path and who may read it"
        ) from error
    except RefusedError as error:
        raise BenchError(
            f"{path}: expected a pickle of arrays, lists, dicts, text and numbers only, got one that {error}; nothing "
            "was executed; if you trust its source, save its content again as plain NumPy arrays"
        ) from error
    except Exception as error:  # a hostile or broken pickle can raise anything; none of it is a bug of ours
        raise BenchError(
            f"{path}: expected a complete pickle, got something else or a damaged one ({_reason(error)}); choose "
            "another file or fetch this one again"
        ) from error


def _instead(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "something that is not a regular file" if path.exists() else "nothing there"


def _reason(error: Exception) -> str:
    """What went wrong, in one short line of printable characters."""
    text = f"{type(error).__name__}: {error}" if not isinstance(error, DamagedError) else str(error)
    return printable(text, 120)


class _Unpickler(pickle.Unpickler):
    """The C unpickler, which asks here for every global."""

    def find_class(self, module: str, name: str) -> object:
        """The stand-in for a name on the list; dotted names are not on it."""
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise RefusedError(f"refers to {printable(f'{module}.{name}', 80)}") from None
