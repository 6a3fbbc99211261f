"""The ablation of the quality gate: what MAE gains without it, and with the scores of other samples."""

from collections.abc import Iterator
from dataclasses import dataclass

from beside import (
    BROAD,
    SOURCE,
    Evidence,
    Exhibit,
    gap,
    main,
    signed,
)
from matplotlib.figure import Figure
from published_marks import LOOK

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.figures.palette import styles
from qamoe_bench.figures.style import QUIET, blank
from qamoe_bench.report.table import Table

PUBLISHED = 0.359
"""What MAE gains in print when the quality gate is removed [secondary]; on which data is not stated."""
PROTOCOLS = {"random-missing": "missing modalities", "quality-degradation": "noise"}
VARIANTS = ("qa-moe", "qa-moe:feature-nll")


@dataclass(frozen=True)
class Change:
    """A change of MAE with its interval: of which row, what was done to it, under which protocol."""

    row: str
    what: str
    protocol: str
    numbers: tuple[float, float, float]


def make(evidence: Evidence) -> Exhibit:
    """The exhibit."""
    changes = [c for protocol in PROTOCOLS for c in _changes(evidence, protocol)]
    removed = [c for c in changes if c.what == "gate removed"]
    said = " and ".join(f"{signed('mae', c.numbers)} under {PROTOCOLS[c.protocol]}" for c in removed)
    return Exhibit(
        "quality_gate",
        "Ablation of the quality gate",
        "What MAE gains, averaged over all levels, without the gate and with the quality scores of other samples, on "
        "the embedded data; 95 % intervals of each difference on the same samples. Positive: the gate did some good. "
        "`feature-nll` is our variant whose score is trained to know the corruption. The diamond is the published "
        "change.",
        (_ours(changes), _theirs()),
        (
            f"In print MAE rises by {PUBLISHED:.3f} [secondary] without the gate; here by {said}.",
            "As described, the score is trained through the gate only and ends up nearly the same for every sample, so "
            "that there is little to remove (see the exhibit of quality scores).",
            "Which data and protocol the published change is of, and what takes the gate's place, is not stated; ours "
            "leaves out r and the fallback vector together.",
        ),
        _figure(changes),
    )


def _changes(evidence: Evidence, protocol: str) -> Iterator[Change]:
    found = evidence.analysis(protocol, (*VARIANTS, "qa-moe:-quality-gate"), ("mae",))
    whole = range(len(found.section.conditions))
    yield Change("qa-moe", "gate removed", protocol, gap(found, "mae", "qa-moe:-quality-gate", "qa-moe", whole))
    for row in VARIANTS:
        yield Change(row, "scores of other samples", protocol, _shuffled(found, row))


def _shuffled(found: Analysis, row: str) -> tuple[float, float, float]:
    change = found.intervention_effects[row]["shuffled"]
    low, high = change.interval()
    return float(change.value[0]), float(low[0]), float(high[0])


def _name(c: Change) -> str:
    return f"{c.row}: {c.what},\nunder {PROTOCOLS[c.protocol]}"


def _figure(changes: list[Change]) -> Figure:
    figure = blank(BROAD, 2.9)
    axes = figure.add_subplot()
    looks = styles(VARIANTS)
    for place, c in enumerate(changes):
        value, low, high = c.numbers
        colour, filled = looks[c.row].colour, low > 0 or high < 0
        axes.plot([low, high], [place, place], color=colour, linewidth=1.2)
        axes.plot(
            value, place, "o", color=colour, markerfacecolor=colour if filled else "white", markersize=4.5,
            markeredgewidth=1,
        )  # fmt: skip
    axes.plot(PUBLISHED, len(changes), **LOOK)
    axes.axvline(0, color=QUIET, linewidth=0.8)
    axes.set_yticks(range(len(changes) + 1), [*map(_name, changes), "published [secondary]:\ngate removed"])
    axes.set_ylim(len(changes) + 0.5, -0.5)
    axes.set_xlabel("Δ MAE (label units)\n← better without    worse without →")
    axes.set_ylabel("what was done")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    handles = [
        axes.plot([], [], "o-", color=QUIET, label="ours: interval excludes 0")[0],
        axes.plot([], [], "o-", color=QUIET, markerfacecolor="white", label="ours: interval holds 0")[0],
        axes.plot([], [], **LOOK, label="published")[0],
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _ours(changes: list[Change]) -> Table:
    rows = tuple((c.row, c.what, c.protocol, signed("mae", c.numbers)) for c in changes)
    return Table("Ours, synthetic data, measured", ("row", "what was done", "protocol", "Δ MAE [95 % interval]"), rows)


def _theirs() -> Table:
    row = ("QA-MoE", "gate removed", "not stated", f"+{PUBLISHED:.3f} [secondary]")
    return Table("Published", ("method", "what was done", "protocol", "Δ MAE"), (row,), (f"source: {SOURCE}",))


if __name__ == "__main__":
    main(make, __doc__)
