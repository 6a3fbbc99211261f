"""Every figure that a store gives, as files."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.figures.curves import curves
from qamoe_bench.figures.drawing import TYPES, FigureKind, content
from qamoe_bench.figures.forest import forests
from qamoe_bench.figures.landscape import landscapes
from qamoe_bench.figures.pareto import paretos
from qamoe_bench.figures.points import points
from qamoe_bench.figures.quality import qualities
from qamoe_bench.figures.style import WIDTHS, styled
from qamoe_bench.store.atomic import write_atomic

FIGURE_KINDS: Mapping[str, FigureKind] = {
    "curves": curves,
    "points": points,
    "landscape": landscapes,
    "differences": forests,
    "quality": qualities,
    "pareto": paretos,
}


@dataclass(frozen=True)
class Choice:
    """What to draw and how; everything where nothing is said of kinds.

    Attributes:
        kinds: Of `FIGURE_KINDS`.
        widths: Of `qamoe_bench.figures.style.WIDTHS`.
        types: Of `qamoe_bench.figures.drawing.TYPES`.
        multiply_adds: By model, in G per sample; where they are given, they are the cost in `pareto`.
    """

    kinds: Sequence[str] = ()
    widths: Sequence[str] = ("one",)
    types: Sequence[str] = ("png",)
    multiply_adds: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        for what, names, known in (
            ("kind of figure", self.kinds, FIGURE_KINDS),
            ("width", self.widths, WIDTHS), ("type of file", self.types, TYPES),
        ):  # fmt: skip
            for name in names:
                if name not in known:
                    raise unknown_name(what, name, known)


def draw(found: Iterable[Analysis], choice: Choice, folder: Path) -> Iterator[Path]:
    """Write the figures of every section, each with its caption beside it as text; yields each file once written.

    Raises:
        BenchError: when the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"--output {folder}: cannot be made ({error.strerror}); name a folder") from error
    taken: set[str] = set()
    with styled():
        for analysis in found:
            for kind in choice.kinds or FIGURE_KINDS:
                for width in choice.widths:
                    yield from _drawn(analysis, kind, width, choice, folder, taken)


def _drawn(found: Analysis, kind: str, width: str, choice: Choice, folder: Path, taken: set[str]) -> Iterator[Path]:
    make = partial(paretos, multiply_adds=choice.multiply_adds) if kind == "pareto" else FIGURE_KINDS[kind]
    for drawing in make(found, WIDTHS[width]):
        words = (found.section.dataset, found.section.protocol, kind, drawing.name, f"{width}-column")
        name = _free("-".join(re.sub(r"[^\w.]+", "_", word) for word in words if word), taken)
        for type in choice.types:
            write_atomic(folder / f"{name}.{type}", content(drawing.figure, type))
            yield folder / f"{name}.{type}"
        write_atomic(folder / f"{name}.txt", f"{drawing.caption}\n".encode())


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where another section (other data, another definition) has it already."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    taken.add(found)
    return found
