"""A data set with another number of training samples, for learning curves.

Sizes are nested: a larger split holds the samples of every smaller one. Of embedded data a size takes the first samples
that the law gives, so that the number is not limited by the split. Of a file it takes a random part of the training
split, which depends on the data alone: all models and seeds train on the same samples.

The part consists of single samples, not of whole videos. The number is then met exactly, every size has the same
mixture of videos, and the curve shows the number of samples and not which videos were drawn. Fewer *videos* would cost
more than the curve shows, because samples of one video are alike. Nothing leaks: the validation and test splits are
unchanged, and so are the corruptions, whose noise is in units of the whole training split (`Dataset.base`).
"""

import hashlib
from dataclasses import replace

import numpy as np
import torch

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.seeding import stream


def with_train_size(data: Dataset, size: int) -> Dataset:
    """The data set with this number of training samples; itself if it has as many.

    Args:
        data: The data set as it is read.
        size: Number of training samples, at least 2.

    Raises:
        BenchError: A file has fewer, or the law of embedded data gives at most fewer.
    """
    whole = len(data.splits["train"])
    if size == whole:
        return data
    resized = data.redraw(size) if data.redraw is not None else _part(data, size)
    source = "drawn from the same law" if data.redraw is not None else "chosen at random"
    return replace(
        resized,
        name=f"{data.name} (n={size})",
        digest=hashlib.sha256(f"{data.digest} {size} training samples".encode()).hexdigest(),
        notes=(*data.notes, f"{size} training samples {source} instead of {whole}; other splits are unchanged"),
        redraw=None,
        base=data,
    )


def train_size_facts(data: Dataset) -> dict[str, int | str]:
    """What a stored cell says about the number of training samples; empty for a data set as it is read."""
    if data.base is None:
        return {}
    return {
        "samples": len(data.splits["train"]),
        "base_samples": len(data.base.splits["train"]),
        "base": data.base.name,
        "base_digest": data.base.digest,
    }


def _part(data: Dataset, size: int) -> Dataset:
    """The data set with a random part of its training split, in the order of the split."""
    train = data.splits["train"]
    if size > len(train):
        raise BenchError(
            f"--train-size {size}: expected at most the {len(train)} training samples of {data.name!r}, because a file "
            "has no more; give a smaller size"
        )
    order = stream("training samples", data.digest).permutation(len(train))
    rows = torch.from_numpy(np.sort(order[:size]))  # (K,)
    splits = {**data.splits, "train": train.rows(rows)}
    known = data.reliability.get("train")
    if known is None:
        return replace(data, splits=splits)
    part = {m: scale[rows.numpy()] for m, scale in known.items()}
    return replace(data, splits=splits, reliability={**data.reliability, "train": part})
