"""Encodings are computed once for equal inputs, and predictions do not change."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tinydata import make_dataset
from torch import Tensor, nn

from qamoe_bench.contract import Batch, Output, TwoStage
from qamoe_bench.corruption.apply import APPLY
from qamoe_bench.corruption.state import Corrupted, erase_modalities, uncorrupted
from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.errors import RunFailed
from qamoe_bench.evaluation.encoding_cache import emptied_inputs
from qamoe_bench.evaluation.sweep import Sweep, sweep_model
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.kinds import CORRUPTION_KINDS
from qamoe_bench.protocol.parse import load_protocol, parse_protocol, protocol_names
from qamoe_bench.protocol.spec import Condition, Protocol, Step
from qamoe_bench.registry import find_model, model_refs
from qamoe_bench.seeding import seeded

CPU = torch.device("cpu")
MISSING = replace(load_protocol("random-missing"), draws=3)
VARIANTS = [f"{ref.name}:{variant}" for ref in model_refs().values() for variant in ref.variants()]
HEAD = 'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n'


class Counts(nn.Module):
    """Predicts the sum of all frames, and records the inputs of its encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, bytes]] = []

    def encode_modality(self, batch: Batch, modality: str) -> Tensor:
        assert batch.modalities == (modality,)
        lengths = batch.lengths[modality].tolist()
        self.seen += [
            (modality, x[:n].abs().numpy().tobytes()) for x, n in zip(batch.features[modality], lengths, strict=True)
        ]
        return batch.features[modality].sum((1, 2))

    def fuse(self, encoded: Mapping[str, Tensor]) -> Output:
        return Output(torch.stack([*encoded.values()]).sum(0))

    def forward(self, batch: Batch) -> Output:
        return Output(torch.stack([batch.features[m].sum((1, 2)) for m in batch.modalities]).sum(0))


def swept(model: nn.Module, data: Dataset, protocol: Protocol, batch_size: int = 64, *, once: bool = True) -> Sweep:
    return sweep_model(model, TestSet(data, 1, CPU), protocol, batch_size, encode_once=once, permutations=0)


