"""All figures of a store, as files."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.learning import learning_curves, learning_point
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.figures.curves import curve_figures
from qamoe_bench.figures.drawing import TYPES, Drawing, FigureKind, content
from qamoe_bench.figures.forest import forest_figures
from qamoe_bench.figures.landscape import landscape_figures
from qamoe_bench.figures.learning import learning_figures
from qamoe_bench.figures.pareto import pareto_figures
from qamoe_bench.figures.points import point_figures
from qamoe_bench.figures.quality import quality_figures
from qamoe_bench.figures.style import COLUMN_WIDTHS, styled
from qamoe_bench.figures.value import value_figures
from qamoe_bench.store.atomic import write_atomic

FIGURE_KINDS: Mapping[str, FigureKind] = {
    "curves": curve_figures,
    "points": point_figures,
    "landscape": landscape_figures,
    "differences": forest_figures,
    "quality": quality_figures,
    "pareto": pareto_figures,
    "value": value_figures,
}
LEARNING = "learning"
"""The kind of figure that joins several sections: learning curves."""


@dataclass(frozen=True)
class Choice:
    """The figures to draw and their files.

    Attributes:
        kinds: Of `FIGURE_KINDS` or `LEARNING`; all kinds if empty.
        widths: Of `qamoe_bench.figures.style.COLUMN_WIDTHS`.
        types: Of `qamoe_bench.figures.drawing.TYPES`.
        multiply_adds: By model, in G per sample; if given, they are the cost in `pareto`.
    """

    kinds: Sequence[str] = ()
    widths: Sequence[str] = ("one",)
    types: Sequence[str] = ("png",)
    multiply_adds: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        """Check all names."""
        _check_names("kind of figure", self.kinds, (*FIGURE_KINDS, LEARNING))
        _check_names("width", self.widths, COLUMN_WIDTHS)
        _check_names("type of file", self.types, TYPES)


def _check_names(noun: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise unknown_name(noun, name, known)


def write_figures(analyses: Iterable[Analysis], choice: Choice, folder: Path) -> Iterator[Path]:
    """Write the figures of every section, then those of learning curves; yields each file once written.

    Each figure has its caption next to it as text.

    Raises:
        BenchError: if the folder cannot be written to.
    """
    _make_folder(folder)
    taken: set[str] = set()  # stems of files
    points = []
    kinds = choice.kinds or (*FIGURE_KINDS, LEARNING)
    with styled():
        for complete in analyses:
            headline = complete.headline
            points.append(learning_point(complete.section, headline, complete.summaries[headline.metric.name]))
            # A metric without any value, such as ACC7 on a scale of percent, has nothing to draw.
            defined = [scores for scores in complete.scores if np.isfinite(scores.values).any()]
            analysis = replace(complete, scores=defined)
            for kind in (kind for kind in kinds if kind != LEARNING):
                for width in choice.widths:
                    drawings = _make(kind, choice)(analysis, COLUMN_WIDTHS[width])
                    place = (analysis.section.dataset, analysis.section.protocol, kind)
                    yield from _write(drawings, place, width, choice, folder, taken)
        for curve in learning_curves(points) if LEARNING in kinds else ():
            for width in choice.widths:
                drawings = learning_figures(curve, COLUMN_WIDTHS[width])
                place = (curve.dataset, curve.protocol, LEARNING)
                yield from _write(drawings, place, width, choice, folder, taken)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"--output {folder}: cannot be created ({error.strerror}); name a folder") from error


def _make(kind: str, choice: Choice) -> FigureKind:
    """What draws a kind of figure of one section."""
    return partial(pareto_figures, multiply_adds=choice.multiply_adds) if kind == "pareto" else FIGURE_KINDS[kind]


def _write(
    drawings: Iterable[Drawing], place: Sequence[str], width: str, choice: Choice, folder: Path, taken: set[str]
) -> Iterator[Path]:
    """Write figures in all types of files; `place` is the data set, the protocol and the kind of figure."""
    for drawing in drawings:
        words = (*place, drawing.name, f"{width}-column")
        # Names of models can contain characters that file systems reject.
        stem = _free_name("-".join(re.sub(r"[^\w.]+", "_", word) for word in words if word), taken)
        for type in choice.types:
            write_atomic(folder / f"{stem}.{type}", content(drawing.figure, type))
            yield folder / f"{stem}.{type}"
        write_atomic(folder / f"{stem}.txt", f"{drawing.caption}\n".encode())  # one caption for all types


def _free_name(name: str, taken: set[str]) -> str:
    """The name, with a number appended if another section (other data, another definition) already has it."""
    free = name
    number = 1
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free)
    return free
