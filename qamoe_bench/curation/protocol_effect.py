"""The effect of a protocol on a test split: realised rates and signal-to-noise ratios.

Nothing is trained and no model is evaluated; the samples are exactly those on which a model would be evaluated.

Dimension legend: N test samples, B samples of a batch, T frames, D features of a frame.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.evaluation.sweep import BATCH_SIZE
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.spec import Protocol


def measure(test: TestSet, protocol: Protocol) -> pd.DataFrame:
    """The effect on each modality under each condition, over all draws of the protocol.

    Returns:
        One row per condition and modality, in order, with the columns `condition` and `modality`; `missing`, the share
        of samples in which nothing of the modality is left; `frames`, the mean share of frames removed; `fully`, the
        share of samples that lost nothing in any modality (the same for all modalities of a condition); `snr`, the
        signal-to-noise ratio in dB over the remaining frames: infinite if nothing changed, NaN if no frame is left and
        for token ids, whose differences are meaningless.
    """
    sums = pd.DataFrame(_counts(test, protocol))
    sums = sums.groupby(["condition", "modality"], sort=False, as_index=False).sum()
    shares = {name: sums[name] / sums["samples"] for name in ("missing", "frames", "fully")}
    with np.errstate(divide="ignore", invalid="ignore"):  # both cases are replaced below
        snr = 10 * np.log10(sums["signal"].to_numpy() / sums["change"].to_numpy())
    snr = np.where(sums["change"] == 0, np.inf, snr)
    undefined = (sums["remaining"] == 0) | sums["modality"].isin(test.reference.token_ids)
    return sums[["condition", "modality"]].assign(**shares, snr=np.where(undefined, np.nan, snr))


def _counts(test: TestSet, protocol: Protocol) -> Iterator[dict[str, Any]]:
    """Counts and sums of squares for each draw, condition, batch of samples and modality."""
    for draw in range(protocol.draws):
        for condition in protocol.conditions:
            for start in range(0, len(test.ids), BATCH_SIZE):
                rows = slice(start, start + BATCH_SIZE)
                corrupted = test.corrupted(condition, rows, draw)
                fully = _fully_observed(corrupted)
                for m in corrupted.batch.modalities:
                    key = {"condition": condition.name, "modality": m}
                    yield {**key, "fully": fully, **_counts_of_modality(test, corrupted, rows, m)}


def _fully_observed(corrupted: Corrupted) -> int:
    """The number of samples that lost no frame of any modality."""
    lost = torch.stack([removed.any(1) for removed in corrupted.erased.values()])  # (M, B)
    return int((~lost.any(0)).sum())


def _counts_of_modality(test: TestSet, corrupted: Corrupted, rows: slice, modality: str) -> dict[str, float]:
    """Counts and sums of squares of one modality in a batch of samples."""
    clean = test.clean.features[modality][rows]  # (B, T, D)
    mean = test.reference.mean[modality]  # (D,)
    std = test.reference.std[modality]  # (D,)
    remaining = corrupted.batch.mask(modality) & ~corrupted.erased[modality]  # (B, T)
    missing = corrupted.missing(modality)  # share of frames, (B,)
    return {
        "samples": len(missing),
        "missing": int((missing == 1).sum()),
        "frames": float(missing.double().sum()),
        "remaining": int(remaining.sum()),
        "signal": _energy(clean - mean, std, remaining),
        "change": _energy(corrupted.batch.features[modality] - clean, std, remaining),
    }


def _energy(x: Float[Tensor, "B T D"], std: Float[Tensor, " D"], frames: Bool[Tensor, "B T"]) -> float:
    """Sum of squares over some frames, in units of σ_ref."""
    energy = x.square() @ std**-2  # (B, T)
    return float(energy[frames].sum(dtype=torch.float64))