def assert_close(result: Sweep, expected: Sweep) -> None:
    assert result.columns.keys() == expected.columns.keys()
    for name, values in expected.columns.items():
        if values.dtype == np.float32:
            np.testing.assert_allclose(result.columns[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(result.columns[name], values)


def made(name: str, data: Dataset) -> nn.Module:
    ref = find_model(name)
    with seeded("test", name):
        model = ref.builder()(data.spec, **ref.settings)
    assert isinstance(model, nn.Module)
    return model


def with_tokens() -> Dataset:
    """The tiny data with ids from 1 to 9 for text, between 101 and 102; 100 replaces a lost one."""
    data = make_dataset()

    def tokens(split: Split) -> Split:
        x = (split.features["text"][..., :1].abs() * 4).round().clamp(1, 9)
        length = split.lengths["text"]
        x[:, 0] = 101
        x[torch.arange(len(x)), length - 1] = 102
        valid = torch.arange(x.shape[1]) < length[:, None]
        return replace(split, features={**split.features, "text": x * valid[..., None]})

    splits = {name: tokens(split) for name, split in data.splits.items()}
    return replace(data, splits=splits, token_ids={"text": 100}, digest="tokens")


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("data", [make_dataset(), with_tokens()], ids=["features", "tokens"])
def test_under_random_missing_each_sample_is_encoded_once_and_each_kind_of_nothing(
    data: Dataset, batch_size: int
) -> None:
    model = Counts()
    result = swept(model, data, MISSING, batch_size)
    whole = data.splits["test"].batch()
    emptied = 0
    for m in data.spec.modalities:
        gone = result.columns[f"missing_{m}"].reshape(-1, 20).any(0)
        emptied += len(set(emptied_inputs(uncorrupted(whole, data.token_ids), m)[torch.from_numpy(gone)].tolist()))
    assert result.encodings_asked == 3 * 20 * 24
    assert result.encodings_computed == len(model.seen) == 3 * 20 + emptied
    # The first condition is the clean one; after it nothing is encoded that was encoded before.
    assert len(set(model.seen[60:])) == emptied
    assert_close(result, swept(Counts(), data, MISSING, batch_size, once=False))


@pytest.mark.parametrize("name", protocol_names())
def test_what_is_reused_is_to_the_bit_what_is_encoded_elsewhere(name: str, tiny: Dataset) -> None:
    protocol = replace(load_protocol(name), draws=2)
    assert_close(swept(Counts(), tiny, protocol, 7), swept(Counts(), tiny, protocol, 7, once=False))


steps = st.lists(
    st.tuples(st.sampled_from(sorted(CORRUPTION_KINDS)), st.sampled_from([0.0, 0.3, 0.5, 1.0])), max_size=3
)


@given(steps, st.booleans(), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_intact_and_emptied_samples_are_so_whatever_came_over_them(
    drawn: list[tuple[str, float]], tokens: bool, seed: int
) -> None:
    data = with_tokens() if tokens else make_dataset()
    test = TestSet(data, seed, CPU)
    condition = Condition("c", {}, tuple(s for kind, level in drawn for s in some_steps(kind, level, tokens)))
    result, clean = test.corrupted(condition), test.clean
    everything = {m: torch.ones(20, dtype=torch.bool) for m in clean.modalities}
    nothing = erase_modalities(uncorrupted(clean, data.token_ids), everything).batch
    for m in clean.modalities:
        x, intact, emptied = result.batch.features[m], result.intact(m), result.emptied(m)
        assert torch.equal(x[intact], clean.features[m][intact])
        assert torch.equal(x[emptied], nothing.features[m][emptied])
        if not condition.steps:
            assert intact.all()


def some_steps(kind: str, level: float, tokens: bool) -> tuple[Step, ...]:
    about = CORRUPTION_KINDS[kind]
    level = min(level, about.highest) if not about.allowed else min(about.allowed, key=lambda a: abs(a - level))
    where = 'modalities = ["audio", "vision"]\n' if tokens and about.numeric else ""
    text = f'{HEAD}[[corruption]]\nkind = "{kind}"\n{about.parameter} = {level}\n{where}'
    (condition,) = parse_protocol("p", text).conditions
    return condition.steps


def test_every_kind_is_known_to_the_test_above() -> None:
    assert set(CORRUPTION_KINDS) == set(APPLY)


def test_remainders_of_a_lost_modality_are_equal_for_equal_numbers_only() -> None:
    data = with_tokens()
    whole = uncorrupted(data.splits["test"].batch(), data.token_ids)
    nothing = erase_modalities(whole, {m: torch.ones(20, dtype=torch.bool) for m in data.spec.modalities}).batch
    for m in data.spec.modalities:
        numbers = emptied_inputs(whole, m)
        for i in range(20):
            for j in range(20):
                same = torch.equal(nothing.features[m][i], nothing.features[m][j])
                equal = bool(nothing.lengths[m][i] == nothing.lengths[m][j]) and same
                assert bool(numbers[i] == numbers[j]) == equal


# What is reused depends on the protocol and not on a variant, so variants are tried under the one with most kinds.
@pytest.mark.parametrize(
    ("name", "protocol"),
    [*product(model_refs(), ("random-missing", "mixed", "frame-missing")), *product(VARIANTS, ("mixed",))],
)
def test_every_model_predicts_the_same_with_and_without(name: str, protocol: str, tiny: Dataset) -> None:
    result = load_protocol(protocol)
    asked = replace(result, axes={axis: levels[:: max(1, len(levels) - 1)] for axis, levels in result.axes.items()})
    model = made(name, tiny)
    with_it = swept(model, tiny, asked, 7)
    assert_close(with_it, swept(model, tiny, asked, 7, once=False))
    if "faithful" not in name:  # which draws random numbers, batch by batch
        assert_close(with_it, swept(model, tiny, asked, 20))
    again = swept(model, tiny, asked, 7)
    assert all(np.array_equal(again.columns[c], with_it.columns[c]) for c in with_it.columns)
    if isinstance(model, TwoStage):
        assert 0 < with_it.encodings_computed <= with_it.encodings_asked
    else:
        assert with_it.encodings_asked == 0


def test_all_built_in_models_but_two_encode_apart(tiny: Dataset) -> None:
    assert {name for name in model_refs() if not isinstance(made(name, tiny), TwoStage)} == {"mean", "sam-lml"}


def test_a_model_of_its_own_for_each_condition_gets_no_encoding_of_another(tiny: Dataset) -> None:
    protocol = replace(MISSING, axes={"eta": (0.0, 0.5)}, draws=2)
    models = {c.name: made("late-fusion", tiny) for c in protocol.conditions}
    for i, model in enumerate(models.values()):
        with seeded(i):
            nn.init.normal_(next(model.parameters()))
    result = [
        sweep_model(lambda c: models[c.name], TestSet(tiny, 1, CPU), protocol, encode_once=once, permutations=0)
        for once in (True, False)
    ]
    assert_close(*result)


def test_a_model_whose_stages_differ_from_its_forward_pass_is_refused(tiny: Dataset) -> None:
    class Differs(Counts):
        def forward(self, batch: Batch) -> Output:
            return Output(super().forward(batch).prediction + 1)

    class Pools(Counts):
        def encode_modality(self, batch: Batch, modality: str) -> Tensor:
            return batch.features[modality].sum()

    with pytest.raises(RunFailed, match="and the forward pass predict differently"):
        swept(Differs(), tiny, MISSING)
    with pytest.raises(RunFailed, match=r"encoding a modality gave shape \(\).*each of 20"):
        swept(Pools(), tiny, MISSING)


def test_noise_leaves_nothing_to_reuse(tiny: Dataset) -> None:
    head = HEAD + "[axes]\nlambda = [0.1, 0.2]\n"
    protocol = parse_protocol("p", head + '[[corruption]]\nkind = "gaussian-noise"\nlevel = "lambda"\n')
    result = swept(Counts(), tiny, protocol)
    assert result.encodings_computed == result.encodings_asked == 3 * 20 * 2


def test_speed_is_that_of_whole_passes_only(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of the model's takes a second per sample: three encoders and the fusion make four."""

    class Stands:
        now = 0.0

        def process_time(self) -> float:
            return self.now

    clock = Stands()

    class Slow(Counts):
        def encode_modality(self, batch: Batch, modality: str) -> Tensor:
            clock.now += batch.size
            return super().encode_modality(batch, modality)

        def fuse(self, encoded: Mapping[str, Tensor]) -> Output:
            clock.now += len(encoded["text"])
            return super().fuse(encoded)

    monkeypatch.setattr("qamoe_bench.evaluation.clock.time", clock)
    for name in ("random-missing", "fixed-missing"):  # the second begins with lost modalities
        assert swept(Slow(), tiny, load_protocol(name), 7).seconds_per_sample == 4


def test_a_modality_that_may_have_been_rewritten_is_not_intact() -> None:
    batch = make_dataset().splits["test"].batch()
    assert isinstance(uncorrupted(batch, {}), Corrupted)
    written = replace(uncorrupted(batch, {}), written=frozenset({"text"}))
    assert not written.intact("text").any()
    assert written.intact("audio").all()
