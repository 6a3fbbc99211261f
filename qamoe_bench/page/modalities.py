"""What each modality is worth to each row: what a metric loses without it."""

import numpy as np

from qamoe_bench.analysis.section import Section
from qamoe_bench.analysis.sensitivity import Sensitivity
from qamoe_bench.page.figure import Columns, Figure, listed, plain, unit_of
from qamoe_bench.page.marks import Look, dots

ABSENT = (
    "What each modality is worth is left out: the protocol never takes a whole modality from a sample and leaves the "
    "others untouched, so that cannot be read from it. fixed-missing and random-missing do."
)


def modalities(section: Section, found: Sensitivity, look: Look, dialect: str) -> Figure:
    """One metric."""
    metric, names = found.metric, tuple(row.name for row in section.rows)
    things = [
        *(f"without {m}" for m in found.modalities),
        *(f"only {' + '.join(of)}" for of in found.sets),
    ]
    parts = [(e.value, *e.interval()) for e in (found.of_modality, found.of_set)]
    value, low, high = (np.concatenate(side, axis=-1) for side in zip(*parts, strict=True))  # (M, A + P)
    columns: Columns = {
        "row": [name for name in names for _ in things],
        "x": things * len(names),
        "value": plain(value, metric.scale),
        "low": plain(low, metric.scale),
        "high": plain(high, metric.scale),
    }
    unit = f"loss of {unit_of(metric)}".replace(", %", ", points")
    return Figure(
        kind="modalities",
        title=f"What {metric.name} loses without a modality",
        sentence=_sentence(section, found),
        about=f"Loss of {metric.title}, positive where it gets worse, with 95 % intervals. without: the mean over all "
        "sets of modalities that differ in this one alone; only: what is left instead of everything.",
        spec=dots(metric, look, names, len(things), "what is missing, or left", unit),
        columns=columns,
        dialect=dialect,
        metric=metric.name,
        note="Compared on the same samples, under the same seed, where nothing else was done to them.",
        is_wide=True,
    )


def _sentence(section: Section, found: Sensitivity) -> str:
    metric, loss = found.metric, found.of_modality.value
    low, _ = found.of_modality.interval()
    rows = [i for i, r in enumerate(section.rows) if not r.is_oracle and np.isfinite(loss[i]).any()]
    moved = [i for i in rows if np.nanmax(np.abs(loss[i])) > 0]
    if not moved:
        return "No model changes with what is missing."
    most = {i: found.modalities[int(np.nanargmax(loss[i]))] for i in moved}
    counts = {m: [i for i in moved if most[i] == m] for m in found.modalities}
    main = max(counts, key=lambda m: len(counts[m]))
    k = found.modalities.index(main)
    everyone = (
        "every model that uses its inputs"
        if len(counts[main]) == len(moved)
        else f"{len(counts[main])} of {len(moved)} models"
    )
    least, top = (f(loss[i, k] for i in counts[main]) for f in (min, max))
    lost = f"{metric.show(least)} to {metric.show(top)}"
    sentence = f"{main} is worth most to {everyone}: without it {metric.name} loses {lost}."
    idle = [m for a, m in enumerate(found.modalities) if not any(low[i, a] > 0 for i in moved)]
    return f"{sentence} Without {listed(idle)} no model loses for certain." if idle else sentence
