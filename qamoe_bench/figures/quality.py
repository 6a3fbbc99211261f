"""Quality scores r_m by level, as violins: what a score knows of the corruption shows in how they part.

Dimension legend: S seeds, V draws, C conditions, N samples.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.audits import QualityAudit
from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.figures.drawing import Drawing
from qamoe_bench.figures.style import BROAD, blank, wrapped
from qamoe_bench.vocabulary import axis_label

Scores = Float[NDArray[np.float64], " X"]
LOOKS: dict[str, dict[str, Any]] = {
    "present": {"facecolor": "#0072b2", "edgecolor": "#0072b2"},
    "missing": {"facecolor": "#d55e00", "edgecolor": "white", "hatch": "/////"},
}
"""Of samples whose modality is there and whose modality is gone; the hatch tells them apart without colour."""
LEAST = 0.02  # half the height that is drawn for nearly equal scores


def qualities(found: Analysis, width: float) -> Iterator[Drawing]:
    """One figure per row that gives quality scores, of a protocol with one axis; a panel per modality."""
    section = found.section
    if len(section.levels.numbers) < 2 or section.levels.others:
        return
    for row in section.rows:
        of = found.quality.get(row.name)
        if not of:
            continue
        broad = width >= BROAD
        figure = blank(width, 2.3 if broad else 0.8 + 1.2 * len(of))
        panels = figure.subplots(*((1, len(of)) if broad else (len(of), 1)), squeeze=False, sharex=True, sharey=True)
        for axes, (modality, known) in zip(panels.flat, of.items(), strict=True):
            draw_scores(axes, section, row, modality)
            axes.set_title(panel_title(modality, known), loc="left")
        for axes in panels[:, 0]:
            axes.set_ylabel("score r (0 to 1)")
        for axes in panels[-1]:
            axes.set_xlabel(axis_label(section.levels.axis))
        figure.suptitle(wrapped(row.name), fontsize=7.5)
        figure.legend(handles=key(section), loc="outside lower center", ncols=3)
        row.clear_cache()
        yield Drawing(row.name, figure, _caption(found, row))


def panel_title(modality: str, known: QualityAudit) -> str:
    """The modality, and how its score ranks with the corruption."""
    return f"{modality}: ρ = {known.corruption:+.2f}".replace("-", "−") if np.isfinite(known.corruption) else modality


def draw_scores(axes: Axes, section: Section, row: Row, modality: str) -> None:
    """A violin at each level; halves where the modality of some samples is gone."""
    split = has_missing(section, modality)
    levels = section.levels
    parts = [scores_of(section, row, modality, members) for members in levels.members]
    for place, of in enumerate(parts):
        for state, scores in of.items():
            if scores.size:
                side: Literal["both", "low", "high"] = {"present": "low", "missing": "high"}[state] if split else "both"  # type: ignore[assignment]
                _violin(axes, scores, place, side, LOOKS[state])
    step = -(-len(parts) // 8)
    axes.set_xticks(range(0, len(parts), step), [f"{x:g}" for x in levels.numbers[::step]])
    axes.set(ylim=(-0.03, 1.03), xlim=(-0.6, len(parts) - 0.4))
    axes.grid(visible=False, axis="x")


def _violin(
    axes: Axes, scores: Scores, place: float, side: Literal["both", "low", "high"], look: dict[str, Any]
) -> None:
    left, right = {"both": (-0.16, 0.16), "low": (-0.3, 0.0), "high": (0.0, 0.3)}[side]
    middle = float(np.median(scores))
    if np.ptp(scores) < 2 * LEAST:  # a violin of nearly equal scores could not be seen
        axes.add_patch(Rectangle((place + left, middle - LEAST), right - left, 2 * LEAST, **look, linewidth=0.3))
    else:
        bodies: Any = axes.violinplot([scores], [place], widths=0.85, showextrema=False, side=side)["bodies"]
        bodies[0].set(**look, linewidth=0.3, alpha=0.85)
    axes.plot([place + left, place + right], [middle] * 2, color="black", linewidth=1.1, solid_capstyle="butt")


def scores_of(section: Section, row: Row, modality: str, conditions: Sequence[int]) -> dict[str, Scores]:
    """All scores under some conditions, of samples whose modality is there and whose modality is gone."""
    r = row.column(f"quality_{modality}")[:, :, list(conditions)]  # (S, V, C, N)
    gone = (
        np.concatenate([section.realised_by_seed[i].column(f"missing_{modality}") for i in section.seed_indices(row)])
        == 1
    )
    gone = gone[:, :, list(conditions)]
    return {"present": r[~gone].astype(np.float64), "missing": r[gone].astype(np.float64)}


def has_missing(section: Section, modality: str) -> bool:
    """Whether any sample loses the whole modality."""
    return any(bool((row.column(f"missing_{modality}") == 1).any()) for row in section.realised_by_seed)


def key(section: Section) -> list[Any]:
    """What halves and bars are."""
    both = any(has_missing(section, m) for m in section.rows[0].modalities)
    states = list(LOOKS) if both else ["present"]
    patches = [Patch(**LOOKS[s], linewidth=0.3, alpha=0.85, label=f"modality {s}") for s in states]
    return [*patches, Line2D([], [], color="black", linewidth=1.1, label="median")]


def _caption(found: Analysis, row: Row) -> str:
    return (
        f"Distribution of the quality scores of {row.name} under {found.section.protocol} on {found.section.dataset}, "
        "all seeds and test samples; each violin has the same width whatever its number of samples. ρ is Spearman's "
        "rank correlation of the score with the known corruption of its modality over all levels: −1 would be perfect, "
        "0 knows nothing."
    )
