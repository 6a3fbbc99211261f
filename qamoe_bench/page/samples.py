"""Sample by sample: the answers that a row gets most wrong, with what happened to the sample on the way."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np

from qamoe_bench.analysis.hard_samples import Fall, worst
from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.page.figure import listed, plain
from qamoe_bench.page.marks import axis_title, rows, specification, tips
from qamoe_bench.vocabulary import axis_symbol

ABSENT = "Single samples are left out: there is neither an untouched condition nor a control to compare with."
MOST = 8  # samples for each row and comparison
STEPS = 16  # conditions along which a sample is followed


def samples(section: Section, texts: Mapping[str, str]) -> dict[str, Any] | None:
    """Everything that the page shows of them; None where there is nothing to compare."""
    falls = worst(section, MOST)
    if not falls:
        return None
    return {
        "modalities": section.realised_by_seed[0].modalities,
        "falls": [_told(section, fall, texts) for fall in falls],
    }


def path_spec() -> dict[str, Any]:
    """The answers to one sample along the sweep, beside its label; the page puts in the looks of the rows."""
    x = alt.X("x:O", title="condition", sort=None, axis=alt.Axis(labelAngle=-40, labelOverlap=True, labelLimit=120))
    y = alt.Y("value:Q", title="sentiment, label units")
    legend = alt.Legend(title=None, orient="top", columns=2, symbolType="stroke", symbolStrokeWidth=2)
    base = alt.Chart(rows()).encode(
        x=x,
        y=y,
        color=alt.Color("who:N", sort=None, legend=legend),
        strokeDash=alt.StrokeDash("who:N", sort=None, legend=legend),
        tooltip=tips(("who:N", "answer of", ""), ("x:N", "at", ""), ("value:Q", "value", "+.2f")),
    )
    return specification(base.mark_line(strokeWidth=1.8, point=alt.OverlayMarkDef(size=40)), 220)


def _told(section: Section, fall: Fall, texts: Mapping[str, str]) -> dict[str, Any]:
    row, n = section.rows[fall.row], fall.sample
    control = section.control_of(fall.row)
    limit = next((i for i, r in enumerate(section.rows) if r.is_oracle), None)
    along = _along(section, fall.condition)
    events = section.realised_by_seed[section.seeds.index(fall.seed)]
    others = {"control": control, "limit": limit}
    return {
        "row": row.name,
        "against": fall.against,
        "seed": fall.seed,
        "id": section.cells[0].samples[n],
        "text": texts.get(section.cells[0].samples[n], ""),
        "label": float(f"{section.label[n]:.4g}"),
        "condition": _words(section, fall.condition),
        "axis": _axis(section, fall.condition),
        "answer": plain(_answers(row, fall.seed, [fall.condition], n))[0],
        "error": plain(fall.error)[0],
        "before": plain(fall.before)[0],
        "x": [_place(section, c) for c in along],
        "answers": {
            row.name: plain(_answers(row, fall.seed, along, n)),
            **{
                section.rows[i].name: plain(_answers(section.rows[i], fall.seed, along, n))
                for i in others.values()
                if i is not None and fall.seed in section.rows[i].seeds
            },
        },
        "missing": {m: plain(events.column(f"missing_{m}")[0, 0, along, n]) for m in events.modalities},
        "noise": {m: plain(events.column(f"noise_{m}")[0, 0, along, n]) for m in events.modalities},
        "quality": {
            m: plain(row.column(f"quality_{m}")[row.seeds.index(fall.seed), 0, along, n])
            for m in events.modalities
            if row.has(f"quality_{m}")
        },
    }


def _answers(row: Row, seed: int, conditions: list[int], sample: int) -> Any:
    return row.column("prediction")[row.seeds.index(seed), 0, conditions, sample]


def _words(section: Section, condition: int) -> str:
    """A condition by its levels, or by its name."""
    levels = section.cells[0].facts.conditions[condition]["levels"]
    return ", ".join(f"{axis_symbol(axis)}={x:g}" for axis, x in levels.items()) or section.conditions[condition]


def _axis(section: Section, condition: int) -> str:
    """What the conditions along the first axis differ in, and what they share."""
    axis, levels = section.levels.axis, section.cells[0].facts.conditions[condition]["levels"]
    rest = [f"{axis_symbol(name)}={x:g}" for name, x in levels.items() if name != axis]
    return f"{axis_title(axis)}{f' (at {listed(rest)})' if rest else ''}"


def _place(section: Section, condition: int) -> str:
    """A condition by its level on the first axis, or by its name."""
    axis = section.levels.axis
    return (
        f"{section.cells[0].facts.conditions[condition]['levels'][axis]:g}" if axis else section.conditions[condition]
    )


def _along(section: Section, condition: int) -> list[int]:
    """The conditions along the first axis through this one, or all where points have names; not too many."""
    facts = section.cells[0].facts.conditions
    axis = section.levels.axis
    fixed = {name: level for name, level in facts[condition]["levels"].items() if name != axis}
    line = [i for i, c in enumerate(facts) if all(c["levels"][name] == level for name, level in fixed.items())]
    if not axis:
        line = list(range(len(facts)))
    kept = np.unique(np.linspace(0, len(line) - 1, min(STEPS, len(line))).round().astype(int))
    return sorted({condition, *(line[i] for i in kept)})
