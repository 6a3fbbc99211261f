"""The formats that `--format` accepts, by name."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.errors import unknown_name
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


def check_format(name: str, *, of_tables: bool = False) -> None:
    """Check that a format exists, or with `of_tables` that it is a format of tables.

    Raises:
        BenchError: if it does not.
    """
    known = tuple(OF_CHAPTERS) if of_tables else FORMATS
    if name not in known:
        raise unknown_name("format", name, known)
