"""From the cells of a store to the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from qamoe_bench import __version__
from qamoe_bench.analysis.section import sections
from qamoe_bench.figures.palette import styles
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.page.chapter import chapter
from qamoe_bench.page.document import document
from qamoe_bench.page.marks import Look
from qamoe_bench.page.provenance import Manifest
from qamoe_bench.page.texts import raw_texts
from qamoe_bench.report.tables import shown_metrics
from qamoe_bench.store.store import StoredCell


def page(
    cells: Sequence[StoredCell],
    manifests: Sequence[Manifest],
    dialect: Dialect,
    metrics: Sequence[str] = (),
    texts: Path | None = None,
) -> str:
    """Everything that is known of some cells, as one page of HTML.

    Args:
        cells: In any order.
        manifests: Of their runs.
        dialect: The one that is shown first; the page has the others that apply too.
        metrics: As `qamoe_bench.report.tables.shown_metrics` has them.
        texts: A data file whose raw texts are shown beside single samples.

    Raises:
        BenchError: for a metric that the dialect does not define, or a file without texts of these samples.
    """
    shown_metrics(dialect, metrics)
    found = sections(cells)
    words: Mapping[str, str] = {}
    if texts is not None:
        words = raw_texts(texts, {name for section in found for name in section.cells[0].samples})
    looks = styles(sorted({row.name for section in found for row in section.rows}))
    protocols = {(p["digest"], name): p for run in manifests for name, p in run["protocols"].items()}
    chapters = [
        chapter(
            f"c{i}", section, protocols.get((section.cells[0].cell.protocol_digest, section.protocol), {}), dialect,
            metrics, Look(looks), words,
        )
        for i, section in enumerate(found)
    ]  # fmt: skip
    used = {cell.path.parent.parent.name for cell in cells}
    return document(chapters, [run for run in manifests if run["run"] in used], looks, __version__)
