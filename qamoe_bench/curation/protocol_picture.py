"""One test sample along the conditions of a protocol, for `qamoe-bench protocol show --plot`."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.evaluation.sweep import BATCH_SIZE
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.figures.protocol_plot import Picture, Strip
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.vocabulary import axis_symbol

# Conditions that fit side by side into a figure.
_MAX_COLUMNS = 8


def picture(test: TestSet, protocol: Protocol) -> Picture:
    """An informative sample under at most eight conditions, evenly spaced, including the first and the last."""
    row = telling_sample(test, protocol)
    last = len(protocol.conditions) - 1
    # Rounding repeats an index if there are few conditions.
    indices = dict.fromkeys(round(last * i / (_MAX_COLUMNS - 1)) for i in range(_MAX_COLUMNS))
    conditions = [protocol.conditions[i] for i in indices]
    views = [test.corrupted(condition, slice(row, row + 1)) for condition in conditions]
    selection = f", {len(conditions)} of {last + 1} conditions" if len(conditions) <= last else ""
    subtitle = f"{protocol.name} on {test.data.name}, test sample {test.ids[row]}, seed {test.seed}{selection}"
    return Picture(
        heading=(protocol.title, subtitle),
        columns=tuple(_column_title(condition) for condition in conditions),
        strips={m: _strip(test, views, m) for m in test.clean.modalities},
    )


def _column_title(condition: Condition) -> str:
    levels = [f"{axis_symbol(axis)} = {level:g}" for axis, level in condition.levels.items()]
    return "\n".join(levels) or condition.name


def _strip(test: TestSet, views: list[Corrupted], modality: str) -> Strip:
    """One modality of the sample under every condition, in units of σ_ref."""
    features = torch.cat([view.batch.features[modality] for view in views])  # (conditions, T, D)
    values = (features - test.reference.mean[modality]) / test.reference.std[modality]
    lost = torch.cat([view.erased[modality] for view in views])  # (conditions, T)
    length = int(views[0].batch.lengths[modality])  # no corruption changes it
    return Strip(np.asarray(values.cpu()), np.asarray(lost.cpu()), length)


def telling_sample(test: TestSet, protocol: Protocol) -> int:
    """The first sample with the largest number of changed modalities.

    Modalities are counted under the last condition, which is the end of the axes, or summed over all points.
    """
    conditions = protocol.conditions if protocol.points else protocol.conditions[-1:]
    counts = []
    for start in range(0, len(test.ids), BATCH_SIZE):
        rows = slice(start, start + BATCH_SIZE)
        by_condition = [_changed_modalities(test, condition, rows) for condition in conditions]
        counts.append(torch.stack(by_condition).sum(0))  # (B,)
    return int(torch.cat(counts).argmax())


def _changed_modalities(test: TestSet, condition: Condition, rows: slice) -> Int[Tensor, " B"]:
    """The number of modalities of each sample that have lost or changed frames."""
    corrupted = test.corrupted(condition, rows)
    clean = test.clean.rows(rows)
    changed = []
    for m in clean.modalities:
        differs = (corrupted.batch.features[m] != clean.features[m]).any(-1).any(-1)  # (B,)
        changed.append(corrupted.erased[m].any(1) | differs)
    return torch.stack(changed).sum(0)
