"""What the parts of `bench_gpu` share: the device, sizes and data."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tinydata import make_dataset

from qamoe_bench.cost.paper import CLS, FIRST_WORD, MASK, SEP, WORDS
from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.open import open_dataset

CPU = torch.device("cpu")
TOKENS = 50
"""Positions of a text, as in the aligned files of CMU-MOSI."""
WIDTHS = {"audio": 5, "vision": 20}
"""Feature widths of the aligned files of CMU-MOSI."""
MOSI = {"train": 1284, "valid": 229, "test": 686}
"""Samples of CMU-MOSI."""
TYPICAL_TOKENS = 15
"""Median length of a transcript of CMU-MOSI in tokens, roughly."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """Where to measure, and how much.

    Attributes:
        device: The GPU; the CPU in a smoke test without one.
        smoke: Whether sizes are tiny.
    """

    device: torch.device
    smoke: bool

    def data(self) -> Dataset:
        """Features: the embedded data set, or a tiny one."""
        return make_dataset() if self.smoke else open_dataset("synthetic")


def token_data(sizes: dict[str, int], *, full: bool, folder: str = "") -> Dataset:
    """Random token ids and features of CMU-MOSI's shape.

    Args:
        sizes: Samples by split.
        full: Whether every text has all `TOKENS` tokens; else lengths are distributed about as in CMU-MOSI.
        folder: Of the language model's weights; empty for a BERT base with random ones.
    """
    start = itertools.accumulate(sizes.values(), initial=0)
    splits = {name: _token_split(name, count, full, first) for (name, count), first in zip(sizes.items(), start)}  # noqa: B905
    pretrained = {"text": folder} if folder else {}
    return Dataset("tokens", splits, digest="benchmark", token_ids={"text": MASK}, pretrained=pretrained)


def _token_split(name: str, count: int, full: bool, seed: int) -> Split:
    random = np.random.default_rng(seed)
    drawn = np.round(TYPICAL_TOKENS * np.exp(0.6 * random.standard_normal(count))).astype(int)
    length = np.full(count, TOKENS) if full else np.clip(drawn, 4, TOKENS)
    valid = np.arange(TOKENS) < length[:, None]
    ids = random.integers(FIRST_WORD, WORDS, (count, TOKENS))
    ids[:, 0] = CLS
    ids[np.arange(count), length - 1] = SEP
    features = {"text": torch.from_numpy((ids * valid)[..., None].astype(np.float32))}
    for m, width in WIDTHS.items():
        values = random.standard_normal((count, TOKENS, width), np.float32) * valid[..., None]
        features[m] = torch.from_numpy(values)
    target = torch.from_numpy(random.uniform(-3, 3, count).astype(np.float32))
    lengths = {m: torch.from_numpy(length) for m in features}
    return Split(tuple(f"{name}{i}" for i in range(count)), target, features, lengths)


def batches_of(sizes: tuple[int, ...], setup: Setup) -> Iterator[int]:
    """The sizes, or the two smallest in a smoke test."""
    yield from sizes[:2] if setup.smoke else sizes
