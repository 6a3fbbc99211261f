"""From the cells of a store to the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from qamoe_bench import __version__
from qamoe_bench.analysis.clusters import BY_IDS, ClusterRule
from qamoe_bench.analysis.parallel import map_in_order
from qamoe_bench.analysis.section import Section, sections
from qamoe_bench.figures.palette import styles
from qamoe_bench.metrics.choice import MetricChoice
from qamoe_bench.page.chapter import PageChapter, page_chapter
from qamoe_bench.page.document import document
from qamoe_bench.page.provenance import Manifest
from qamoe_bench.page.texts import raw_texts
from qamoe_bench.store.store import StoredCell

# Cells above which a page shows only what compares the models: a reader of forty protocols chooses among them
MOST_CELLS = 4_000


def page(
    cells: Sequence[StoredCell],
    manifests: Sequence[Manifest],
    choice: MetricChoice,
    texts: Path | None = None,
    rule: ClusterRule = BY_IDS,
) -> str:
    """The report of some cells as one page of HTML.

    Args:
        cells: The cells, in any order.
        manifests: Manifests of their runs; those of other runs are ignored.
        choice: The dialect that is shown first and the metrics; the page also has all other dialects that fit the
            labels.
        texts: A data file whose raw texts are shown with individual samples.
        rule: How test samples are assigned to clusters.

    Raises:
        BenchError: for a choice that fits none of the cells, or a file without texts of these samples.
    """
    parts = sections(cells, rule)
    choice.check(section.task for section in parts)  # raises now, before minutes of computation
    # Styles are assigned over all chapters, so that a model looks the same in each.
    looks = styles(sorted({row.name for section in parts for row in section.rows}))
    descriptions = _descriptions(manifests)
    transcripts = _transcripts(parts, texts)
    is_brief = len(cells) > MOST_CELLS

    def chapter(numbered: tuple[int, Section]) -> PageChapter:
        number, section = numbered
        about = descriptions.get((section.cells[0].cell.protocol_digest, section.protocol), {})
        # Names given by users stay out of identifiers: chapters are c0, c1 and so on.
        return page_chapter(f"c{number}", section, about, choice, transcripts, is_brief=is_brief)

    chapters = list(map_in_order(chapter, list(enumerate(parts))))
    # A cell lies in runs/RUN/predictions/.
    runs = {cell.path.parent.parent.name for cell in cells}
    used = [run for run in manifests if run["run"] in runs]
    return document(chapters, used, looks, __version__, brevity(len(cells)) if is_brief else "")


def brevity(cells: int) -> str:
    """What a page of many cells leaves out, and how to see it."""
    return (
        f"This page is of {cells:,} cells. Of more than {MOST_CELLS:,}, a page shows what compares the models, in the "
        "first metric unless --metric names others. The page of a part, as by report --protocol NAME, has the rest: "
        "all metrics and dialects, the landscape, modalities, quality scores, calibration, single samples, keys."
    )


def _descriptions(manifests: Sequence[Manifest]) -> Mapping[tuple[str, str], Manifest]:
    """Title and definition of protocols, by digest and name."""
    descriptions = {}
    for run in manifests:
        for name, protocol in run["protocols"].items():
            descriptions[protocol["digest"], name] = protocol
    return descriptions


def _transcripts(parts: Sequence[Section], texts: Path | None) -> Mapping[str, str]:
    if texts is None:
        return {}
    return raw_texts(texts, {name for section in parts for name in section.cells[0].samples})
