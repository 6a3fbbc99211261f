"""Corruption: exact meanings, common random numbers, and what must never change."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from freshdraws import FreshDraws
from hypothesis import given, settings
from hypothesis import strategies as st
from tinydata import make_split
from torch import Tensor

from qamoe_bench.contract import Batch, Reference
from qamoe_bench.corruption.apply import apply_condition
from qamoe_bench.corruption.draws import CommonDraws
from qamoe_bench.corruption.frames import FRAME
from qamoe_bench.corruption.modalities import PRESENCE
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.corruption.values import GAUSSIAN
from qamoe_bench.protocol.parse import load_protocol, parse_protocol
from qamoe_bench.protocol.spec import Condition

SPLIT = make_split("corruption", 60)
CLEAN = SPLIT.batch()
STD = {"text": torch.ones(5), "audio": torch.tensor([1.0, 2.0, 3.0]), "vision": torch.full((4,), 0.5)}
REFERENCE = Reference(
    mean={m: torch.full_like(s, 0.25) for m, s in STD.items()},
    std=STD,
    pool={m: 100 + torch.arange(8.0)[:, None].expand(8, len(s)) for m, s in STD.items()},
)
MIXED = load_protocol("mixed")
MISSING = load_protocol("random-missing")
NOISE = load_protocol("quality-degradation")


def at(seed: int = 1, **levels: float) -> Corrupted:
    """The whole split at a point of the protocol `mixed`; `lambda` is spelt `lam`."""
    point = {"lambda": levels.get("lam", 0.0), "eta": levels.get("eta", 0.0)}
    return apply_condition(
        CLEAN,
        Condition("c", point, MIXED.steps(point)),
        CommonDraws(seed, SPLIT.ids, CLEAN).rows(slice(None)),
        REFERENCE,
    )


def present(corrupted: Corrupted) -> Tensor:
    """(modalities, samples): True where something is left."""
    return torch.stack([(corrupted.batch.features[m] != 0).any(-1).any(-1) for m in CLEAN.modalities])


def test_level_zero_is_the_identity_to_the_bit() -> None:
    same = at(lam=0, eta=0)
    for m in CLEAN.modalities:
        assert torch.equal(same.batch.features[m], CLEAN.features[m])
        assert same.missing(m).sum() == 0
        assert same.noise[m].sum() == 0


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_masks_are_nested_as_the_rate_grows(a: float, b: float, seed: int) -> None:
    low, high = sorted([a, b])
    assert not (present(at(seed, eta=high)) & ~present(at(seed, eta=low))).any()
    less, more = at(seed, lam=low).erased["text"], at(seed, lam=high).erased["text"]
    assert not (less & ~more).any()


@given(st.floats(0.05, 1), st.floats(0.05, 1))
@settings(max_examples=25, deadline=None)
def test_noise_at_one_level_is_a_multiple_of_noise_at_another(a: float, b: float) -> None:
    for m in ("audio", "vision"):
        noise_a, noise_b = (at(lam=level).batch.features[m] - CLEAN.features[m] for level in (a, b))
        torch.testing.assert_close(noise_b, noise_a * (b / a), rtol=1e-4, atol=1e-5)


@given(st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_lengths_and_padding_are_untouched(lam: float, eta: float) -> None:
    corrupted = at(lam=lam, eta=eta).batch
    for m in CLEAN.modalities:
        assert torch.equal(corrupted.lengths[m], CLEAN.lengths[m])
        assert (corrupted.features[m][~CLEAN.mask(m)] == 0).all()


def test_every_sample_keeps_one_modality_even_at_rate_one() -> None:
    assert (present(at(eta=1.0)).sum(0) == 1).all()


def test_without_keep_one_rate_one_takes_everything() -> None:
    head = 'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n'
    step = '[[corruption]]\nkind = "modality-missing"\nrate = 1.0\nkeep_one = false\n'
    (condition,) = parse_protocol("p", head + step).conditions
    corrupted = apply_condition(CLEAN, condition, CommonDraws(1, SPLIT.ids, CLEAN).rows(slice(None)), REFERENCE)
    assert not present(corrupted).any()
    assert all((corrupted.missing(m) == 1).all() for m in CLEAN.modalities)


def test_a_modality_that_the_data_lacks_is_not_the_one_that_is_kept() -> None:
    lengths = {**CLEAN.lengths, "text": torch.zeros(60, dtype=torch.long)}
    batch = Batch({**CLEAN.features, "text": torch.zeros_like(CLEAN.features["text"])}, lengths)
    (step,) = MISSING.steps({"eta": 1.0})
    draws = CommonDraws(1, SPLIT.ids, batch).rows(slice(None))
    corrupted = apply_condition(batch, Condition("c", {}, (step,)), draws, REFERENCE)
    assert (present(corrupted)[1:].sum(0) == 1).all()


def test_missing_rates_and_the_kept_modality_follow_their_definition() -> None:
    # η = 0.7 with one kept: a modality is missing with 0.7 − 0.7³/3 = 0.5857
    split = make_split("many", 6000)
    clean = split.batch()
    draws = CommonDraws(5, split.ids, clean).rows(slice(None))
    corrupted = apply_condition(clean, MISSING.conditions[-1], draws, REFERENCE)
    rates = [float((corrupted.missing(m) == 1).float().mean()) for m in clean.modalities]
    assert rates == pytest.approx([0.7 - 0.7**3 / 3] * 3, abs=0.02)  # 3 standard errors
    alone = present(corrupted)[:, present(corrupted).sum(0) == 1].float().mean(1)
    assert alone.tolist() == pytest.approx([1 / 3] * 3, abs=0.03)


def test_noise_has_the_stated_size_and_differs_between_frames_and_dimensions() -> None:
    split = make_split("noise", 4000)
    clean = split.batch()
    draws = CommonDraws(5, split.ids, clean).rows(slice(None))
    corrupted = apply_condition(clean, NOISE.conditions[5], draws, REFERENCE)
    mask = clean.mask("audio")
    noise = (corrupted.batch.features["audio"] - clean.features["audio"])[mask]
    np.testing.assert_allclose(noise.std(0), 0.5 * STD["audio"], rtol=0.03)
    np.testing.assert_allclose(noise.mean(0), 0, atol=0.03)
    assert abs(float(np.corrcoef(noise.T)[0, 1])) < 0.03
    first, second = (corrupted.batch.features["audio"] - clean.features["audio"])[clean.lengths["audio"] > 1][
        :, :2, 0
    ].T
    assert abs(float(np.corrcoef(first, second)[0, 1])) < 0.05
    assert float(corrupted.missing("text").mean()) == pytest.approx(0.5, abs=0.02)


def test_modalities_and_seeds_draw_independently() -> None:
    split = make_split("many", 6000)
    draws = [CommonDraws(seed, split.ids, split.batch()).rows(slice(None)) for seed in (1, 2)]
    columns = [d(PRESENCE, m) for d in draws for m in ("text", "audio", "vision")]
    correlation = np.corrcoef(torch.stack(columns))
    assert np.abs(correlation - np.eye(6)).max() < 0.05


@pytest.mark.parametrize("size", [1, 7, 64])
def test_batch_size_and_order_change_nothing(size: int) -> None:
    whole = at(lam=0.4, eta=0.4).batch
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    draws = CommonDraws(1, SPLIT.ids, CLEAN)
    point = {"lambda": 0.4, "eta": 0.4}
    for rows in torch.split(order, size):
        part = apply_condition(
            CLEAN.rows(rows), Condition("c", point, MIXED.steps(point)), draws.rows(rows), REFERENCE
        ).batch
        for m in CLEAN.modalities:
            assert torch.equal(part.features[m], whole.features[m][rows])


def test_other_samples_and_further_padding_change_nothing() -> None:
    few = slice(10, 20)
    alone = CLEAN.rows(few)
    padded = Batch({m: torch.nn.functional.pad(x, (0, 0, 0, 3)) for m, x in alone.features.items()}, alone.lengths)
    point = {"lambda": 0.5, "eta": 0.3}
    condition = Condition("c", point, MIXED.steps(point))
    result = apply_condition(
        padded, condition, CommonDraws(1, SPLIT.ids[few], padded).rows(slice(None)), REFERENCE
    ).batch
    whole = at(lam=0.5, eta=0.3).batch
    for m in CLEAN.modalities:
        assert torch.equal(result.features[m][:, :-3], whole.features[m][few])


def test_one_level_per_sample_gives_each_sample_its_own() -> None:
    levels = np.linspace(0, 1, 60, dtype=np.float32)
    point = {"lambda": levels, "eta": np.zeros(60, np.float32)}
    draws = CommonDraws(1, SPLIT.ids, CLEAN).rows(slice(None))
    result = apply_condition(CLEAN, Condition("c", {}, MIXED.steps(point)), draws, REFERENCE)
    for i in (0, 30, 59):
        alone = at(lam=float(levels[i]))
        for m in CLEAN.modalities:
            torch.testing.assert_close(result.batch.features[m][i], alone.batch.features[m][i])


def test_fresh_draws_respect_padding_and_follow_their_generator() -> None:
    first, again = (FreshDraws(CLEAN, torch.Generator().manual_seed(4)) for _ in range(2))
    noise = first(GAUSSIAN, "audio")
    assert torch.equal(noise, again(GAUSSIAN, "audio"))
    assert not torch.equal(noise, first(GAUSSIAN, "audio"))
    assert (first(GAUSSIAN, "audio")[~CLEAN.mask("audio")] == 0).all()
    assert (first(FRAME, "text")[~CLEAN.mask("text")] == 0).all()


def test_lost_tokens_become_the_unknown_id_and_the_ends_stay() -> None:
    ids = torch.tensor([[[101.0], [7], [8], [102], [0]], [[101.0], [9], [102], [0], [0]]])
    batch = Batch({"text": ids}, {"text": torch.tensor([4, 3])})
    one = torch.ones(1)
    reference = Reference({"text": one}, {"text": one}, {"text": torch.tensor([[55.0]])}, token_ids={"text": 100})
    draws = CommonDraws(1, ("a", "b"), batch).rows(slice(None))
    for name in ("frame-missing", "random-missing", "token-substitution"):
        steps = load_protocol(name).steps({"eta": 1.0, "lambda": 1.0})
        keep_none = tuple(replace(s, options={**s.options, "keep_one": False}) for s in steps)
        result = apply_condition(batch, Condition("c", {}, keep_none), draws, reference).batch.features["text"][..., 0]
        new = 55 if name == "token-substitution" else 100
        assert result.tolist() == [[101, new, new, 102, 0], [101, new, 102, 0, 0]], name


def test_what_is_gone_stays_gone_whatever_comes_after() -> None:
    head = 'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n'
    lose = '[[corruption]]\nkind = "frame-missing"\nrate = 0.5\n'
    for kind, parameter in (("gaussian-noise", "level"), ("salt-and-pepper", "rate"), ("frame-substitution", "rate")):
        (condition,) = parse_protocol(
            "p", f'{head}{lose}[[corruption]]\nkind = "{kind}"\n{parameter} = 0.7\n'
        ).conditions
        result = apply_condition(CLEAN, condition, CommonDraws(1, SPLIT.ids, CLEAN).rows(slice(None)), REFERENCE)
        for m in CLEAN.modalities:
            assert (result.batch.features[m][result.erased[m]] == 0).all()
            assert 0.3 < result.missing(m).mean().item() < 0.7


def test_lost_frames_move_along_with_a_shift() -> None:
    head = 'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n'
    lose = '[[corruption]]\nkind = "frame-missing"\nrate = 0.5\n'
    (condition,) = parse_protocol("p", f'{head}{lose}[[corruption]]\nkind = "temporal-shift"\nrate = 0.4\n').conditions
    result = apply_condition(CLEAN, condition, CommonDraws(1, SPLIT.ids, CLEAN).rows(slice(None)), REFERENCE)
    for m in CLEAN.modalities:
        zero = (result.batch.features[m] == 0).all(-1) & CLEAN.mask(m)
        assert torch.equal(zero, result.erased[m])


def test_shared_draws_are_shared_in_training_too() -> None:
    shared = replace(FRAME, shared=True)
    lengths = {"text": torch.tensor([3, 4, 2]), "audio": torch.tensor([4, 2, 1]), "vision": torch.tensor([3, 4, 2])}
    batch = Batch({m: torch.ones(3, t, 2) for m, t in (("text", 4), ("audio", 4), ("vision", 6))}, lengths)
    draws = FreshDraws(batch, torch.Generator().manual_seed(0))
    text, audio, vision = (draws(shared, m) for m in ("text", "audio", "vision"))
    both = batch.mask("text") & batch.mask("audio")
    assert torch.equal(text[both], audio[both])
    assert (audio[batch.mask("audio")] > 0).all()
    assert not text[~batch.mask("text")].any()
    assert not torch.equal(vision[:, :4][batch.mask("text")], text[batch.mask("text")])
    assert not torch.equal(draws(FRAME, "audio"), audio)


def test_the_signal_that_is_left_is_the_share_of_frames_over_one_plus_noise() -> None:
    corrupted = at(lam=0.5, eta=0.0)
    torch.testing.assert_close(corrupted.signal("audio"), torch.full((60,), 1 / 1.25))
    torch.testing.assert_close(corrupted.signal("text"), 1 - corrupted.missing("text"))
    gone = at(eta=1.0)
    assert all(set(gone.signal(m).tolist()) <= {0.0, 1.0} for m in CLEAN.modalities)
