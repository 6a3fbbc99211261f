"""What a protocol really does to a test split: realised rates, signal-to-noise ratios, and one sample to look at.

Nothing is trained and no model is asked; the samples are the very ones that a model would be evaluated on.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.evaluation.sweep import BATCH_SIZE
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.figures.protocol_plot import Picture, Strip
from qamoe_bench.protocol.kinds import CORRUPTION_KINDS
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.report.table import Chapter, Table
from qamoe_bench.vocabulary import MODALITIES, axis_symbol

MOST_COLUMNS = 8

FRAMES_NOTE = (
    "fully observed: share of samples that lost no frame of what they had; a modality that the data itself lacks for a "
    "sample counts as missing"
)
SNR_NOTE = (
    "10·log10(Σ signal² / Σ change²) over all samples, draws and frames that are left; signal: clean feature minus "
    "training mean, both in units of σ_ref; ∞: nothing is changed; –: nothing is left, or "
    "token ids"
)


def measure(test: TestSet, protocol: Protocol) -> pd.DataFrame:
    """What happened to each modality under each condition, over all draws of the protocol.

    Returns:
        One row per condition and modality, in order, with the columns `condition`, `modality`; `missing`, the share of
        samples in which nothing of the modality is left; `frames`, the mean share of frames taken away; `fully`, the
        share of samples that lost nothing in any modality (the same for all modalities of a condition); `snr`, the
        signal-to-noise ratio in dB over frames that are left: infinite where nothing changed, NaN where none is left
        and for token ids, whose differences mean nothing.
    """
    frame = pd.DataFrame(_sums(test, protocol))
    sums = frame.groupby(["condition", "modality"], sort=False, as_index=False).sum()
    shares = {name: sums[name] / sums["samples"] for name in ("missing", "frames", "fully")}
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = 10 * np.log10(sums["signal"].to_numpy() / sums["change"].to_numpy())
    snr = np.where(sums["change"] == 0, np.inf, snr)
    undefined = (sums["left"] == 0) | sums["modality"].isin(test.reference.token_ids)
    return sums[["condition", "modality"]].assign(**shares, snr=np.where(undefined, np.nan, snr))


def _sums(test: TestSet, protocol: Protocol) -> Iterator[dict[str, Any]]:
    """Counts and sums of squares, per draw, condition, chunk of samples and modality."""
    for draw in range(protocol.draws):
        for condition in protocol.conditions:
            for start in range(0, len(test.ids), BATCH_SIZE):
                rows = slice(start, start + BATCH_SIZE)
                corrupted = test.corrupted(condition, rows, draw)
                fully = int((~torch.stack([gone.any(1) for gone in corrupted.erased.values()]).any(0)).sum())
                for m in corrupted.batch.modalities:
                    yield {
                        "condition": condition.name,
                        "modality": m,
                        "fully": fully,
                        **_counts(test, corrupted, rows, m),
                    }


def _counts(test: TestSet, corrupted: Corrupted, rows: slice, m: str) -> dict[str, float]:
    clean, mean, std = test.clean.features[m][rows], test.reference.mean[m], test.reference.std[m]
    left = corrupted.batch.mask(m) & ~corrupted.erased[m]
    missing = corrupted.missing(m)
    return {
        "samples": len(missing),
        "missing": int((missing == 1).sum()),
        "frames": float(missing.double().sum()),
        "left": int(left.sum()),
        "signal": _energy(clean - mean, std, left),
        "change": _energy(corrupted.batch.features[m] - clean, std, left),
    }


def _energy(x: Float[Tensor, "B T D"], std: Float[Tensor, " D"], frames: Bool[Tensor, "B T"]) -> float:
    """Sum of squares in units of σ_ref."""
    return float((x.square() @ std**-2)[frames].sum(dtype=torch.float64))


def chapter(test: TestSet, protocol: Protocol) -> Chapter:
    """Everything that a person wants to know of a protocol on a data set, as tables."""
    frame = measure(test, protocol)
    lines = (
        protocol.title,
        f"Source: {protocol.source}",
        f"Definition: {protocol.definition}",
        f"Digest: {protocol.digest}",
        f"Measured: {len(test.ids)} test samples, seed {test.seed}, draws of each condition: {protocol.draws}",
        *(() if protocol.corruptions else ("Steps: none",)),
    )
    steps = (_steps_table(protocol),) if protocol.corruptions else ()
    points = (_points_table(protocol),) if protocol.points else ()  # with axes a condition's name says its levels
    tables = (*steps, *points, _modalities_table(frame), _frames_table(frame), _snr_table(frame))
    return Chapter(f"{protocol.name} on {test.data.name}", lines, tables)


def _steps_table(protocol: Protocol) -> Table:
    rows, notes = [], []
    for i, step in enumerate(protocol.corruptions, 1):
        kind = CORRUPTION_KINDS[step["kind"]]
        rows.append((f"{i} {step['kind']}", *(_level(step["levels"].get(m)) for m in MODALITIES)))
        notes.append(f"{i} {kind.parameter}{_options(step['options'])}: {kind.meaning}")
    return Table("Steps, in order, with the level of each modality", ("step", *MODALITIES), tuple(rows), tuple(notes))


def _level(level: str | float | None) -> str:
    if level is None:
        return "–"
    return axis_symbol(level) if isinstance(level, str) else f"{level:g}"


def _options(options: dict[str, bool]) -> str:
    return "".join(f", {name} = {str(value).lower()}" for name, value in options.items())


def _points_table(protocol: Protocol) -> Table:
    rows = tuple(
        (name, ", ".join(f"{_level(variable)}={x:g}" for variable, x in point.items() if x) or "–")
        for name, point in protocol.points.items()
    )
    return Table("Points: the variables that are not 0", ("condition", "variables"), rows)


def _modalities_table(frame: pd.DataFrame) -> Table:
    rows = tuple(
        (name, *map(_percent, (*part["missing"], part["missing"].mean()))) for name, part in _conditions(frame)
    )
    return Table("Modalities of which nothing is left, %", ("condition", *_modalities(frame), "mean"), rows)


def _frames_table(frame: pd.DataFrame) -> Table:
    rows = tuple(
        (name, *map(_percent, (*part["frames"], part["frames"].mean(), part["fully"].iloc[0])))
        for name, part in _conditions(frame)
    )
    header = ("condition", *_modalities(frame), "mean", "fully observed")
    return Table("Frames taken away, % (mean share of a sample's valid frames)", header, rows, (FRAMES_NOTE,))


def _snr_table(frame: pd.DataFrame) -> Table:
    rows = tuple((name, *map(_decibels, part["snr"])) for name, part in _conditions(frame))
    return Table("Signal-to-noise ratio of what is left, dB", ("condition", *_modalities(frame)), rows, (SNR_NOTE,))


def _modalities(frame: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(frame["modality"]))


def _conditions(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(name), part) for name, part in frame.groupby("condition", sort=False)]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _decibels(ratio: float) -> str:
    if np.isnan(ratio):
        return "–"
    return f"{ratio:z.1f}" if np.isfinite(ratio) else f"{'−' if ratio < 0 else ''}∞"


def picture(test: TestSet, protocol: Protocol) -> Picture:
    """A telling sample under at most eight conditions, evenly chosen, the first and the last among them."""
    row = telling_sample(test, protocol)
    last = len(protocol.conditions) - 1
    chosen = dict.fromkeys(round(last * i / (MOST_COLUMNS - 1)) for i in range(MOST_COLUMNS))
    conditions = [protocol.conditions[i] for i in chosen]
    views = [test.corrupted(c, slice(row, row + 1)) for c in conditions]
    part = f", {len(conditions)} of {last + 1} conditions" if len(conditions) <= last else ""
    about = f"{protocol.name} on {test.data.name}, test sample {test.ids[row]}, seed {test.seed}{part}"
    return Picture(
        heading=(protocol.title, about),
        columns=tuple(_column(c) for c in conditions),
        strips={m: _strip(test, views, m) for m in test.clean.modalities},
    )


def _column(condition: Condition) -> str:
    return "\n".join(f"{axis_symbol(axis)} = {v:g}" for axis, v in condition.levels.items()) or condition.name


def _strip(test: TestSet, views: list[Corrupted], m: str) -> Strip:
    features = torch.cat([v.batch.features[m] for v in views])
    values = (features - test.reference.mean[m]) / test.reference.std[m]
    lost = torch.cat([v.erased[m] for v in views])
    return Strip(values.cpu().numpy(), lost.cpu().numpy(), int(views[0].batch.lengths[m]))


def telling_sample(test: TestSet, protocol: Protocol) -> int:
    """The first sample in which most happens: modalities touched at the end of the axes, or summed over all points."""
    conditions = protocol.conditions if protocol.points else protocol.conditions[-1:]
    touched = [
        torch.stack([_touched(test, condition, slice(start, start + BATCH_SIZE)) for condition in conditions]).sum(0)
        for start in range(0, len(test.ids), BATCH_SIZE)
    ]
    return int(torch.cat(touched).argmax())


def _touched(test: TestSet, condition: Condition, rows: slice) -> Int[Tensor, " B"]:
    """In how many modalities something happened to each sample."""
    corrupted, clean = test.corrupted(condition, rows), test.clean.rows(rows)
    happened = [
        corrupted.erased[m].any(1) | (corrupted.batch.features[m] != clean.features[m]).any(-1).any(-1)
        for m in clean.modalities
    ]
    return torch.stack(happened).sum(0)
