"""What the scripts of this folder share: stored results, published numbers, and an exhibit made of both.

Run one script for one exhibit, or the folder (`python paper_figures`) for all of them and the README that shows them.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from qamoe_bench.analysis.analyse import Analysis, analyse
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import sections
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.figures.drawing import TYPES, content
from qamoe_bench.figures.style import WIDTHS, styled
from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.report.formats.markdown import markdown
from qamoe_bench.report.formats.plain import plain_text
from qamoe_bench.report.published import PUBLISHED_METRICS, Published, published
from qamoe_bench.report.table import Chapter, Table
from qamoe_bench.statistics.intervals import Estimate, differences
from qamoe_bench.store.cell import ORACLE
from qamoe_bench.store.store import Store, StoredCell, write_atomic

FOLDER = Path(__file__).parent
RESULTS = FOLDER.parent / "results" / "reference"
BROAD = WIDTHS["two"]
MODELS = ("c-mib", "mm-boosting", "sam-lml", "qa-moe", "qa-moe-plus", "late-fusion", "text-only")
"""Rows that are shown where nothing else is said; `mean` says nothing beside the published numbers."""
NAMES = {"c-mib": "C-MIB", "mm-boosting": "MM-Boosting", "sam-lml": "SAM-LML", "qa-moe": "QA-MoE"}
"""What the paper calls the models that are in it."""
SOURCE = "QA-MoE (ACL 2026 long 1461) via two secondary descriptions"

DIFFERS = (
    "Other data: ours is the embedded synthetic set (686 test samples of a known law), theirs CMU-MOSI or CMU-MOSEI. "
    "Values may not be compared across that line, only what happens on each side of it.",
    "Other encoders: ours pool frames of 32 and 16 numbers; theirs fine-tune BERT, and the published table probably "
    "mixes BERT with DeBERTa [inferred].",
    "Other code: `qa-moe` is a reference implementation after secondary descriptions; `mm-boosting` and `sam-lml` are "
    "re-implemented from abstracts and notes. Only `c-mib` is a reproduction.",
    "Other training: all of ours are trained on the whole spectrum of λ and η, with one budget; widths, learning rate "
    "and epochs of QA-MoE are not known.",
    "No standard deviation is published for QA-MoE, so whether its leads are more than chance is not known.",
)
"""Where all exhibits that are of accuracy differ from print, and why."""


class Evidence:
    """A store, read section by section."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def _cells(self) -> list[StoredCell]:
        return Store(self.root).cells()

    def analysis(
        self,
        protocol: str,
        models: Sequence[str] = MODELS,
        metrics: Sequence[str] = ("acc2_non0", "acc7", "mae", "corr"),
    ) -> Analysis:
        """Everything that is computed of some models and the oracle under a protocol.

        Raises:
            BenchError: when the store lacks one of the models there.
        """
        cells = [c for c in self._cells if c.cell.protocol == protocol and c.cell.model in (*models, ORACLE)]
        if lacking := set(models) - {c.cell.model for c in cells}:
            raise BenchError(
                f"{self.root}: expected {', '.join(sorted(lacking))} under {protocol}; 'make reference' makes them"
            )
        found = sections(cells)
        if len(found) > 1:
            raise BenchError(f"{self.root}: expected one data set and one definition of {protocol}, got {len(found)}")
        return analyse(found[0], DIALECTS["mmsa"], metrics)


@dataclass(frozen=True)
class Exhibit:
    """A figure or table of the paper, ours beside what is published.

    Attributes:
        name: Of its files.
        title: What it is.
        caption: What the figure shows, as sentences.
        tables: The numbers.
        differs: Where ours and theirs differ, and why, beside what always does.
        figure: Drawn inside of `styled`.
        always: What always differs.
    """

    name: str
    title: str
    caption: str
    tables: tuple[Table, ...]
    differs: tuple[str, ...]
    figure: Figure
    always: tuple[str, ...] = DIFFERS

    def document(self) -> str:
        """The exhibit as Markdown, to lie beside its picture."""
        return (
            f"# {self.title}\n\n![{self.title}]({self.name}.png)\n\n{self.caption}\n\n"
            f"Where ours and theirs differ, and why:\n\n{listed((*self.differs, *self.always))}\n\n"
        ) + markdown([Chapter("Numbers", (), self.tables)])

    def text(self) -> str:
        """The exhibit as plain text."""
        lines = (self.caption, *(f"- {reason}" for reason in (*self.differs, *self.always)))
        return plain_text([Chapter(self.title, lines, self.tables)])


