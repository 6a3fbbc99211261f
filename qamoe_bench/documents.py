"""TOML files that users write: read from any editor, with one line for what cannot be read."""

import re
import tomllib
from pathlib import Path
from typing import Any

from qamoe_bench.errors import BenchError

OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
"""First bytes of files in other encodings, which editors of Windows offer as `Unicode`."""
MAX_BYTES = 2**24
"""Largest size of a file; the largest of any use are a thousandth of it."""
MAX_INTEGER = 10**300
"""Integers of TOML are below this number, since those of Python have no bound, and larger ones overflow as floats."""
MAX_PARTS = 100
"""Most parts of a dotted key; Python's reader takes minutes for thousands of them."""

_TOO_MANY_PARTS = re.compile(rf"""(?<![\w"' .-])(?:[\w"' -]+\.){{{MAX_PARTS}}}""")


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        path: The file; a byte-order mark and line ends of Windows are read.
        what: Name of the file in error messages.

    Raises:
        BenchError: If the file cannot be read, is not in UTF-8, is not valid TOML, or is out of all proportion.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # of a device there is no end
    except (OSError, ValueError) as error:  # ValueError for a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise BenchError(f"{what}: cannot be read ({reason}); give the path of a TOML file") from error
    return parse_toml(content, what)


def parse_toml(content: bytes, what: str) -> dict[str, Any]:
    """The content of the bytes of a TOML file; arguments and errors as of `read_toml`."""
    if len(content) > MAX_BYTES:  # first, since nothing else is quick for such a text
        raise BenchError(f"{what}: expected at most {MAX_BYTES} bytes, got more; split the file")
    try:
        text = content.decode("utf-8-sig")  # without a byte-order mark, if there is one
    except UnicodeDecodeError as error:
        encoding = OTHER_MARKS.get(content[:2])
        line = content.count(b"\n", 0, error.start) + 1
        got = encoding or f"byte 0x{content[error.start]:02x} in line {line}, which is another encoding"
        raise BenchError(f"{what}: cannot be read: expected UTF-8, got {got}; save the file as UTF-8") from error
    if _TOO_MANY_PARTS.search(text):
        raise BenchError(f"{what}: expected keys of at most {MAX_PARTS} parts, got more dots; shorten them")
    try:
        # TOML allows no lone carriage returns; `read_text` would have translated those of Windows.
        content_of_file = tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise BenchError(f"{what}: not valid TOML ({error!s:.200}); correct that line") from error
    except ValueError as error:  # a number of thousands of digits, or a date that no calendar has
        raise BenchError(f"{what}: not valid TOML ({error!s:.200}); correct that") from error
    except RecursionError as error:
        raise BenchError(f"{what}: not valid TOML (nested too deeply); correct that") from error
    _check_integers(content_of_file, what)
    return content_of_file


def _check_integers(content: dict[str, Any], what: str) -> None:
    """Refuse integers that TOML does not have."""
    pending: list[Any] = [content]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, int) and abs(value) >= MAX_INTEGER:
            raise BenchError(f"{what}: expected whole numbers of at most 300 digits, got a larger one; correct that")
