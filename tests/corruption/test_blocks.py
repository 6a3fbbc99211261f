"""Blocks and scattered frames: exact counts, places, windows that modalities share, and what never changes."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
import pytest
import torch
from freshdraws import FreshDraws
from torch import Tensor

from qamoe_bench.contract import Batch, Reference
from qamoe_bench.corruption.apply import apply_condition
from qamoe_bench.corruption.draws import CommonDraws
from qamoe_bench.corruption.state import Corrupted, share_of
from qamoe_bench.protocol.kinds import CORRUPTION_KINDS
from qamoe_bench.protocol.spec import Condition, Step
from qamoe_bench.vocabulary import MODALITIES

PLACES = ("random", "start", "middle", "end", "scattered")
SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)
SAMPLES = 60
IDS = tuple(f"s{i}" for i in range(SAMPLES))


def make_batch(lengths: Sequence[int] | None = None) -> Batch:
    """Frames that are nowhere zero; lengths from 0 on that differ between modalities, or the same for all."""
    features, counts = {}, {}
    for i, m in enumerate(MODALITIES):
        n = np.array(lengths) if lengths is not None else np.random.default_rng(i).integers(0, 12 + 9 * i, SAMPLES)
        valid = torch.arange(12 + 9 * i) < torch.from_numpy(n)[:, None]
        features[m] = valid[..., None].float().repeat(1, 1, 2)
        counts[m] = torch.from_numpy(n)
    return Batch(features, counts)


DIFFERENT = make_batch()
EQUAL = make_batch([1 + i % 11 for i in range(SAMPLES)])


def reference(*, ends: bool = False, tokens: bool = False) -> Reference:
    one = {m: torch.ones(2) for m in MODALITIES}
    pool = {m: torch.ones(3, 2) for m in MODALITIES}
    return Reference(one, one, pool, {"text": 100} if tokens else {}, text_has_ends=ends)


def at(
    batch: Batch, share: float, *, seed: int = 1, draw: int = 0, given: Reference | None = None, **options: Any
) -> Corrupted:
    step = Step(
        "block-missing", dict.fromkeys(MODALITIES, share), {**CORRUPTION_KINDS["block-missing"].defaults, **options}
    )
    draws = CommonDraws(seed, IDS, batch, draw).rows(slice(None))
    return apply_condition(batch, Condition("c", {}, (step,)), draws, given or reference())


def half_up(share: float, count: int) -> int:
    return int((Decimal(str(share)) * count).quantize(Decimal(1), ROUND_HALF_UP))


def spans(lost: Tensor) -> Tensor:
    """The number of runs of lost frames of each sample."""
    padded = torch.nn.functional.pad(lost.int(), (1, 0))
    return (padded.diff(dim=1) == 1).sum(1)


def test_a_share_of_a_length_is_exact_for_every_percent() -> None:
    counts = torch.arange(501)
    for percent in range(101):
        expected = [half_up(percent / 100, n) for n in range(501)]
        assert share_of(percent / 100, counts).tolist() == expected, percent


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_counts_are_exact_inside_valid_frames_and_nested(place: str, shared: bool) -> None:
    before = {m: torch.zeros_like(DIFFERENT.mask(m)) for m in MODALITIES}
    for share in SHARES:
        result = at(DIFFERENT, share, place=place, shared_window=shared)
        for m in MODALITIES:
            lost = result.erased[m]
            expected = [half_up(share, n) for n in DIFFERENT.lengths[m].tolist()]
            assert lost.sum(1).tolist() == expected
            assert not (lost & ~DIFFERENT.mask(m)).any()
            assert not (before[m] & ~lost).any()
            assert torch.equal((result.batch.features[m] == 0).all(-1) & DIFFERENT.mask(m), lost)
            if place != "scattered":
                assert spans(lost).max() <= 1
            before[m] = lost


def test_places_are_where_they_say() -> None:
    lengths = DIFFERENT.lengths["vision"]
    for share in (0.3, 0.5):
        lost = {place: at(DIFFERENT, share, place=place).erased["vision"] for place in PLACES}
        size = share_of(share, lengths)
        for row in range(SAMPLES):
            n, k = int(lengths[row]), int(size[row])
            where = {place: lost[place][row].nonzero()[:, 0].tolist() for place in PLACES}
            assert where["start"] == list(range(k))
            assert where["end"] == list(range(n - k, n))
            assert where["middle"] == list(range((n - k) // 2, (n - k) // 2 + k))
    starts = [row.nonzero()[0].item() for row in at(EQUAL, 0.3).erased["vision"] if row.any()]
    assert len(set(starts)) > 3


@pytest.mark.parametrize("place", PLACES)
def test_modalities_of_equal_length_share_a_window_and_only_if_asked(place: str) -> None:
    shared = at(EQUAL, 0.5, place=place, shared_window=True).erased
    assert torch.equal(shared["text"], shared["audio"][:, :12])
    assert torch.equal(shared["text"], shared["vision"][:, :12])
    apart = at(EQUAL, 0.5, place=place).erased
    assert torch.equal(apart["text"], apart["vision"][:, :12]) == (place in ("start", "middle", "end"))


def test_a_shared_window_has_one_relative_position_where_lengths_differ() -> None:
    text, vision = torch.full((SAMPLES,), 10), torch.full((SAMPLES,), 30)
    lengths = {"text": text, "audio": text, "vision": vision}
    features = {m: torch.ones(SAMPLES, int(n[0]), 2) for m, n in lengths.items()}
    lost = at(Batch(features, lengths), 0.3, shared_window=True).erased
    begin = {m: lost[m].int().argmax(1) / n for m, n in lengths.items()}
    assert (begin["text"] - begin["vision"]).abs().max() <= 0.1  # one frame of the shorter one


def test_a_shared_window_is_shared_in_training_too() -> None:
    for place in ("random", "scattered"):
        options = {**CORRUPTION_KINDS["block-missing"].defaults, "place": place, "shared_window": True}
        step = Step("block-missing", dict.fromkeys(MODALITIES, 0.5), options)
        draws = FreshDraws(EQUAL, torch.Generator().manual_seed(2))
        lost = apply_condition(EQUAL, Condition("c", {}, (step,)), draws, reference()).erased
        assert torch.equal(lost["text"], lost["vision"][:, :12])
        assert lost["text"].sum(1).tolist() == [half_up(0.5, n) for n in EQUAL.lengths["text"].tolist()]


@pytest.mark.parametrize("place", ["random", "scattered"])
def test_seed_draw_and_sample_decide_and_nothing_else(place: str) -> None:
    lost = at(DIFFERENT, 0.5, place=place).erased["audio"]
    assert torch.equal(at(DIFFERENT, 0.5, place=place).erased["audio"], lost)
    assert not torch.equal(at(DIFFERENT, 0.5, place=place, seed=2).erased["audio"], lost)
    assert not torch.equal(at(DIFFERENT, 0.5, place=place, draw=1).erased["audio"], lost)


@pytest.mark.parametrize("place", PLACES)
def test_the_ends_of_text_stay_and_the_share_is_of_what_is_between_them(place: str) -> None:
    for given, keep in ((reference(ends=True), True), (reference(), "always"), (reference(tokens=True), False)):
        for share in (0.5, 1.0):
            lost = at(EQUAL, share, place=place, given=given, keep_ends=keep).erased["text"]
            between = (EQUAL.lengths["text"] - 2).clamp(min=0)
            assert torch.equal(lost.sum(1), share_of(share, between))
            assert not lost[:, 0].any()
            assert not lost.gather(1, EQUAL.lengths["text"][:, None] - 1).any()
    whole = at(EQUAL, 1.0, place=place, given=reference(), keep_ends=True)
    assert (whole.missing("text") == 1).all()
