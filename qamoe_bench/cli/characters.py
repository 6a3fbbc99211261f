"""Output where the terminal or pipe cannot show every character: look-alikes in ASCII instead of an error.

Python raises an error when it prints `Δ` or `棒` to a stream in ASCII or in a code page of Windows. Here such a
character becomes its name, its letter without accents, or a look-alike, and a question mark if it has none of them.
"""

import codecs
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from qamoe_bench.report.escaping import escaped

if TYPE_CHECKING:
    from qamoe_bench.report.table import Chapter, Table

LOOK_ALIKES = {
    "≈": "~", "±": "+-", "×": "x", "÷": "/", "−": "-", "–": "-", "—": "-", "─": "-", "│": "|", "≤": "<=", "≥": ">=",
    "≠": "!=", "→": "->", "←": "<-", "·": ".", "•": "*", "∞": "inf", "√": "sqrt", "‘": "'", "’": "'", "“": '"',
    "”": '"', "▁": "_", "▂": ".", "▃": ",", "▄": "-", "▅": "=", "▆": "+", "▇": "*", "█": "#", "ß": "ss", "✓": "v",
    "✗": "x", "µ": "u",
}  # fmt: skip
"""ASCII for characters whose name and decomposition give none; blocks of curves keep their order of height."""
ERRORS = "qamoe-bench-look-alikes"
"""Name of the error handler of streams and `str.encode`."""


def look_alike(character: str) -> str:
    """ASCII that stands for a character; a question mark if nothing does."""
    if character in LOOK_ALIKES:
        return LOOK_ALIKES[character]
    name = unicodedata.name(character, "").split()
    if name[:1] == ["GREEK"] and len(name) >= 4:  # such as GREEK SMALL LETTER ETA
        letter = name[3].replace("LAMDA", "LAMBDA")  # Unicode's spelling
        return letter.capitalize() if name[1] == "CAPITAL" else letter.lower()
    # An accented letter is a letter and its accent; ² is a compatible form of 2.
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"


def _with_look_alikes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(look_alike, error.object[error.start : error.end])), error.end


codecs.register_error(ERRORS, _with_look_alikes)


def prepare_streams() -> None:
    """Make standard output and standard error replace what they cannot encode, half surrogates included."""
    for stream in (sys.stdout, sys.stderr):
        # Other objects may stand in for the streams, and programs without a terminal have none.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)


def shows_everything() -> bool:
    """Whether standard output encodes every character."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf")


def showable_table(table: "Table") -> "Table":
    """A table as standard output can show it, replaced before the layout, so that columns stay aligned."""
    return _changed_table(table, _showable)


def showable_chapter(chapter: "Chapter") -> "Chapter":
    """A chapter as standard output can show it."""
    return _changed_chapter(chapter, _showable)


def harmless_chapter(chapter: "Chapter") -> "Chapter":
    """A chapter for a file, which can hold every character, without those that steer a terminal."""
    return _changed_chapter(chapter, escaped)


def _changed_chapter(chapter: "Chapter", change: Callable[[str], str]) -> "Chapter":
    return replace(
        chapter,
        heading=change(chapter.heading),
        verdict=change(chapter.verdict),
        lines=tuple(map(change, chapter.lines)),
        tables=tuple(_changed_table(table, change) for table in chapter.tables),
    )


def _changed_table(table: "Table", change: Callable[[str], str]) -> "Table":
    return replace(
        table,
        title=change(table.title),
        header=tuple(map(change, table.header)),
        rows=tuple(tuple(map(change, row)) for row in table.rows),
        notes=tuple(map(change, table.notes)),
        reference=tuple(map(change, table.reference)),
    )


def _showable(text: str) -> str:
    return escaped(text) if shows_everything() else _in_encoding(escaped(text), sys.stdout.encoding)


@lru_cache(maxsize=4096)
def _in_encoding(text: str, encoding: str) -> str:
    return text.encode(encoding, ERRORS).decode(encoding)
