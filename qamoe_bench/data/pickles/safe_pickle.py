"""Safe unpickling of untrusted files: loading one cannot execute code.

A pickle is a program for the unpickler. Three checks restrict it to building arrays, containers, text and numbers:

    opcodes   are scanned, without executing them, before the C unpickler starts (`opcodes.py`)
    names     of globals are resolved only if they are on a list, to stand-ins that can do nothing but build arrays and
              containers (`names.py`)
    state     of an array is checked by its stand-in before NumPy uses it (`names.py`)

Memory stays in proportion to the size of the file.
"""

import io
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qamoe_bench.data.pickles.names import ALLOWED, printable
from qamoe_bench.data.pickles.opcodes import DamagedError, RefusedError, scan, scan_file
from qamoe_bench.errors import BenchError


def load(path: Path) -> object:
    """The object in a pickle file, made of dicts, lists, tuples, sets, text, bytes, numbers and NumPy arrays only.

    Arrays are returned as read-only instances of an `ndarray` subclass, NumPy scalars as Python numbers and text,
    ordered dicts as dicts. Pickles of Python 2 and of NumPy 1 are supported.

    Raises:
        BenchError: The file cannot be read, is no complete pickle, or refers to anything else. Nothing was executed.
    """
    with _one_line_errors(str(path)):
        if not path.is_file():
            raise BenchError(f"{path}: expected a pickle file, got {_kind_of_path(path)}; check the path")
        with path.open("rb") as file:
            scan_file(file)
            # Python 2 wrote array bytes as strings; latin1 maps every byte to the character of the same number.
            return _Unpickler(file, encoding="latin1").load()


def load_bytes(content: bytes, where: str) -> object:
    """The object in a pickle that is a part of a file; see `load`.

    Args:
        content: The pickle.
        where: The file and the part of it, for error messages.

    Raises:
        BenchError: The content is no complete pickle, or refers to anything else. Nothing was executed.
    """
    with _one_line_errors(where):
        scan(content)
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()


@contextmanager
def _one_line_errors(where: str) -> Iterator[None]:
    """Turn whatever a hostile or damaged pickle raises into a `BenchError` of one printable line."""
    try:
        yield
    except (BenchError, MemoryError):
        raise
    except OSError as error:
        raise BenchError(
            f"{where}: expected a readable file, got {error.strerror}; check the path and its permissions"
        ) from error
    except RefusedError as error:
        raise BenchError(
            f"{where}: expected a pickle of arrays, lists, dicts, text and numbers only, got one that {error}; nothing "
            "was executed; if you trust its source, save its content again as plain NumPy arrays"
        ) from error
    except Exception as error:  # a hostile or damaged pickle can raise anything
        damage = error if isinstance(error, DamagedError) else DamagedError(_reason(error))
        raise BenchError(
            f"{where}: expected a complete pickle, got something else or a damaged one ({damage}); {damage.remedy}"
        ) from error


def _kind_of_path(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "something that is not a regular file" if path.exists() else "no such file"


def _reason(error: Exception) -> str:
    """The name and message of an error of the unpickler, in one short line of printable characters."""
    return printable(f"{type(error).__name__}: {error}", 120)


class _Unpickler(pickle.Unpickler):
    """The C unpickler, with globals resolved by a list."""

    def find_class(self, module: str, name: str) -> object:
        """The stand-in for a global; called by the base class for every global in the file."""
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise RefusedError(f"refers to {printable(f'{module}.{name}', 80)}") from None
