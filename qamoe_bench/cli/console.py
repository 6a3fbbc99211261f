"""Output of commands: results on standard output or in files, everything else on standard error."""

import errno
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from qamoe_bench.cli.characters import ERRORS, harmless_chapter, showable_chapter, shows_everything
from qamoe_bench.errors import BenchError
from qamoe_bench.report.escaping import escaped

if TYPE_CHECKING:
    from qamoe_bench.report.table import Chapter
    from qamoe_bench.store.folder import ResultsFolder
    from qamoe_bench.store.store import Store
    from qamoe_bench.store.stored_cell import DamagedCell, StoredCell

SHOWN_FILES = 3
"""Files that a note lists by name."""
LONG = 2_000
"""Lines of tables from which on a report says how to see less."""
stderr = Console(stderr=True, emoji=False)  # a model may be called a.py:X:k=1
"""Console for progress and messages, so that standard output holds results only."""


def log(message: str) -> None:
    """Print a message to standard error as it is: no markup, no colours, and no added line breaks."""
    stderr.print(escaped(message), highlight=False, markup=False, soft_wrap=True)


def name_ignored(store: "ResultsFolder") -> None:
    """Log the files of a store that look like cells and do not count, such as copies that a cloud made."""
    ignored = store.ignored()
    if ignored:
        names = ", ".join(str(path) for path in ignored[:SHOWN_FILES])
        more = f" and {len(ignored) - SHOWN_FILES} more" if len(ignored) > SHOWN_FILES else ""
        log(f"note: ignored {names}{more}: not named as the store names cells, so copies count once; remove them")


def name_damaged(damaged: "Sequence[DamagedCell]") -> None:
    """Log the files of cells that are damaged and therefore not used."""
    for damage in damaged[:SHOWN_FILES]:
        log(f"note: {damage.note}")
    if len(damaged) > SHOWN_FILES:
        log(f"note: {len(damaged) - SHOWN_FILES} more files are damaged and not used")


def open_stores(results: Sequence[Path] | None) -> "list[Store]":
    """The stores that `--results` names, by default `results`; files in them that are no cells are logged."""
    from qamoe_bench.store.store import Store

    stores = [Store(folder) for folder in results or (Path("results"),)]
    for store in stores:
        name_ignored(store)
    return stores


def cells_in(stores: "Sequence[Store]") -> "Sequence[StoredCell]":
    """The cells of several stores, read as one; damaged ones are logged.

    Raises:
        BenchError: If a store has none, if a file may not be read, or if two files of one key differ.
    """
    from qamoe_bench.store.contents import joined
    from qamoe_bench.store.store import no_cells

    parts = [store.files() for store in stores]
    together = joined(parts)
    name_damaged(together.damaged)
    for store, part in zip(stores, parts, strict=True):
        if not part.cells:
            raise no_cells(store)
    return together.cells


def plain_file(output: Path) -> Path:
    """The file that a path of an option means: through links, and no device or folder.

    Raises:
        BenchError: If something else is there, which a new file would replace.
    """
    try:
        target = output.resolve()  # writing renames a file, which would replace a link
        if target.is_symlink():  # from Python 3.13 on, a circle of links is left as it is
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        is_plain = target.is_file() or not target.exists()
    except (OSError, ValueError, RuntimeError) as error:  # a circle of links, a null character
        raise BenchError(f"cannot write {output} ({error}); name another file") from error
    if not is_plain:
        kind = "a folder" if target.is_dir() else "a device or pipe"
        raise BenchError(
            f"cannot write {output}: expected a file, got {kind}; name a file, or use the shell's > for it"
        )
    return target


def print_or_write(text: str, output: Path | None) -> None:
    """Print a text to standard output, or write it to a file and log the path.

    Raises:
        BenchError: If the file cannot be written.
    """
    if output is None:
        print(text, end="")  # every format ends with a line break
        return
    from qamoe_bench.store.atomic import write_atomic

    write_atomic(plain_file(output), text.encode(errors=ERRORS))
    log(f"wrote {output}")


def print_document_or_write(text: str, output: Path | None) -> None:
    """As `print_or_write`, for documents that are in UTF-8 whatever the encoding of standard output is.

    Raises:
        BenchError: If the file cannot be written.
    """
    if output is not None or shows_everything():
        print_or_write(text, output)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode(errors=ERRORS))


def print_json(content: object) -> None:
    """Print JSON; characters that standard output cannot show become escapes, which programs read back."""
    print(showable_json(json.dumps(content, indent=2, ensure_ascii=False)))


def showable_json(text: str) -> str:
    """JSON in ASCII, with escapes, if standard output does not show every character."""
    # Outside of strings JSON is ASCII, so an escape can stand for any other character.
    return text if shows_everything() else re.sub(r"[^\x00-\x7f]", lambda match: json.dumps(match[0])[1:-1], text)


def print_chapters_as(chapters: "Sequence[Chapter]", format: str, output: Path | None) -> None:
    """Print or write chapters in a format of tables.

    Args:
        chapters: The chapters.
        format: A key of `qamoe_bench.report.formats.choice.OF_CHAPTERS`; `terminal` is styled on a terminal and plain
            text elsewhere.
        output: A file to write to instead of standard output.
    """
    from qamoe_bench.report.formats.choice import OF_CHAPTERS

    if format == "terminal" and output is None and sys.stdout.isatty():
        # Rich tables: styled, and split into pieces that fit the width of the terminal.
        from qamoe_bench.report.formats.terminal import print_chapters, stdout

        _name_length(chapters)
        print_chapters([showable_chapter(chapter) for chapter in chapters], stdout())
    elif format == "terminal" and output is None:
        _name_length(chapters)
        print_or_write(OF_CHAPTERS[format]([showable_chapter(chapter) for chapter in chapters]), None)
    else:
        print_or_write(OF_CHAPTERS[format]([harmless_chapter(chapter) for chapter in chapters]), output)


def _name_length(chapters: "Sequence[Chapter]") -> None:
    """Log how to see less of a report that is longer than anybody reads."""
    lines = sum(len(table.rows) for chapter in chapters for table in chapter.tables)
    if lines > LONG:
        log(
            f"note: {len(chapters)} chapters with {lines:,} lines of tables follow; --overview has one line per "
            "protocol and model, --protocol and --model select, --pager shows page by page"
        )
