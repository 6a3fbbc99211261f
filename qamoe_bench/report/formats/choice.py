"""The formats that `--format` accepts, by name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.report.formats.latex import latex
from qamoe_bench.report.formats.markdown import markdown
from qamoe_bench.report.formats.plain import plain_text
from qamoe_bench.report.records import as_csv, as_json
from qamoe_bench.report.table import Chapter

OF_CHAPTERS: Mapping[str, Callable[[Sequence[Chapter]], str]] = {
    "terminal": plain_text,  # in pipes and files; on a terminal, `formats.terminal` prints with styles
    "markdown": markdown,
    "latex": latex,
}
OF_RECORDS: Mapping[str, Callable[[Iterable[Analysis]], str]] = {"json": as_json, "csv": as_csv}
PAGE = "html"
"""The page of `qamoe_bench.page`, which is built from cells because it shows several dialects."""
FORMATS = (*OF_CHAPTERS, *OF_RECORDS, PAGE)
BY_SUFFIX: Mapping[str, str] = {
    ".txt": "terminal", ".md": "markdown", ".markdown": "markdown", ".tex": "latex", ".json": "json", ".csv": "csv",
    ".html": PAGE, ".htm": PAGE,
}  # fmt: skip
"""The format of a file by the end of its name."""


def format_by_ending(output: Path | None, name: str = "") -> str:
    """The format of a file, or of standard output.

    Args:
        output: The file; None for standard output.
        name: The format that the user named; if empty, the end of the file's name decides.

    Raises:
        BenchError: If both name different formats, or if neither does.
    """
    suffix = output.suffix.lower() if output is not None else ""
    by_suffix = BY_SUFFIX.get(suffix, "")
    if name and by_suffix not in ("", name):
        raise BenchError(
            f"--format {name} with --output {output}: expected one format, got {name} and {by_suffix}; leave out "
            "--format, or give the file another ending"
        )
    if suffix and not name and not by_suffix:
        raise BenchError(
            f"--output {output}: expected a name that ends in {', '.join(BY_SUFFIX)}, got {suffix!r}; rename the file, "
            "or add --format"
        )
    return name or by_suffix or "terminal"


def check_format(name: str, *, of_tables: bool = False) -> None:
    """Check that a format exists, or with `of_tables` that it is a format of tables.

    Raises:
        BenchError: if it does not.
    """
    known = tuple(OF_CHAPTERS) if of_tables else FORMATS
    if name not in known:
        raise unknown_name("format", name, known)
