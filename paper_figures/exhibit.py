"""Shared by the scripts of this folder: stored results, published numbers, and exhibits made of both.

Run a script for its exhibit, or the folder (`python paper_figures`) for all of them and the README that shows them.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from qamoe_bench.analysis.analyse import Analysis, analyse_section
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import sections
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.figures.drawing import TYPES, content
from qamoe_bench.figures.style import COLUMN_WIDTHS, styled
from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.report.formats.markdown import markdown
from qamoe_bench.report.formats.plain import plain_text
from qamoe_bench.report.published import PUBLISHED_METRICS, Published, published
from qamoe_bench.report.table import Chapter, Table
from qamoe_bench.statistics.intervals import Estimate, differences
from qamoe_bench.store.atomic import write_atomic
from qamoe_bench.store.cell import ORACLE
from qamoe_bench.store.store import Store, StoredCell

FOLDER = Path(__file__).parent
RESULTS = FOLDER.parent / "results" / "reference"
PAGE_WIDTH = COLUMN_WIDTHS["two"]  # inches
DEFAULT_MODELS = ("c-mib", "mm-boosting", "sam-lml", "qa-moe", "qa-moe-plus", "late-fusion", "text-only")
"""Rows of an exhibit by default; without `mean`, which has no published counterpart."""
PAPER_NAMES = {"c-mib": "C-MIB", "mm-boosting": "MM-Boosting", "sam-lml": "SAM-LML", "qa-moe": "QA-MoE"}
"""The names that the paper uses for its models."""
SOURCE = "QA-MoE (ACL 2026 long 1461) via two secondary descriptions"

GENERAL_DIFFERENCES = (
    "Other data: ours is the embedded synthetic set (686 test samples from a known distribution), theirs CMU-MOSI or "
    "CMU-MOSEI. Values cannot be compared between the two, only trends within each.",
    "Other encoders: ours pool frames of 32 and 16 numbers; theirs fine-tune BERT, and the published table probably "
    "mixes BERT with DeBERTa [inferred].",
    "Other code: `qa-moe` is a reference implementation from secondary descriptions; `mm-boosting` and `sam-lml` are "
    "re-implemented from abstracts and notes. Only `c-mib` is a reproduction.",
    "Other training: all of our models are trained on the whole spectrum of λ and η, with one budget; widths, learning "
    "rate and epochs of QA-MoE are not known.",
    "No standard deviation is published for QA-MoE, so the significance of its leads is not known.",
)
"""Differences from print, with their causes, that hold for all exhibits of accuracy."""


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
        models: Sequence[str] = DEFAULT_MODELS,
        metrics: Sequence[str] = ("acc2_non0", "acc7", "mae", "corr"),
    ) -> Analysis:
        """The analysis of some models and the oracle under a protocol.

        Raises:
            BenchError: if the store lacks one of the models under the protocol.
        """
        cells = [c for c in self._cells if c.cell.protocol == protocol and c.cell.model in (*models, ORACLE)]
        if lacking := set(models) - {c.cell.model for c in cells}:
            raise BenchError(
                f"{self.root}: expected {', '.join(sorted(lacking))} under {protocol}; 'make reference' makes them"
            )
        matches = sections(cells)
        # Numbers of several data sets or definitions must not mix in one exhibit.
        if len(matches) > 1:
            raise BenchError(f"{self.root}: expected one data set and one definition of {protocol}, got {len(matches)}")
        return analyse_section(matches[0], DIALECTS["mmsa"], metrics)  # the dialect of the published tables


@dataclass(frozen=True)
class Exhibit:
    """A figure or table of the paper: our results next to the published ones.

    Attributes:
        name: Stem of its files.
        title: Heading.
        caption: Full sentences that describe the figure.
        tables: The numbers of the figure.
        differs: Differences from print with their causes, in addition to `always`.
        figure: Drawn within `styled`.
        always: General differences.
    """

    name: str
    title: str
    caption: str
    tables: tuple[Table, ...]
    differs: tuple[str, ...]
    figure: Figure
    always: tuple[str, ...] = GENERAL_DIFFERENCES

    def document(self) -> str:
        """The exhibit as Markdown that shows the picture from the same folder."""
        return (
            f"# {self.title}\n\n![{self.title}]({self.name}.png)\n\n{self.caption}\n\n"
            f"Differences from the published results, and their causes:\n\n"
            f"{bullet_list((*self.differs, *self.always))}\n\n"
        ) + markdown([Chapter("Numbers", (), self.tables)])

    def text(self) -> str:
        """The exhibit as plain text."""
        lines = (self.caption, *(f"- {reason}" for reason in (*self.differs, *self.always)))
        return plain_text([Chapter(self.title, lines, self.tables)])


def bullet_list(items: Sequence[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {item}" for item in items)


# Published numbers


def published_lines(dataset: str, protocol: str, *conditions: str) -> Iterator[Published]:
    """Published lines of a data set under a protocol, at some conditions, or at all if none are given."""
    for line in published():
        if (line.dataset, line.protocol) == (dataset, protocol) and (not conditions or line.condition in conditions):
            yield line


def mark(line: Published) -> str:
    """The confidence of a published line, as printed after each of its numbers."""
    return f"[{line.confidence}]"


def marked_value(line: Published, column: str) -> str:
    """A published number with its mark; – if there is none."""
    if column not in line.values:
        return "–"
    metric = METRICS[PUBLISHED_METRICS[column]]  # `show` expects shares where the file has percent
    return f"{metric.show(line.values[column] / metric.scale)} {mark(line)}"


def sources(lines: Sequence[Published]) -> tuple[str, ...]:
    """The note that names the sources of published lines, each once."""
    return (f"source: {'; '.join(dict.fromkeys(line.source for line in lines))}",)


# Measured numbers


def mean_over(scores: Scores, conditions: Sequence[int]) -> Estimate:
    """Mean of every row over some conditions, (M,), in the unit in which it is stored."""
    selected = list(conditions)
    return scores.estimate(lambda x: x[..., selected].mean(-1))  # (M, S, C) -> (M, S)


def all_conditions(analysis: Analysis) -> range:
    """Indices of all conditions."""
    return range(len(analysis.section.conditions))


def corrupted(analysis: Analysis) -> list[int]:
    """Indices of all conditions except clean, over which published averages are taken."""
    names = list(analysis.section.conditions)
    clean = (
        analysis.section.clean if analysis.section.clean is not None else names.index("all")
    )  # fixed-missing has names, no levels
    return [i for i in range(len(names)) if i != clean]


def gap(analysis: Analysis, metric: str, one: str, other: str, conditions: Sequence[int]) -> tuple[float, float, float]:
    """One row minus another in the mean over some conditions, on the same samples, with its 95 % interval, as printed.

    The interval is that of a single difference, without a correction for multiple comparisons.
    """
    scores = scores_of(analysis, metric)
    selected = list(conditions)
    pairs = [(row_of(analysis, one), row_of(analysis, other))]
    trained = np.array([row.is_trained for row in analysis.section.rows])  # (M,)
    values, resampled = scores.reduced(lambda x: x[..., selected].mean(-1))  # (M, S) and (R, M, S)
    estimate = differences(values, resampled, pairs, trained, scores.sample_freedom)  # one pair
    low, high = estimate.interval()
    scale = scores.metric.scale
    return scale * float(estimate.value[0]), scale * float(low[0]), scale * float(high[0])


def signed(metric: str, numbers: tuple[float, float, float]) -> str:
    """A difference with its interval, as text."""
    definition = METRICS[metric]
    shown = [definition.show_change(x / definition.scale).replace("-", "−") for x in numbers]
    value, low, high = shown
    return f"{value} [{low}, {high}]"


def row_of(analysis: Analysis, model: str) -> int:
    """Index of the row of a model."""
    index = analysis.section.find(model)
    if index is None:
        raise BenchError(f"expected a row {model} under {analysis.section.protocol}; 'make reference' makes it")
    return index


def scores_of(analysis: Analysis, metric: str) -> Scores:
    """One of the analysed metrics."""
    return next(s for s in analysis.scores if s.metric.name == metric)


def value_with_half_width(estimate: Estimate, row: int, metric: str) -> str:
    """A mean with the half-width of its 95 % interval."""
    show = METRICS[metric].show
    low, high = estimate.interval()
    return f"{show(float(estimate.value[row]))} ± {show(float(high[row] - low[row]) / 2)}"


# Files and the command line


def write_exhibit(exhibit: Exhibit, folder: Path, types: Sequence[str]) -> None:
    """Write the figure in every type, and the document."""
    folder.mkdir(parents=True, exist_ok=True)
    for type in types:
        write_atomic(
            folder / f"{exhibit.name}.{type}", content(exhibit.figure, type, dpi=200)
        )  # small enough for a repository
    write_atomic(folder / f"{exhibit.name}.md", exhibit.document().encode())  # readers never see half a file


def parsed_arguments(about: str | None) -> argparse.Namespace:
    """The arguments that all scripts accept."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="a store; default: results/reference")
    parser.add_argument("--output", type=Path, default=FOLDER / "output", help="folder; default: paper_figures/output")
    parser.add_argument("--type", action="append", help="png, pdf or svg; repeatable; default: png")
    arguments = parser.parse_args()
    for type in arguments.type or ():
        if type not in TYPES:
            raise unknown_name("--type", type, TYPES)
    return arguments


def main(make: Callable[[Evidence], Exhibit], about: str | None) -> None:
    """Make one exhibit, print it and write it; a user's mistake is reported in one line, with exit status 2."""
    try:
        arguments = parsed_arguments(about)
        with styled():
            exhibit = make(Evidence(arguments.results))
            write_exhibit(exhibit, arguments.output, arguments.type or ["png"])
        sys.stdout.write(exhibit.text())
        sys.stderr.write(f"wrote {arguments.output / exhibit.name}\n")
    except BenchError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
