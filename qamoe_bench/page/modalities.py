"""Sensitivity of each row to each modality: what a metric loses without it."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Section
from qamoe_bench.analysis.sensitivity import Sensitivity
from qamoe_bench.page.figure import Figure, comma_list, difference_unit, interval_columns
from qamoe_bench.page.marks import dot_spec
from qamoe_bench.page.sentences import by_regime
from qamoe_bench.shapes import Float
from qamoe_bench.vocabulary import metric_label

Values = NDArray[np.float64]


def modality_figure(section: Section, sensitivity: Sensitivity) -> Figure:
    """Loss of one metric without each modality, and with only some of them."""
    metric = sensitivity.metric
    names = tuple(row.name for row in section.rows)
    # The order of items is that of `_losses`.
    items = [f"without {modality}" for modality in sensitivity.modalities]
    items += [f"only {' + '.join(kept)}" for kept in sensitivity.sets]
    value, low, high = _losses(sensitivity)  # (M, A + P) each
    return Figure(
        kind="modalities",
        title=f"Loss of {metric_label(metric.name)} without a modality",
        sentences=by_regime(section, lambda rows: _sentence(section, sensitivity, rows)),
        about=f"Loss of {metric.title}, positive where it gets worse, with 95 % intervals. without: mean over all "
        "pairs of sets of modalities that differ in this one only; only: this set instead of all modalities.",
        spec=dot_spec(metric, len(items), "modalities", difference_unit(metric, "loss of")),
        columns=interval_columns(names, items, value, low, high, metric.scale),
        metric=metric.name,
        note="Compared on the same samples and seed, where nothing else is corrupted.",
        is_wide=True,
    )


def _losses(
    sensitivity: Sensitivity,
) -> tuple[Float[Values, "M I"], Float[Values, "M I"], Float[Values, "M I"]]:
    """Loss with the ends of its interval: A items for single modalities, then P for sets, I = A + P."""
    by_modality = sensitivity.of_modality  # (M, A)
    by_set = sensitivity.of_set  # (M, P)
    modality_low, modality_high = by_modality.interval()
    set_low, set_high = by_set.interval()
    value = np.concatenate((by_modality.value, by_set.value), axis=-1)  # (M, A + P)
    low = np.concatenate((modality_low, set_low), axis=-1)
    high = np.concatenate((modality_high, set_high), axis=-1)
    return value, low, high


def _sentence(section: Section, sensitivity: Sensitivity, rows: Collection[int]) -> str:
    loss = sensitivity.of_modality.value  # (M, A)
    affected = [i for i in _affected(section, loss) if i in rows]
    if not affected:
        return "No model depends on which modalities are missing."
    sentence = _main_modality(sensitivity, loss, affected)
    # A modality is unneeded if no model has an interval of its loss above 0.
    low, _ = sensitivity.of_modality.interval()
    unneeded = []
    for a, modality in enumerate(sensitivity.modalities):
        if not (low[affected, a] > 0).any():
            unneeded.append(modality)
    if unneeded:
        sentence += f" Without {comma_list(unneeded)} no model loses significantly."
    return sentence


def _affected(section: Section, loss: Float[Values, "M A"]) -> list[int]:
    """Contestants whose metric changes when some modality is missing; the mean of the labels never does."""
    affected = []
    for i, row in enumerate(section.rows):
        # A loss is NaN where too few samples met both sets of modalities.
        is_known = np.isfinite(loss[i]).any()
        if not row.is_limit and is_known and np.nanmax(np.abs(loss[i])) > 0:
            affected.append(i)
    return affected


def _main_modality(sensitivity: Sensitivity, loss: Float[Values, "M A"], affected: list[int]) -> str:
    """The modality without which most models lose most, and how much they lose."""
    metric = sensitivity.metric
    worst = np.nanargmax(loss[affected], axis=1)  # (affected,)
    counts = np.bincount(worst, minlength=len(sensitivity.modalities))  # (A,)
    main = int(counts.argmax())
    losses = loss[affected, main][worst == main]  # (counts[main],)
    group = f"{counts[main]} of {len(affected)} models"
    if counts[main] == len(affected):
        group = "every model that uses its inputs"
    lost = f"{metric.show(losses.min())} to {metric.show(losses.max())}"
    name = sensitivity.modalities[main]
    return f"{name} matters most to {group}: it is worth {lost} of {metric_label(metric.name)}."
