"""Every format of a report, from one analysis."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.errors import unknown_name
from qamoe_bench.report.formats.latex import latex
from qamoe_bench.report.formats.markdown import markdown
from qamoe_bench.report.formats.plain import plain_text
from qamoe_bench.report.records import as_csv, as_json
from qamoe_bench.report.table import Chapter

OF_CHAPTERS: Mapping[str, Callable[[Sequence[Chapter]], str]] = {
    "terminal": plain_text,
    "markdown": markdown,
    "latex": latex,
}
OF_RECORDS: Mapping[str, Callable[[Iterable[Analysis]], str]] = {"json": as_json, "csv": as_csv}
PAGE = "html"
"""The page of `qamoe_bench.page`, which is made from cells and not from one analysis."""
FORMATS = (*OF_CHAPTERS, *OF_RECORDS, PAGE)


def check_format(name: str, *, of_tables: bool = False) -> None:
    """Refuse a format that does not exist, or that has no tables where tables are all there is."""
    known = tuple(OF_CHAPTERS) if of_tables else FORMATS
    if name not in known:
        raise unknown_name("format", name, known)
