"""Trainings in phases: which parameters learn in which epoch, at which rate, and which epochs may be kept."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from tinydata import training_batch
from torch import Tensor, nn

from qamoe_bench.contract import Batch, HasPhases, Output, ParameterGroup, Phase, TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.run.first_batch import try_first_batch
from qamoe_bench.seeding import seeded
from qamoe_bench.training.batches import CorruptedBatches
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import CLEAN, SPECTRUM
from qamoe_bench.training.loop import Trained, train
from qamoe_bench.training.phases import first_epoch_to_keep, phases_of

SHORT = TrainConfig(epochs=4, batch_size=16, selection_window=2, weight_decay=0)
CPU = torch.device("cpu")


class Alternating(nn.Module):
    """A level and a slope, each with an objective; remembers which phase ran in which order."""

    def __init__(self, **spans: tuple[float, float]) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(1))
        self.slope = nn.Parameter(torch.zeros(1))
        self.spans = spans
        self.passes: list[str] = []
        self.epochs: list[list[str]] = []

    def start_epoch(self, epoch: int) -> None:
        self.passes = []
        self.epochs.append(self.passes)

    def phases(self) -> Sequence[Phase]:
        level = Phase("level", self.level_loss, [ParameterGroup([self.level])], *self.spans.get("level", (0, 1)))
        slope = Phase("slope", self.slope_loss, [ParameterGroup([self.slope], 0.1)], *self.spans.get("slope", (0, 1)))
        return [level, slope]

    def level_loss(self, batch: TrainingBatch) -> Tensor:
        self.passes.append("level")
        return (self.level - 1).square().sum() + self.slope.square().sum()

    def slope_loss(self, batch: TrainingBatch) -> Tensor:
        self.passes.append("slope")
        return (self.slope - 1).square().sum() + self.level.square().sum()

    def forward(self, batch: Batch) -> Output:
        return Output(self.level + self.slope * torch.ones(batch.size))


def fit(model: nn.Module, data: Dataset, config: TrainConfig = SHORT) -> Trained:
    return train(model, data, CLEAN, 1, config, CPU)


def test_each_phase_has_a_pass_of_its_own_in_every_epoch(tiny: Dataset) -> None:
    model = Alternating()
    assert isinstance(model, HasPhases)
    fit(model, tiny)
    assert model.epochs == [["level"] * 3 + ["slope"] * 3] * 4  # 40 samples in batches of 16


def test_a_phase_changes_its_own_parameters_only(tiny: Dataset) -> None:
    """Each objective pulls the other's parameter to 0, which would hold both back."""
    model = Alternating()
    fit(model, tiny, replace(SHORT, epochs=40, learning_rate=0.3, selection_window=40))
    assert model.level.item() == pytest.approx(1, abs=0.05)


def test_the_rate_of_a_group_is_a_factor_of_the_loops(tiny: Dataset) -> None:
    model = Alternating()
    fit(model, tiny, replace(SHORT, epochs=1, selection_window=1))
    # AdamW moves by about the rate in each step as long as the gradient keeps its sign: 3 steps along a cosine.
    moved = sum((1 + math.cos(math.pi * step / 3)) / 2 for step in range(3)) * 1e-3
    assert model.level.item() == pytest.approx(moved, rel=0.01)
    assert model.slope.item() == pytest.approx(0.1 * moved, rel=0.01)


def test_phases_run_in_the_epochs_that_they_overlap(tiny: Dataset) -> None:
    model = Alternating(level=(0, 0.5), slope=(0.5, 1))
    trained = fit(model, tiny)
    assert [set(passes) for passes in model.epochs] == [{"level"}, {"level"}, {"slope"}, {"slope"}]
    assert trained.best_epoch in (3, 4)
    assert [e for e in range(1, 6) if model.phases()[1].runs_in(e, 5)] == [3, 4, 5]
    assert all(phase.runs_in(1, 1) for phase in model.phases()), "one epoch is a part of every phase"


def test_only_epochs_of_the_last_phase_are_kept_even_if_earlier_ones_were_better(tiny: Dataset) -> None:
    class Worse(Alternating):
        def slope_loss(self, batch: TrainingBatch) -> Tensor:
            return -self.slope.sum()  # away from the labels

    config = replace(SHORT, learning_rate=5.0, selection_window=4)
    trained = fit(Worse(level=(0, 0.5), slope=(0.5, 1)), tiny, config)
    assert trained.best_epoch == 4, "the window is cut to the two epochs of the phase"
    assert min(trained.valid_error[:2]) < min(trained.valid_error[2:])
    assert first_epoch_to_keep(phases_of(Alternating(slope=(0.5, 1))), 4) == 3


def test_every_sample_keeps_its_index(tiny: Dataset) -> None:
    batches = CorruptedBatches(tiny, SPECTRUM, 1, SHORT, CPU)
    split = tiny.splits["train"]
    for _ in range(2):
        seen = []
        for batch in batches.train_batches():
            assert torch.equal(batch.target, split.target[batch.index])
            assert torch.equal(batch.uncorrupted().features["text"], split.features["text"][batch.index])
            seen += batch.index.tolist()
        assert sorted(seen) == list(range(40))
        assert seen != list(range(40))
    assert torch.equal(batches.clean_samples().index, torch.arange(40))
    assert torch.equal(training_batch(split).rows(torch.tensor([7, 3])).index, torch.tensor([7, 3]))


def test_a_model_without_phases_has_one_of_all_its_parameters(tiny: Dataset) -> None:
    model = nn.Linear(2, 1)
    (phase,) = phases_of(model)
    assert phase.parameters == list(model.parameters())
    assert (phase.start, phase.stop) == (0, 1)


@pytest.mark.parametrize(("start", "stop"), [(0.5, 0.5), (-0.1, 1), (0, 1.1), (0.8, 0.2), (float("nan"), 1)])
def test_shares_of_a_phase_that_are_not_in_order_are_refused(start: float, stop: float) -> None:
    with pytest.raises(BenchError, match=r"Phase 'late': expected 0 <= start < stop <= 1, got .*; they are shares"):
        Phase("late", lambda batch: batch.target.sum(), [], start, stop)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_group_needs_a_rate_above_zero(rate: float) -> None:
    with pytest.raises(BenchError, match="ParameterGroup.rate: expected more than 0"):
        ParameterGroup([], rate)


def test_a_method_without_any_phase_is_refused(tiny: Dataset) -> None:
    class Nothing(Alternating):
        def phases(self) -> Sequence[Phase]:
            return []

    with pytest.raises(BenchError, match=r"Nothing.phases: expected at least one phase, got none; return one"):
        fit(Nothing(), tiny)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (lambda self, batch: (self.level - batch.target).abs(), "phase 'level' returned a tensor of shape"),
        (lambda self, batch: batch.target.sum(), "phase 'level' does not depend on its parameters"),
        (lambda self, batch: self.level.log().sum(), "phase 'level' is -inf before training"),
        (lambda self, batch: batch.nothing, "phase 'level' in training mode raised AttributeError"),
    ],
)
def test_the_first_batch_names_the_phase_that_fails(objective: object, message: str, tiny: Dataset) -> None:
    broken = type("Broken", (Alternating,), {"level_loss": objective})
    with pytest.raises(RunFailed, match=message), seeded("broken"):
        try_first_batch(broken, tiny, CLEAN, 1, SHORT, CPU)
