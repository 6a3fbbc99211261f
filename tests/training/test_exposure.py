"""What the regimes corrupt training samples with, and whether it covers an evaluated protocol."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from freshdraws import FreshDraws
from tinydata import make_dataset
from torch import Tensor

from qamoe_bench.corruption.apply import apply_condition
from qamoe_bench.protocol.kinds import IMDER_SCHEDULE
from qamoe_bench.protocol.parse import load_protocol, parse_protocol, protocol_names
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.seeding import stream
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.coverage import training_facts
from qamoe_bench.training.exposure import CLEAN, SPECTRUM, DrawnLevels, OneCondition, sweep_of

EACH = TrainConfig()
BATCH = TrainConfig(levels_per="batch")
HEAD = 'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n'


def drawn(exposure: DrawnLevels, size: int = 4000, config: TrainConfig = EACH) -> Condition:
    return exposure.draw(size, stream("a test"), config)


def levels(condition: Condition, step: int = 0) -> dict[str, np.ndarray]:
    return {m: np.asarray(level) for m, level in condition.steps[step].levels.items()}


def test_the_spectrum_is_drawn_from_0_to_1_and_not_from_the_levels_of_its_protocol() -> None:
    condition = drawn(SPECTRUM)
    random = stream("a test")
    noise, rate = (random.random(4000, dtype=np.float32) for _ in range(2))  # first λ, then η
    np.testing.assert_array_equal(levels(condition, 0)["text"], noise)
    np.testing.assert_array_equal(levels(condition, 1)["audio"], noise)
    np.testing.assert_array_equal(levels(condition, 2)["vision"], rate)
    assert SPECTRUM.digest == load_protocol("mixed").digest
    assert sweep_of(load_protocol("mixed")).digest != SPECTRUM.digest


def test_a_shared_level_is_uniform_over_the_range_and_the_same_in_all_modalities() -> None:
    of = levels(drawn(sweep_of(load_protocol("random-missing"))))
    assert of["text"].dtype == np.float32
    np.testing.assert_array_equal(of["text"], of["audio"])
    np.testing.assert_array_equal(of["text"], of["vision"])
    assert 0 <= of["text"].min() < 0.01
    assert 0.69 < of["text"].max() <= 0.7
    assert of["text"].mean() == pytest.approx(0.35, abs=0.02)


def test_lnln_draws_a_rate_for_each_modality_and_leaves_half_of_them_untouched() -> None:
    of = levels(drawn(sweep_of(load_protocol("lnln-missing"))))
    touched = {m: level > 0 for m, level in of.items()}
    for m in of:
        assert touched[m].mean() == pytest.approx(0.5, abs=0.04)
        assert of[m][touched[m]].mean() == pytest.approx(0.5, abs=0.04)
        assert of[m].max() > 0.99
    # Independent halves: a quarter of the samples has both of two modalities untouched.
    assert (touched["text"] & touched["audio"]).mean() == pytest.approx(0.25, abs=0.04)
    both = touched["text"] & touched["vision"]
    assert abs(np.corrcoef(of["text"][both], of["vision"][both])[0, 1]) < 0.1


def test_untouched_samples_are_so_in_all_modalities_where_levels_are_shared() -> None:
    text = f'{HEAD}[training]\nuntouched = 0.5\n[axes]\neta = [0.2, 0.4]\n[[corruption]]\nkind = "frame-missing"\n'
    protocol = parse_protocol("p", text + 'rate = {text = "eta", audio = 0.3}\n')
    of = levels(drawn(sweep_of(protocol)))
    assert (of["text"] > 0).mean() == pytest.approx(0.5, abs=0.04)
    np.testing.assert_array_equal(of["text"] > 0, of["audio"] > 0)  # constant levels too
    assert set(of["audio"].tolist()) == {0.0, np.float32(0.3)}


def test_named_points_are_drawn_as_they_are_and_equally_often() -> None:
    protocol = load_protocol("fixed-missing")
    of = levels(drawn(sweep_of(protocol)))
    patterns, counts = np.unique(np.stack(list(of.values())), axis=1, return_counts=True)
    expected = [[c.steps[0].levels[m] for m in of] for c in protocol.conditions]
    assert sorted(patterns.T.tolist()) == sorted(expected)
    assert counts.min() > 4000 / 7 * 0.8


def test_a_schedule_is_drawn_at_the_levels_that_it_defines() -> None:
    of = levels(drawn(sweep_of(load_protocol("imder-missing"))))
    assert set(of["text"].tolist()) == {float(np.float32(level)) for level in IMDER_SCHEDULE}


@pytest.mark.parametrize("name", ["lnln-missing", "mixed", "fixed-missing", "imder-missing"])
def test_levels_may_be_drawn_once_per_batch(name: str) -> None:
    condition = drawn(sweep_of(load_protocol(name)), config=BATCH)
    assert {len(np.atleast_1d(level)) for step in condition.steps for level in step.levels.values()} == {1}


def test_a_protocol_without_corruption_is_clean() -> None:
    assert sweep_of(load_protocol("clean")).is_clean
    assert drawn(sweep_of(load_protocol("clean"))).steps == ()
    assert not sweep_of(load_protocol("fixed-missing")).is_clean


@pytest.mark.parametrize("name", protocol_names())
def test_a_level_of_zero_leaves_a_sample_as_it_is_next_to_others_that_are_corrupted(name: str) -> None:
    data = make_dataset()
    clean = data.splits["train"].batch()
    protocol = load_protocol(name)
    half = replace(protocol, training=replace(protocol.training, untouched=0.5))
    condition = sweep_of(half).draw(clean.size, stream("a test"), EACH)
    random = torch.Generator().manual_seed(1)
    corrupted = apply_condition(clean, condition, FreshDraws(clean, random), data.reference)

    def changed(m: str) -> Tensor:
        return (corrupted.batch.features[m] != clean.features[m]).flatten(1).any(1)

    some = False
    for m in clean.modalities:
        spared = np.ones(clean.size, bool)
        for step in condition.steps:
            if m in step.levels:
                spared &= np.broadcast_to(np.asarray(step.levels[m]) == 0, spared.shape)
        assert not changed(m)[torch.from_numpy(spared)].any()
        some |= bool(changed(m).any())
    # IMDer's code rounds its number of batches to tens, which leaves no pattern for few samples.
    assert some or name in ("clean", "imder-missing-code")


def test_the_digest_of_a_sweep_follows_the_protocol_and_how_it_is_drawn_and_not_prose() -> None:
    lnln = load_protocol("lnln-missing")

    def digest(**changes: object) -> str:
        return sweep_of(replace(lnln, training=replace(lnln.training, **changes))).digest  # type: ignore[arg-type]

    assert digest(source="other") == sweep_of(lnln).digest == sweep_of(replace(lnln, name="other")).digest
    others = [
        digest(untouched=0.0),
        digest(levels="shared"),
        digest(ranges={"eta": (0.0, 0.9)}),
        sweep_of(replace(lnln, axes={"eta": (0.0, 0.5)})).digest,
        sweep_of(load_protocol("frame-missing")).digest,
    ]
    assert len({sweep_of(lnln).digest, *others}) == 6


SEEN = [
    (CLEAN, "random-missing", "no", ["modality-missing"]),
    (CLEAN, "clean", "all", []),
    (SPECTRUM, "random-missing", "all", []),
    (SPECTRUM, "quality-degradation", "all", []),
    (SPECTRUM, "fixed-missing", "all", []),
    (SPECTRUM, "gcnet-missing", "no", ["gcnet-missing"]),
    (SPECTRUM, "laplace-noise", "in part", ["laplace-noise"]),
    (
        SPECTRUM,
        "frame-missing",
        "in part",
        ["frame-missing of text with other options", "frame-missing of audio and vision"],
    ),
    (sweep_of(load_protocol("random-missing")), "fixed-missing", "in part", ["modality-missing at 1"]),
    (sweep_of(load_protocol("fixed-missing")), "random-missing", "all", []),
    (sweep_of(load_protocol("temporal-shift")), "block-missing", "no", ["block-missing"]),
    (OneCondition(load_protocol("random-missing").conditions[3]), "random-missing", "in part",
     ["modality-missing at 0.1 to 0.7"]),
]  # fmt: skip


@pytest.mark.parametrize(("exposure", "name", "seen", "unseen"), SEEN)
def test_what_of_a_protocol_was_not_seen_in_training(
    exposure: OneCondition | DrawnLevels, name: str, seen: str, unseen: list[str]
) -> None:
    facts = training_facts(exposure, load_protocol(name))
    assert (facts["seen"], facts["unseen"]) == (seen, unseen)


OWN_TRAINING = [name for name in protocol_names() if load_protocol(name).training_protocol.name == name]


@pytest.mark.parametrize("name", OWN_TRAINING)
def test_a_sweep_and_specialists_have_seen_all_of_their_own_protocol(name: str) -> None:
    protocol: Protocol = load_protocol(name)
    own = training_facts(sweep_of(protocol), protocol)
    assert (own["on"], own["own"], own["seen"], own["unseen"]) == (name, True, "all", [])
    assert training_facts(None, protocol)["seen"] == "all"
