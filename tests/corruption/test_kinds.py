"""Properties of every kind of corruption, then of each family."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from freshdraws import FreshDraws
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from qamoe_bench.contract import Batch, Reference
from qamoe_bench.corruption import draws as draws_module
from qamoe_bench.corruption.apply import APPLY, apply_condition
from qamoe_bench.corruption.draws import CommonDraws, Draws
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.protocol.kinds import CORRUPTION_KINDS, CorruptionKind
from qamoe_bench.protocol.level import Level
from qamoe_bench.protocol.spec import Condition, Step
from qamoe_bench.vocabulary import MODALITIES

EVERY_KIND = pytest.mark.parametrize("kind", CORRUPTION_KINDS)
ADDITIVE = tuple(k for k, kind in CORRUPTION_KINDS.items() if kind.noise is not None)
CERTAIN = {k: kind.noise for k, kind in CORRUPTION_KINDS.items() if kind.noise is not None and kind.noise.chance == 1}
FRESH = tuple(k for k, noise in CERTAIN.items() if noise.per == "frame")
CONSTANT = tuple(k for k, noise in CERTAIN.items() if noise.per == "utterance")
REPLACING = tuple(k for k, kind in CORRUPTION_KINDS.items() if "replaces" in kind.effects)
SCALING = tuple(k for k, kind in CORRUPTION_KINDS.items() if "scales" in kind.effects)
CHANGING = tuple(k for k, kind in CORRUPTION_KINDS.items() if kind.changes_content)
JOINT = tuple(k for k, kind in CORRUPTION_KINDS.items() if kind.joint)
ERASING_ALONE = tuple(k for k, kind in CORRUPTION_KINDS.items() if kind.effects == {"erases"} and not kind.joint)
KEEPING_ONE = tuple(k for k, kind in CORRUPTION_KINDS.items() if kind.joint or "keep_one" in kind.options)
few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


every_kind = pytest.mark.parametrize("kind", CORRUPTION_KINDS)


# --- Data: no value is ever zero by itself, so zeros are what a corruption made ---

WIDTHS = {"text": 5, "audio": 3, "vision": 4}
FRAMES = {"text": 6, "audio": 8, "vision": 7}


def make_batch(lengths: Mapping[str, Sequence[int]], widths: Mapping[str, int] = WIDTHS, extra: int = 2) -> Batch:
    """Distinct values away from zero, at least `extra` frames of padding."""
    features = {}
    for m, counts in lengths.items():
        x = np.random.default_rng(len(m)).uniform(0.5, 1.5, (len(counts), max(counts) + extra, widths[m]))
        x[np.arange(x.shape[1]) >= np.array(counts)[:, None]] = 0
        features[m] = torch.tensor(x, dtype=torch.float32)
    return Batch(features, {m: torch.tensor(counts) for m, counts in lengths.items()})


def varied_lengths(samples: int, modalities: Sequence[str] = MODALITIES, shortest: int = 1) -> dict[str, list[int]]:
    random = np.random.default_rng(7)
    return {m: random.integers(shortest, FRAMES[m] + 1, samples).tolist() for m in modalities}


def make_reference(widths: Mapping[str, int] = WIDTHS) -> Reference:
    return Reference(
        mean={m: torch.linspace(0.25, 0.75, d) for m, d in widths.items()},
        std={m: torch.linspace(0.5, 2.0, d) for m, d in widths.items()},
        pool={m: 100 + torch.arange(9.0 * d).reshape(9, d) for m, d in widths.items()},
    )


BATCH = make_batch(varied_lengths(24))
IDS = tuple(f"sample{i}" for i in range(24))
REFERENCE = make_reference()

# Many samples of equal shape and equal content, so that nothing but the draws differs between samples and modalities.
EQUAL_WIDTHS = dict.fromkeys(MODALITIES, 4)
MANY = 1000
SAME_CONTENT = Batch(
    {m: (1 + torch.arange(20.0).reshape(1, 5, 4)).repeat(MANY, 1, 1) for m in MODALITIES},
    {m: torch.full((MANY,), 5) for m in MODALITIES},
)
MANY_IDS = tuple(f"many{i}" for i in range(MANY))
EQUAL_REFERENCE = make_reference(EQUAL_WIDTHS)


def step_of(kind: str, level: Level, **options: Any) -> Step:
    return Step(kind, dict.fromkeys(MODALITIES, level), {**CORRUPTION_KINDS[kind].defaults, **options})


def run(batch: Batch, draws: Draws, *steps: Step, reference: Reference = REFERENCE) -> Corrupted:
    return apply_condition(batch, Condition("c", {}, steps), draws, reference)


@functools.cache
def common(seed: int, draw: int = 0) -> CommonDraws:
    return CommonDraws(seed, IDS, BATCH, draw)


def at(kind: str, level: Level, seed: int = 1, **options: Any) -> Corrupted:
    return run(BATCH, common(seed).rows(slice(None)), step_of(kind, level, **options))


@functools.cache
def many(seed: int, draw: int = 0) -> CommonDraws:
    return CommonDraws(seed, MANY_IDS, SAME_CONTENT, draw)


@functools.cache
def at_many(kind: str, level: float, seed: int = 1, draw: int = 0, **options: Any) -> Corrupted:
    step = step_of(kind, level, **options)
    return run(SAME_CONTENT, many(seed, draw).rows(slice(None)), step, reference=EQUAL_REFERENCE)


def levels_of(kind: str, *, positive: bool = False) -> st.SearchStrategy[float]:
    """Levels that a protocol file may give this kind."""
    spec = CORRUPTION_KINDS[kind]
    if spec.allowed:
        return st.sampled_from([level for level in spec.allowed if level > 0 or not positive])
    return st.floats(0.01 if positive else 0, min(spec.highest, 3), width=32 if spec.highest > 0.5 else 64)


def middle(kind: str) -> float:
    """A level at which chance decides."""
    return 0.4 if CORRUPTION_KINDS[kind].allowed else min(CORRUPTION_KINDS[kind].highest, 1) / 2


def options_of(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    choices = CORRUPTION_KINDS[kind].options
    return st.fixed_dictionaries({name: st.sampled_from(values) for name, values in choices.items()})


def assert_same(first: Corrupted, second: Corrupted, frames: Mapping[str, int] | None = None) -> None:
    """Equal to the bit, but for the measured size of a change; with `frames`, as far as these."""
    for m in first.batch.modalities:
        count = (frames or {}).get(m)
        assert torch.equal(first.batch.features[m][:, :count], second.batch.features[m][:, :count])
        assert torch.equal(first.erased[m][:, :count], second.erased[m][:, :count])
        torch.testing.assert_close(first.noise[m], second.noise[m], rtol=1e-6, atol=1e-6)


def rows_of(result: Corrupted, rows: Tensor) -> Corrupted:
    parts = (result.valid, result.erased, result.noise)
    valid, gone, noise = ({m: x[rows] for m, x in part.items()} for part in parts)
    return replace(result, batch=result.batch.rows(rows), valid=valid, erased=gone, noise=noise)


def test_every_kind_has_a_function_and_every_function_a_kind() -> None:
    assert set(APPLY) == set(CORRUPTION_KINDS)


def test_the_traits_of_every_kind_are_stated() -> None:
    for kind in CORRUPTION_KINDS.values():
        assert kind.effects
        assert (kind.parameter == "level") == (kind.noise is not None)
    always = ("gaussian-noise", "laplace-noise", "utterance-noise")
    assert (*always, "occasional-noise", "frame-or-utterance-noise") == ADDITIVE
    assert tuple(CERTAIN) == (*always, "frame-or-utterance-noise")
    assert JOINT == ("gcnet-missing", "imder-missing", "mplmm-missing")
    assert ERASING_ALONE == ("modality-missing", "frame-missing", "block-missing")
    assert set(CORRUPTION_KINDS) == {*JOINT, *ERASING_ALONE, *CHANGING}


@EVERY_KIND
def test_a_kind_has_the_effects_that_it_states(kind: str) -> None:
    """No value of the batch is zero, and none is equal to another; a level in the middle hits some frames."""
    effects, changed = CORRUPTION_KINDS[kind].effects, at(kind, middle(kind))
    after, mask = changed.batch.features["audio"], BATCH.mask("audio")
    erased = (after == 0).all(-1) & mask
    assert bool(erased.any()) == ("erases" in effects)
    assert torch.equal(erased, changed.erased["audio"])
    rewritten = ((after != BATCH.features["audio"]).any(-1) & ~erased).any()
    assert bool(rewritten) == (effects != {"erases"})


def test_a_kind_that_adds_states_its_noise() -> None:
    with pytest.raises(ValueError, match="expected a noise of every kind that adds"):
        CorruptionKind("level", "adds something", frozenset({"adds"}))


# --- Properties of every kind ---


@EVERY_KIND
def test_level_zero_is_the_identity_to_the_bit(kind: str) -> None:
    for level in (0.0, np.zeros(24, np.float32)):
        result = at(kind, level)
        for m in MODALITIES:
            assert result.batch.features[m].numpy().tobytes() == BATCH.features[m].numpy().tobytes()
            assert not result.missing(m).any()
            assert not result.noise[m].any()


@every_kind
@given(data=st.data())
@few
def test_lengths_and_padding_are_untouched(kind: str, data: st.DataObject) -> None:
    level, options = data.draw(levels_of(kind)), data.draw(options_of(kind))
    result = at(kind, level, data.draw(st.integers(0, 3)), **options)
    for m in MODALITIES:
        assert torch.equal(result.batch.lengths[m], BATCH.lengths[m])
        assert result.batch.features[m].shape == BATCH.features[m].shape
        assert result.batch.features[m].dtype == torch.float32
        assert not result.batch.features[m][~BATCH.mask(m)].any()
        assert not result.erased[m][~BATCH.mask(m)].any()


@every_kind
def test_padding_stays_zero_when_draws_are_fresh(kind: str) -> None:
    result = run(BATCH, FreshDraws(BATCH, torch.Generator().manual_seed(5)), step_of(kind, middle(kind)))
    for m in MODALITIES:
        assert not result.batch.features[m][~BATCH.mask(m)].any()
    assert any(not torch.equal(result.batch.features[m], BATCH.features[m]) for m in MODALITIES)


@EVERY_KIND
def test_the_samples_that_come_in_are_not_changed_in_place(kind: str) -> None:
    before = {m: x.clone() for m, x in BATCH.features.items()}
    at(kind, middle(kind))
    assert all(torch.equal(BATCH.features[m], before[m]) for m in MODALITIES)


@EVERY_KIND
@given(data=st.data())
@few
def test_other_samples_their_order_and_number_change_nothing(kind: str, data: st.DataObject) -> None:
    step = step_of(kind, data.draw(levels_of(kind)), **data.draw(options_of(kind)))
    rows = torch.tensor(data.draw(st.lists(st.integers(0, 23), min_size=1, unique=True)))
    expected = rows_of(run(BATCH, common(1).rows(slice(None)), step), rows)
    part = BATCH.rows(rows)
    assert_same(run(part, common(1).rows(rows), step), expected)
    alone = CommonDraws(1, [IDS[i] for i in rows.tolist()], part)
    assert_same(run(part, alone.rows(slice(None)), step), expected)


@every_kind
@given(data=st.data())
@few
def test_further_padding_changes_nothing(kind: str, data: st.DataObject) -> None:
    step = step_of(kind, data.draw(levels_of(kind)), **data.draw(options_of(kind)))
    more = data.draw(st.integers(1, 5))
    longer = {m: torch.nn.functional.pad(x, (0, 0, 0, more)) for m, x in BATCH.features.items()}
    padded = Batch(longer, BATCH.lengths)
    result = run(padded, CommonDraws(1, IDS, padded).rows(slice(None)), step)
    assert_same(
        result, run(BATCH, common(1).rows(slice(None)), step), {m: x.shape[1] for m, x in BATCH.features.items()}
    )
    assert not any(result.batch.features[m][~padded.mask(m)].any() for m in MODALITIES)


@EVERY_KIND
def test_draws_that_are_too_large_to_keep_are_made_again_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = at(kind, middle(kind))
    monkeypatch.setattr(draws_module, "CACHE_BYTES", -1)
    rows = torch.tensor([20, 3, 11])
    again = run(BATCH.rows(rows), CommonDraws(1, IDS, BATCH).rows(rows), step_of(kind, middle(kind)))
    assert_same(again, rows_of(kept, rows))


@EVERY_KIND
@given(data=st.data())
@few
def test_one_level_per_sample_gives_each_sample_what_a_scalar_gives(kind: str, data: st.DataObject) -> None:
    levels = data.draw(st.lists(levels_of(kind), min_size=24, max_size=24))
    options = data.draw(options_of(kind))
    result = at(kind, np.array(levels, np.float32), **options)
    for i in data.draw(st.lists(st.integers(0, 23), min_size=1, max_size=4)):
        row = torch.tensor([i])
        alone, mine = rows_of(at(kind, levels[i], **options), row), rows_of(result, row)
        for m in MODALITIES:
            torch.testing.assert_close(mine.batch.features[m], alone.batch.features[m], rtol=1e-6, atol=1e-6)
            assert torch.equal(mine.erased[m], alone.erased[m])
            torch.testing.assert_close(mine.noise[m], alone.noise[m], rtol=1e-6, atol=1e-6)


@EVERY_KIND
@given(data=st.data())
@few
def test_what_is_lost_or_replaced_is_nested_as_the_level_grows(kind: str, data: st.DataObject) -> None:
    low, high = sorted([data.draw(levels_of(kind)), data.draw(levels_of(kind))])
    options, seed = data.draw(options_of(kind)), data.draw(st.integers(0, 3))
    less, more = at(kind, low, seed, **options), at(kind, high, seed, **options)
    for m in MODALITIES:
        assert not (less.erased[m] & ~more.erased[m]).any()
        if kind in REPLACING:
            changed, changed_more = (result.batch.features[m] != BATCH.features[m] for result in (less, more))
            assert not (changed & ~changed_more).any()


# --- Independence: signatures of what happened to each of many equal samples ---


def signatures(result: Corrupted, modality: str) -> list[Tensor]:
    """Numbers per sample that depend on everything that was drawn for it, and nothing else."""
    weights = torch.randn(5, 4, generator=torch.Generator().manual_seed(3))
    change = result.batch.features[modality] - SAME_CONTENT.features[modality]
    projection = (change * weights).sum((1, 2))
    return [projection, (projection - projection.median()).abs(), result.missing(modality) + result.noise[modality]]


def correlation(first: Tensor, second: Tensor) -> float:
    if first.std() < 1e-5 or second.std() < 1e-5:  # the same for every sample, as the size of additive noise is
        return 0.0
    return abs(float(np.corrcoef(first, second)[0, 1]))


FOUR_STANDARD_ERRORS = 4 / MANY**0.5


@EVERY_KIND
def test_another_draw_or_seed_is_independent(kind: str) -> None:
    first = at_many(kind, middle(kind))
    for other in (at_many(kind, middle(kind), draw=1), at_many(kind, middle(kind), seed=2)):
        for m in MODALITIES:
            assert not torch.equal(first.batch.features[m], other.batch.features[m])
            for a in signatures(first, m):
                for b in signatures(other, m):
                    assert correlation(a, b) < FOUR_STANDARD_ERRORS


@pytest.mark.parametrize("kind", [k for k in CORRUPTION_KINDS if k not in JOINT])
def test_modalities_are_independent_given_the_seed(kind: str) -> None:
    off = {name: False for name, choices in CORRUPTION_KINDS[kind].options.items() if False in choices}
    result = at_many(kind, middle(kind), **off)
    for one, other in (("text", "audio"), ("text", "vision"), ("audio", "vision")):
        assert not torch.equal(result.batch.features[one], result.batch.features[other])
        for a in signatures(result, one):
            for b in signatures(result, other):
                assert correlation(a, b) < FOUR_STANDARD_ERRORS


@pytest.mark.parametrize("kind", [k for k in CORRUPTION_KINDS if "shared_draws" in CORRUPTION_KINDS[k].options])
def test_shared_draws_lose_the_same_frames_where_widths_are_equal_and_only_there(kind: str) -> None:
    result = at_many(kind, 0.5, shared_draws=True)
    assert torch.equal(result.erased["text"], result.erased["audio"])
    assert torch.equal(result.erased["text"], result.erased["vision"])
    # Audio is shorter in the same width, vision as long in another width.
    audio = SAME_CONTENT.features["audio"].clone()
    audio[:, 4] = 0
    vision = torch.nn.functional.pad(SAME_CONTENT.features["vision"], (0, 0, 0, 1))
    lengths = {**SAME_CONTENT.lengths, "audio": torch.full((MANY,), 4)}
    apart = Batch({**SAME_CONTENT.features, "audio": audio, "vision": vision}, lengths)
    draws = CommonDraws(1, MANY_IDS, apart).rows(slice(None))
    other = run(apart, draws, step_of(kind, 0.5, shared_draws=True), reference=EQUAL_REFERENCE)
    assert torch.equal(other.erased["text"], result.erased["text"])
    assert torch.equal(other.erased["text"][:, :4], other.erased["audio"][:, :4])
    agreement = (other.erased["text"] == other.erased["vision"][:, :5]).float().mean()
    assert float(agreement) == pytest.approx(0.5, abs=0.04)  # 5 standard errors


@pytest.mark.parametrize("kind", ["frame-missing", "frame-substitution"])
def test_frames_of_a_sample_are_hit_independently(kind: str) -> None:
    result = at_many(kind, 0.5)
    hit = (result.batch.features["audio"] != SAME_CONTENT.features["audio"]).any(-1).float()
    assert hit.mean(0).tolist() == pytest.approx([0.5] * 5, abs=0.08)  # 5 standard errors
    assert np.abs(np.corrcoef(hit.T) - np.eye(5)).max() < FOUR_STANDARD_ERRORS


# --- Additive noise ---


@pytest.mark.parametrize("kind", ADDITIVE)
@given(a=st.floats(0.05, 3), b=st.floats(0.05, 3), seed=st.integers(0, 3))
@few
def test_noise_at_one_level_is_a_multiple_of_noise_at_another(kind: str, a: float, b: float, seed: int) -> None:
    for m in MODALITIES:
        noise_a, noise_b = (at(kind, level, seed).batch.features[m] - BATCH.features[m] for level in (a, b))
        torch.testing.assert_close(noise_b, noise_a * (b / a), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", CERTAIN)
def test_noise_has_the_stated_size_per_dimension(kind: str) -> None:
    result = at_many(kind, 0.5)
    for m in MODALITIES:
        noise = (result.batch.features[m] - SAME_CONTENT.features[m])[:, 0] / (0.5 * EQUAL_REFERENCE.std[m])
        assert noise.mean(0).tolist() == pytest.approx([0] * 4, abs=0.15)
        assert noise.std(0).tolist() == pytest.approx([1] * 4, abs=0.2)  # 4 standard errors for Laplace
        assert np.abs(np.corrcoef(noise.T) - np.eye(4)).max() < FOUR_STANDARD_ERRORS
        kurtosis = float((noise**4).mean() / (noise**2).mean() ** 2)
        noise_of_kind = CORRUPTION_KINDS[kind].noise
        assert noise_of_kind is not None
        assert (kurtosis > 4) == (noise_of_kind.law == "laplace")  # 6 for Laplace, 3 for Gaussian


@pytest.mark.parametrize("kind", FRESH)
def test_noise_differs_between_any_two_frames_and_dimensions(kind: str) -> None:
    result = at(kind, 1.0)
    for m in MODALITIES:
        noise = (result.batch.features[m] - BATCH.features[m]) / REFERENCE.std[m]
        for row, length in zip(noise, BATCH.lengths[m].tolist(), strict=True):
            assert np.unique(row[:length].numpy()).size == length * WIDTHS[m]
    many_noise = (at_many(kind, 1.0).batch.features["audio"] - SAME_CONTENT.features["audio"])[..., 0]
    assert np.abs(np.corrcoef(many_noise.T) - np.eye(5)).max() < FOUR_STANDARD_ERRORS


@pytest.mark.parametrize("kind", CONSTANT)
def test_utterance_noise_is_constant_over_frames_and_differs_between_dimensions(kind: str) -> None:
    result = at(kind, 1.0)
    for m in MODALITIES:
        noise = (result.batch.features[m] - BATCH.features[m]) / REFERENCE.std[m]
        for row, length in zip(noise, BATCH.lengths[m].tolist(), strict=True):
            torch.testing.assert_close(row[:length], row[:1].expand(length, -1), rtol=1e-5, atol=1e-5)
        assert np.unique(noise[:, 0].numpy()).size == 24 * WIDTHS[m]


def is_constant(noise: Tensor) -> Tensor:
    """Which samples have the same noise in all of their frames."""
    return torch.isclose(noise, noise[:, :1], rtol=1e-4, atol=1e-5).all(2).all(1)


def test_occasional_noise_hits_half_of_the_modalities_independently_and_leaves_the_others_as_they_are() -> None:
    result = at_many("occasional-noise", 0.5)
    hit = {m: (result.batch.features[m] != SAME_CONTENT.features[m]).flatten(1).any(1) for m in MODALITIES}
    for m in MODALITIES:
        assert float(hit[m].float().mean()) == pytest.approx(0.5, abs=FOUR_STANDARD_ERRORS / 2)
        noise = (result.batch.features[m] - SAME_CONTENT.features[m]) / EQUAL_REFERENCE.std[m]
        assert is_constant(noise).all()
        assert float(noise[hit[m], 0].std()) == pytest.approx(0.5, rel=0.1)
        assert torch.equal(result.noise[m], 0.5 * hit[m])
        assert torch.equal(result.chosen["occasional-noise", m], hit[m])
    together = np.corrcoef(torch.stack([hit[m] for m in MODALITIES]).numpy())
    assert np.abs(together - np.eye(3)).max() < FOUR_STANDARD_ERRORS


def test_noise_is_per_frame_or_per_utterance_with_equal_probability() -> None:
    result = at_many("frame-or-utterance-noise", 0.5)
    for m in MODALITIES:
        constant = is_constant((result.batch.features[m] - SAME_CONTENT.features[m]) / EQUAL_REFERENCE.std[m])
        assert float(constant.float().mean()) == pytest.approx(0.5, abs=FOUR_STANDARD_ERRORS / 2)
        assert torch.equal(result.chosen["frame-or-utterance-noise", m], constant)


@pytest.mark.parametrize("kind", [k for k in ADDITIVE if k not in (*FRESH, *CONSTANT)])
def test_the_samples_that_chance_chooses_are_the_same_at_every_level_and_with_levels_of_their_own(kind: str) -> None:
    low, high = at_many(kind, 0.2), at_many(kind, 0.9)
    for m in MODALITIES:
        assert torch.equal(low.chosen[kind, m], high.chosen[kind, m])
    draws = common(1).rows(slice(None))
    mixed = np.where(np.arange(24) < 12, 0.3, 0.8).astype(np.float32)
    result = run(BATCH, draws, Step(kind, dict.fromkeys(MODALITIES, mixed), {}))
    for m in MODALITIES:
        torch.testing.assert_close(result.batch.features[m][:12], at(kind, 0.3, 1).batch.features[m][:12])
        torch.testing.assert_close(result.batch.features[m][12:], at(kind, 0.8, 1).batch.features[m][12:])


# --- Values that are replaced or multiplied ---


@given(level=st.floats(0, 1), seed=st.integers(0, 3))
@few
def test_salt_and_pepper_values_are_the_two_extremes(level: float, seed: int) -> None:
    result = at("salt-and-pepper", level, seed)
    for m in MODALITIES:
        low, high = (REFERENCE.mean[m] + sign * 3 * REFERENCE.std[m] for sign in (-1, 1))
        x, before, mask = result.batch.features[m], BATCH.features[m], BATCH.mask(m)
        assert ((x == before) | (x == low) | (x == high))[mask].all()
        assert level < 1 or not (x == before)[mask].any()


def test_salt_and_pepper_changes_its_share_of_values_half_of_them_each_way() -> None:
    x = at_many("salt-and-pepper", 0.4).batch.features["audio"]
    low, high = (EQUAL_REFERENCE.mean["audio"] + sign * 3 * EQUAL_REFERENCE.std["audio"] for sign in (-1, 1))
    shares = [float((x == extreme).float().mean()) for extreme in (low, high)]
    assert shares == pytest.approx([0.2, 0.2], abs=0.015)  # 5 standard errors of 20000 values


@given(level=st.floats(0, 1), seed=st.integers(0, 3))
@few
def test_frame_substitution_inserts_frames_of_the_pool_and_nothing_else(level: float, seed: int) -> None:
    result = at("frame-substitution", level, seed)
    for m in MODALITIES:
        pool = {tuple(frame) for frame in REFERENCE.pool[m].tolist()}
        mask = BATCH.mask(m)
        for frame, before in zip(result.batch.features[m][mask], BATCH.features[m][mask], strict=True):
            assert torch.equal(frame, before) or tuple(frame.tolist()) in pool


def test_frame_substitution_takes_every_frame_of_the_pool_equally_often() -> None:
    x = at_many("frame-substitution", 1.0).batch.features["audio"]
    donor = (x[..., 0] - 100) / EQUAL_WIDTHS["audio"]
    counts = np.bincount(donor.long().flatten(), minlength=9)
    np.testing.assert_allclose(counts / counts.sum(), 1 / 9, atol=0.023)  # 5 standard errors


@pytest.mark.parametrize("kind", SCALING)
@given(data=st.data())
@few
def test_scalar_noise_multiplies_all_frames_by_one_factor(kind: str, data: st.DataObject) -> None:
    result = at(kind, data.draw(levels_of(kind)), data.draw(st.integers(0, 3)))
    for m in MODALITIES:
        for x, before, mask in zip(result.batch.features[m], BATCH.features[m], BATCH.mask(m), strict=True):
            factors = (x[mask] / before[mask]).flatten()
            torch.testing.assert_close(factors, factors[:1].expand_as(factors), rtol=1e-6, atol=1e-7)


def test_multiplied_and_missing_samples_are_disjoint_and_as_many_as_stated() -> None:
    result = at_many("missing-or-scalar-noise", 0.3)
    for m in MODALITIES:
        factor = result.batch.features[m][:, 0, 0] / SAME_CONTENT.features[m][:, 0, 0]
        shares = [float((factor == 0).float().mean()), float((factor == 1).float().mean())]
        assert shares == pytest.approx([0.3, 0.4], abs=0.08)  # 5 standard errors
        assert torch.equal(factor == 0, result.missing(m) == 1)


# --- The record in `Corrupted` ---


def lost_by_features(result: Corrupted, before: Batch, modality: str) -> Tensor:
    """Share of valid frames that are all zero, as none is in the data."""
    zero = (result.batch.features[modality] == 0).all(-1) & before.mask(modality)
    return zero.sum(1) / before.lengths[modality]


@EVERY_KIND
@given(data=st.data())
@few
def test_missing_is_the_share_of_frames_that_became_zero(kind: str, data: st.DataObject) -> None:
    result = at(kind, data.draw(levels_of(kind)), data.draw(st.integers(0, 3)), **data.draw(options_of(kind)))
    for m in MODALITIES:
        torch.testing.assert_close(result.missing(m), lost_by_features(result, BATCH, m))


@pytest.mark.parametrize("kind", [k for k in CORRUPTION_KINDS if k not in ADDITIVE])
@given(data=st.data())
@few
def test_noise_is_the_measured_change_of_what_is_left(kind: str, data: st.DataObject) -> None:
    result = at(kind, data.draw(levels_of(kind)), data.draw(st.integers(0, 3)), **data.draw(options_of(kind)))
    for m in MODALITIES:
        change = ((result.batch.features[m] - BATCH.features[m]) / REFERENCE.std[m]) ** 2
        left = BATCH.mask(m) & ~result.erased[m]
        expected = ((change.mean(-1) * left).sum(1) / BATCH.lengths[m]).sqrt()
        torch.testing.assert_close(result.noise[m], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", CERTAIN)
def test_noise_is_the_level_of_additive_noise_and_what_is_measured_on_average(kind: str) -> None:
    result = at_many(kind, 0.5)
    for m in MODALITIES:
        assert (result.noise[m] == 0.5).all()
        change = ((result.batch.features[m] - SAME_CONTENT.features[m]) / EQUAL_REFERENCE.std[m]) ** 2
        assert float(change.mean().sqrt()) == pytest.approx(0.5, rel=0.06)


def test_sizes_of_several_steps_add_up_as_variances_do() -> None:
    draws = common(1).rows(slice(None))
    result = run(BATCH, draws, step_of("gaussian-noise", 0.3), step_of("utterance-noise", 0.4))
    for m in MODALITIES:
        torch.testing.assert_close(result.noise[m], torch.full((24,), 0.5))


# --- Data that lacks something ---


@pytest.mark.parametrize("modalities", [("text", "audio"), ("text", "vision"), ("audio", "vision"), ("vision",)])
@every_kind
def test_fewer_modalities_do_no_harm(kind: str, modalities: tuple[str, ...]) -> None:
    batch = make_batch(varied_lengths(24, modalities))
    draws = CommonDraws(1, IDS, batch).rows(slice(None))
    for level in CORRUPTION_KINDS[kind].allowed or (0.0, middle(kind), min(CORRUPTION_KINDS[kind].highest, 1)):
        result = run(batch, draws, step_of(kind, level))
        assert result.batch.modalities == batch.modalities
        for m in modalities:
            assert result.batch.features[m].shape == batch.features[m].shape
            assert not result.batch.features[m][~batch.mask(m)].any()
            assert result.batch.features[m].isfinite().all()
        if kind in KEEPING_ONE:
            assert (torch.stack([result.missing(m) < 1 for m in modalities]).any(0)).all()


@every_kind
@given(data=st.data())
@few
def test_samples_that_lack_a_modality_do_no_harm(kind: str, data: st.DataObject) -> None:
    batch = make_batch(varied_lengths(24, shortest=-3) | {"audio": [0] * 20 + [8] * 4})
    batch = Batch(batch.features, {m: n.clamp(min=0) for m, n in batch.lengths.items()})
    level, options = data.draw(levels_of(kind)), data.draw(options_of(kind))
    result = run(batch, CommonDraws(1, IDS, batch).rows(slice(None)), step_of(kind, level, **options))
    for m in MODALITIES:
        assert result.batch.features[m].shape == batch.features[m].shape
        assert not result.batch.features[m][~batch.mask(m)].any()
        assert result.batch.features[m].isfinite().all()
        assert result.noise[m].isfinite().all()
        assert (result.missing(m)[batch.lengths[m] == 0] == 1).all()


@pytest.mark.parametrize("kind", KEEPING_ONE)
def test_a_sample_keeps_something_that_it_has(kind: str) -> None:
    batch = make_batch(varied_lengths(24) | {"text": [0] * 23 + [4]})
    result = run(
        batch, CommonDraws(1, IDS, batch).rows(slice(None)), step_of(kind, max(CORRUPTION_KINDS[kind].allowed or [1.0]))
    )
    assert torch.stack([result.batch.features[m].flatten(1).any(1) for m in MODALITIES]).any(0).all()


# --- Several kinds on one modality ---


@pytest.mark.parametrize("first", ERASING_ALONE)
@pytest.mark.parametrize("second", CHANGING)
def test_what_was_taken_away_stays_zero_when_another_kind_follows(first: str, second: str) -> None:
    result = run(BATCH, common(1).rows(slice(None)), step_of(first, 0.4), step_of(second, 0.4))
    for m in MODALITIES:
        assert not result.batch.features[m][result.erased[m]].any()
        torch.testing.assert_close(result.missing(m), lost_by_features(result, BATCH, m))


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(CORRUPTION_KINDS, 2)))
def test_two_kinds_on_one_modality_draw_independently(first: str, second: str) -> None:
    for a in signatures(at_many(first, middle(first)), "audio"):
        for b in signatures(at_many(second, middle(second)), "audio"):
            assert correlation(a, b) < 1.25 * FOUR_STANDARD_ERRORS
