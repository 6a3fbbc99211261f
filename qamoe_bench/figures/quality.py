"""Distributions of the quality scores r_m by level, as violins.

Dimension legend: S seeds, V draws, C conditions, N samples, X any number of scores.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.quality_validity import QualityAudit
from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.figures.captions import place
from qamoe_bench.figures.drawing import Drawing
from qamoe_bench.figures.style import BROAD, blank, wrapped
from qamoe_bench.shapes import Float
from qamoe_bench.vocabulary import axis_label

QualityScores = Float[NDArray[np.float64], " X"]
Side = Literal["both", "low", "high"]
"""The half of a violin to draw, in matplotlib's words: `low` is left."""
STATE_STYLES: dict[str, dict[str, Any]] = {
    "present": {"facecolor": "#0072b2", "edgecolor": "#0072b2"},
    "missing": {"facecolor": "#d55e00", "edgecolor": "white", "hatch": "/////"},
}
"""Samples whose modality is present or missing; the hatch distinguishes them without colour."""
MIN_HALF_HEIGHT = 0.02  # in units of the score; violins of a smaller range would be invisible
EXTENTS = {"both": (-0.16, 0.16), "low": (-0.3, 0.0), "high": (0.0, 0.3)}  # of boxes and medians; levels are 1 apart


def quality_figures(analysis: Analysis, width: float) -> Iterator[Drawing]:
    """One figure per row with quality scores, with a panel per modality, if the protocol has exactly one axis."""
    levels = analysis.section.levels
    if len(levels.numbers) < 2 or levels.others:
        return
    for row in analysis.section.rows:
        audits = analysis.quality.get(row.name)
        if audits:
            figure = _figure(analysis.section, row, audits, width)
            row.clear_cache()  # scores of all samples are large
            yield Drawing(row.name, figure, _caption(analysis, row))


def _figure(section: Section, row: Row, audits: Mapping[str, QualityAudit], width: float) -> Figure:
    count = len(audits)
    if width >= BROAD:
        figure = blank(width, 2.3)
        panels = figure.subplots(1, count, squeeze=False, sharex=True, sharey=True)
    else:
        figure = blank(width, 0.8 + 1.2 * count)
        panels = figure.subplots(count, 1, squeeze=False, sharex=True, sharey=True)
    for axes, (modality, audit) in zip(panels.flat, audits.items(), strict=True):
        draw_scores(axes, section, row, modality)
        axes.set_title(panel_title(modality, audit), loc="left")
    for axes in panels[:, 0]:
        axes.set_ylabel("quality score (0 to 1)")
    for axes in panels[-1]:
        axes.set_xlabel(axis_label(section.levels.axis))
    figure.suptitle(wrapped(row.name), fontsize=7.5)
    figure.legend(handles=legend_handles(section), loc="outside lower center", ncols=3)
    return figure


def panel_title(modality: str, audit: QualityAudit) -> str:
    """The modality, and the rank correlation of its score with the corruption."""
    return f"{modality}: ρ = {audit.corruption:+.2f}".replace("-", "−") if np.isfinite(audit.corruption) else modality


def draw_scores(axes: Axes, section: Section, row: Row, modality: str) -> None:
    """Draw a violin at each level, split into present and missing if the protocol removes the modality."""
    levels = section.levels
    sides: dict[str, Side] = {"present": "both", "missing": "both"}
    if has_missing(section, modality):
        sides = {"present": "low", "missing": "high"}
    for position, conditions in enumerate(levels.members):
        for state, scores in quality_scores_of(section, row, modality, conditions).items():
            if scores.size:
                _draw_violin(axes, scores, position, sides[state], STATE_STYLES[state])
    count = len(levels.members)
    step = -(-count // 8)  # at most 8 ticks
    axes.set_xticks(range(0, count, step), [f"{x:g}" for x in levels.numbers[::step]])
    axes.set(ylim=(-0.03, 1.03), xlim=(-0.6, count - 0.4))
    axes.grid(visible=False, axis="x")


def _draw_violin(axes: Axes, scores: QualityScores, position: float, side: Side, look: dict[str, Any]) -> None:
    left, right = EXTENTS[side]
    median = float(np.median(scores))
    if np.ptp(scores) < 2 * MIN_HALF_HEIGHT:
        # Nearly equal scores have no distribution to draw: their median is a line in the colour of the samples.
        ends = [position + left / 2, position + right / 2]
        axes.plot(ends, [median, median], color=look["facecolor"], linewidth=1.8, solid_capstyle="butt", clip_on=False)
        return
    bodies: Any = axes.violinplot([scores], [position], widths=0.85, showextrema=False, side=side)["bodies"]
    bodies[0].set(**look, linewidth=0.3, alpha=0.85)
    ends = [position + left, position + right]
    axes.plot(ends, [median, median], color="black", linewidth=1.1, solid_capstyle="butt")


def quality_scores_of(section: Section, row: Row, modality: str, conditions: Sequence[int]) -> dict[str, QualityScores]:
    """All scores under some conditions, of samples whose modality is present and of those whose modality is missing."""
    columns = list(conditions)
    r = row.column(f"quality_{modality}")[:, :, columns]  # (S, V, C, N)
    shares = [section.realised_by_seed[i].column(f"missing_{modality}") for i in section.seed_indices(row)]
    is_missing = np.concatenate(shares)[:, :, columns] == 1  # (S, V, C, N); the stored value is the share of frames
    return {"present": r[~is_missing].astype(np.float64), "missing": r[is_missing].astype(np.float64)}


def has_missing(section: Section, modality: str) -> bool:
    """Whether any sample loses the whole modality."""
    return any(bool((row.column(f"missing_{modality}") == 1).any()) for row in section.realised_by_seed)


def legend_handles(section: Section) -> list[Any]:
    """Legend entries for the halves of violins and the medians."""
    has_both = any(has_missing(section, m) for m in section.rows[0].modalities)
    states = list(STATE_STYLES) if has_both else ["present"]
    patches = [Patch(**STATE_STYLES[s], linewidth=0.3, alpha=0.85, label=f"modality {s}") for s in states]
    return [*patches, Line2D([], [], color="black", linewidth=1.1, label="median")]


def _caption(analysis: Analysis, row: Row) -> str:
    return (
        f"Distribution of the quality scores of {row.name} under {place(analysis)}, all seeds and test samples; all "
        "violins have the same width, whatever their number of samples. ρ is Spearman's rank correlation of the score "
        "with the corruption of its modality over all levels: −1 is perfect, 0 means no association."
    )
