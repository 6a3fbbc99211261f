"""TOML files that users write: read from any editor, with one line for what cannot be read."""

import tomllib
from pathlib import Path
from typing import Any

from qamoe_bench.errors import BenchError

OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
"""First bytes of files in other encodings, which editors of Windows offer as `Unicode`."""


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        path: The file; a byte-order mark and line ends of Windows are read.
        what: Name of the file in error messages.

    Raises:
        BenchError: If the file cannot be read, is not in UTF-8, or is not valid TOML.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError for a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise BenchError(f"{what}: cannot be read ({reason}); give the path of a TOML file") from error
    return parse_toml(content, what)


def parse_toml(content: bytes, what: str) -> dict[str, Any]:
    """The content of the bytes of a TOML file; arguments and errors as of `read_toml`."""
    try:
        text = content.decode("utf-8-sig")  # without a byte-order mark, if there is one
    except UnicodeDecodeError as error:
        encoding = OTHER_MARKS.get(content[:2])
        line = content.count(b"\n", 0, error.start) + 1
        got = encoding or f"byte 0x{content[error.start]:02x} in line {line}, which is another encoding"
        raise BenchError(f"{what}: cannot be read: expected UTF-8, got {got}; save the file as UTF-8") from error
    try:
        # TOML allows no lone carriage returns; `read_text` would have translated those of Windows.
        return tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise BenchError(f"{what}: not valid TOML ({error}); correct that line") from error
    except RecursionError as error:
        raise BenchError(f"{what}: not valid TOML (nested too deeply); correct that") from error
