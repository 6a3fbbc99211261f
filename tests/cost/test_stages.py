"""Stages by the names of submodules, and the parameters that are active for a sample."""

from collections.abc import Mapping

import pytest
import torch
from tinydata import make_dataset
from torch import nn

from qamoe_bench.contract import Batch
from qamoe_bench.cost.counter import count
from qamoe_bench.cost.stages import EXPERTS, FUSION, HEADS, OTHERS, TEXT, by_stage, count_parameters, stage_of
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.registry import find_model, model_refs
from qamoe_bench.registry.card import STAGES


def made(name: str, data: Dataset) -> nn.Module:
    ref = find_model(name)
    model = ref.builder()(data.spec, **ref.settings)
    assert isinstance(model, nn.Module)
    return model


@pytest.mark.parametrize(
    ("module", "stage"),
    [
        ("encoders.text.language.bert", TEXT),
        ("encoders.audio.perceptron.2", OTHERS),
        ("encoder.frame", TEXT),
        ("experts.0", EXPERTS),
        ("head.3", HEADS),
        ("heading", FUSION),  # a prefix ends where a name does
        ("quality.text.spread", FUSION),
        ("", FUSION),
    ],
)
def test_the_longest_prefix_decides(module: str, stage: str) -> None:
    assert stage_of(module) == stage


def stages_of(name: str, counts: Mapping[str, int]) -> dict[str, int]:
    return by_stage(counts, find_model(name).card().stages)


@pytest.mark.parametrize(
    ("module", "stage"), [("body.text.0", TEXT), ("body.audio", OTHERS), ("head.3", EXPERTS), ("tail", FUSION)]
)
def test_a_declared_prefix_wins_over_the_conventions(module: str, stage: str) -> None:
    declared = {TEXT: ("body.text",), OTHERS: ("body",), EXPERTS: ("head",)}
    assert stage_of(module, declared) == stage


@pytest.mark.parametrize("name", model_refs())
def test_stages_sum_to_the_total(name: str, tiny: Dataset, batch: Batch) -> None:
    counts, _ = count(made(name, tiny), batch)
    stages = stages_of(name, counts)
    assert list(stages) == list(STAGES)
    assert sum(stages.values()) == sum(counts.values())
    assert name in ("mean", "gcnet") or stages[TEXT] > 0  # gcnet averages frames before its first layer


def test_qa_moe_by_hand() -> None:
    data = make_dataset(("audio",))
    batch = data.splits["test"].batch().rows(slice(2))
    # 3 features, 6 frames, width 4, 5 experts of which 2 are routed to, hidden 6; two samples.
    name = "qa-moe:width=4,experts=5,k=2,expert_hidden=6,dispatch=sparse"
    stages = stages_of(name, count(made(name, data), batch)[0])
    frames, statistics, perceptron = 6 * 3 * 4, 2 * 6 * 4, 8 * 4 + 4 * 4
    assert stages[OTHERS] == 2 * (frames + statistics + perceptron)
    assert stages[EXPERTS] == 2 * 2 * (4 * 12 + 6 * 4)
    assert stages[FUSION] == 2 * (4 * 4 + 4 * 4 + 4 * 5 + 4 * 4)  # quality, mean, gate, fusion
    assert stages[HEADS] == 2 * (4 + 4)
    assert stages[TEXT] == 0


@pytest.mark.parametrize(("k", "kept"), [(1, 0.2), (2, 0.4), (5, 1.0)])
def test_active_parameters_by_hand(k: int, kept: float, tiny: Dataset, batch: Batch) -> None:
    model = made(f"qa-moe:width=4,experts=5,k={k},expert_hidden=6", tiny)
    parameters = count_parameters(model, model(batch).routing)
    of_experts = 5 * (4 * 12 + 12 + 6 * 4 + 4)
    assert parameters.all == sum(p.numel() for p in model.parameters())
    assert parameters.active == parameters.all - of_experts + round(kept * of_experts)


def test_without_experts_all_parameters_are_active(tiny: Dataset, batch: Batch) -> None:
    for name in ("late-fusion", "qa-moe:-experts", "qa-moe-plus:-experts"):
        model = made(name, tiny)
        parameters = count_parameters(model, model(batch).routing)
        assert parameters.active == parameters.all
    nothing = count_parameters(nn.Linear(2, 2), {"text": torch.zeros(0, 4)})
    assert nothing.active == nothing.all == 6


def test_dispatch_changes_what_is_executed_and_so_what_is_counted(tiny: Dataset, batch: Batch) -> None:
    name = "qa-moe:width=4,experts=5,k=2,expert_hidden=6,dispatch={}"
    dense, sparse = (by_stage(count(made(name.format(d), tiny), batch)[0])[EXPERTS] for d in ("dense", "sparse"))
    of_one = 4 * 12 + 6 * 4
    assert sparse == 3 * 20 * 2 * of_one
    assert dense == 3 * 20 * 5 * (of_one + 4)  # the mixture is a product too