def listed(reasons: Sequence[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {reason}" for reason in reasons)


def lines(dataset: str, protocol: str, *conditions: str) -> Iterator[Published]:
    """Published lines of a data set under a protocol, at any of the conditions or at all of them."""
    for line in published():
        if (line.dataset, line.protocol) == (dataset, protocol) and (not conditions or line.condition in conditions):
            yield line


def mark(line: Published) -> str:
    """How well a published line is known, as it stands behind each of its numbers."""
    return f"[{line.confidence}]"


def printed(line: Published, column: str) -> str:
    """A published number with its mark; – where there is none."""
    if column not in line.values:
        return "–"
    metric = METRICS[PUBLISHED_METRICS[column]]
    return f"{metric.show(line.values[column] / metric.scale)} {mark(line)}"


def over(found: Analysis, scores: Scores, conditions: Sequence[int]) -> Estimate:
    """Every row's mean over some conditions, (M,), in the unit in which it is stored."""
    some = list(conditions)
    return scores.estimate(lambda x: x[..., some].mean(-1))


def gap(found: Analysis, metric: str, one: str, other: str, conditions: Sequence[int]) -> tuple[float, float, float]:
    """One row minus another in the mean over some conditions, on the same samples, with its 95 % interval, as printed.

    The interval is of this difference alone, not corrected for others.
    """
    scores, some = scores_of(found, metric), list(conditions)
    pair = [(row_of(found, one), row_of(found, other))]
    trained = np.array([row.is_trained for row in found.section.rows])
    numbers = differences(scores.values[..., some].mean(-1), scores.resampled[..., some].mean(-1), pair, trained)
    low, high = numbers.interval()
    scale = scores.metric.scale
    return scale * float(numbers.value[0]), scale * float(low[0]), scale * float(high[0])


def signed(metric: str, numbers: tuple[float, float, float]) -> str:
    """A difference with its interval, as text."""
    kind = METRICS[metric]
    value, low, high = (kind.show_change(x / kind.scale).replace("-", "−") for x in numbers)
    return f"{value} [{low}, {high}]"


def row_of(found: Analysis, model: str) -> int:
    """Index of a model's row."""
    index = found.section.find(model)
    if index is None:
        raise BenchError(f"expected a row {model} under {found.section.protocol}; 'make reference' makes it")
    return index


def corrupted(found: Analysis) -> list[int]:
    """Indices of all conditions but the clean one, over which published averages go."""
    names = list(found.section.conditions)
    whole = found.section.clean if found.section.clean is not None else names.index("all")
    return [i for i in range(len(names)) if i != whole]


def value_with_interval(numbers: Estimate, row: int, metric: str) -> str:
    """A mean with half of its 95 % interval."""
    show, (low, high) = METRICS[metric].show, numbers.interval()
    return f"{show(float(numbers.value[row]))} ± {show(float(high[row] - low[row]) / 2)}"


def scores_of(found: Analysis, metric: str) -> Scores:
    """One of the metrics that were analysed."""
    return next(s for s in found.scores if s.metric.name == metric)


def write(exhibit: Exhibit, folder: Path, types: Sequence[str]) -> None:
    """The figure in every type, and the document beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for type in types:
        write_atomic(folder / f"{exhibit.name}.{type}", content(exhibit.figure, type, dpi=200))
    write_atomic(folder / f"{exhibit.name}.md", exhibit.document().encode())


def arguments(about: str | None) -> argparse.Namespace:
    """What every script understands."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="a store; default: results/reference")
    parser.add_argument("--output", type=Path, default=FOLDER / "output", help="folder; default: paper_figures/output")
    parser.add_argument("--type", action="append", help="png, pdf or svg; repeatable; default: png")
    found = parser.parse_args()
    for type in found.type or ():
        if type not in TYPES:
            raise unknown_name("--type", type, TYPES)
    return found


def main(make: Callable[[Evidence], Exhibit], about: str | None) -> None:
    """Make one exhibit, print it and write it; a user's mistake is one line and exit status 2."""
    try:
        asked = arguments(about)
        with styled():
            exhibit = make(Evidence(asked.results))
            write(exhibit, asked.output, asked.type or ["png"])
        sys.stdout.write(exhibit.text())
        sys.stderr.write(f"wrote {asked.output / exhibit.name}\n")
    except BenchError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
