"""The training loop: deterministic, blind to the test split, and honest about divergence."""

from dataclasses import replace

import pytest
import torch
from tinydata import make_dataset, training_batch
from torch import Tensor, nn

from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import RunFailed
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.registry import find_model
from qamoe_bench.seeding import seeded
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import CLEAN, SPECTRUM, Exposure, OneCondition
from qamoe_bench.training.loop import Trained, best_epoch, train

SHORT = TrainConfig(epochs=4, batch_size=16, selection_window=2)
CPU = torch.device("cpu")


def fit(
    data: Dataset, exposure: Exposure = SPECTRUM, seed: int = 1, config: TrainConfig = SHORT
) -> tuple[nn.Module, Trained]:
    with seeded("build", seed):
        model = find_model("late-fusion").builder()(data.spec)
    return model, train(model, data, exposure, seed, config, CPU)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("exposure", [CLEAN, SPECTRUM], ids=["clean", "spectrum"])
def test_the_same_seed_gives_the_same_bits_whatever_the_global_state(tiny: Dataset, exposure: Exposure) -> None:
    first, a = fit(tiny, exposure)
    torch.rand(17)
    second, b = fit(tiny, exposure)
    assert torch.equal(weights(first), weights(second))
    assert a.valid_error == b.valid_error


def test_seeds_and_regimes_differ(tiny: Dataset) -> None:
    first, other_seed, other_regime = fit(tiny)[0], fit(tiny, seed=2)[0], fit(tiny, CLEAN)[0]
    assert not torch.equal(weights(first), weights(other_seed))
    assert not torch.equal(weights(first), weights(other_regime))


def test_the_test_split_has_no_influence(tiny: Dataset) -> None:
    poisoned = {m: x * float("nan") for m, x in tiny.splits["test"].features.items()}
    splits = {**tiny.splits, "test": replace(tiny.splits["test"], features=poisoned)}
    assert torch.equal(weights(fit(tiny)[0]), weights(fit(replace(tiny, splits=splits))[0]))


def test_training_leaves_torchs_global_randomness_alone(tiny: Dataset) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(tiny)
    assert torch.equal(torch.rand(3), expected)


def test_loss_falls_and_the_best_validation_epoch_is_kept(tiny: Dataset) -> None:
    model, trained = fit(tiny, CLEAN, config=TrainConfig(epochs=30, batch_size=16))
    assert trained.train_loss[-1] < 0.7 * trained.train_loss[0]
    assert trained.best_epoch == best_epoch(trained.valid_error, 5)
    valid = training_batch(tiny.splits["valid"])
    with torch.no_grad():
        loss = (model(valid).prediction - valid.target).abs().mean()
    assert float(loss) == pytest.approx(trained.valid_error[trained.best_epoch - 1], rel=1e-5)


class Exploding(nn.Module):
    """A model whose predictions are never finite."""

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, batch: Batch) -> Output:
        return Output((self.weight * float("inf")).expand(batch.size))


def test_the_epoch_is_chosen_by_the_mean_over_a_run_of_epochs() -> None:
    dip = [3.0, 1.0, 3.0, 2.0, 2.0, 2.0, 2.5]
    assert best_epoch(dip, 1) == 2  # a single epoch may be lucky
    assert best_epoch(dip, 3) == 4  # (1 + 3 + 2) / 3 and (2 + 2 + 2) / 3 are equal: the first
    assert best_epoch(dip, 2) == 2
    assert best_epoch([*dip[:4], float("nan"), 0.0, 0.0], 3) == 4
    assert best_epoch([1.0, 1.0], 3) == 0
    assert best_epoch([float("inf")] * 4, 3) == 0


def test_a_training_that_diverges_says_so() -> None:
    data = make_dataset()
    with pytest.raises(RunFailed, match="diverged"):
        train(Exploding(data.spec), data, CLEAN, 1, SHORT, CPU)


def test_a_model_with_its_own_loss_is_trained_on_it(tiny: Dataset) -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.level = nn.Parameter(torch.zeros(1))

        def forward(self, batch: Batch) -> Output:
            return Output(self.level.expand(batch.size))

        def loss(self, output: Output, batch: TrainingBatch) -> Tensor:
            return ((output.prediction - 2) ** 2).mean()

    config = TrainConfig(epochs=200, learning_rate=0.05, weight_decay=0)
    trained = train(Constant(), tiny, CLEAN, 1, config, CPU)
    assert trained.train_loss[0] == pytest.approx(4, rel=0.2)
    assert trained.train_loss[-1] < 1e-3


def test_levels_can_be_drawn_per_batch(tiny: Dataset) -> None:
    per_batch = fit(tiny, config=replace(SHORT, levels_per="batch"))[0]
    assert not torch.equal(weights(per_batch), weights(fit(tiny)[0]))


def test_a_specialist_sees_its_condition_only(tiny: Dataset) -> None:
    seen: list[Batch] = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.level = nn.Parameter(torch.zeros(1))

        def forward(self, batch: Batch) -> Output:
            seen.append(batch)
            return Output(self.level.expand(batch.size))

    protocol = load_protocol("fixed-missing")
    (text_only,) = [c for c in protocol.conditions if c.name == "text"]
    train(Watching(), tiny, OneCondition(text_only), 1, SHORT, CPU)
    assert all((batch.features["audio"] == 0).all() and (batch.features["vision"] == 0).all() for batch in seen)
    lessons = [batch for batch in seen if isinstance(batch, TrainingBatch)]
    assert len(lessons) == 4 * 3  # validation batches carry no lesson
    for batch in lessons:
        assert (batch.clean["audio"] != 0).any()
        assert (batch.signal["audio"] == 0).all()
        assert (batch.signal["text"] == 1).all()


def test_a_model_without_parameters_is_left_as_it_is(tiny: Dataset) -> None:
    trained = train(find_model("mean").builder()(tiny.spec), tiny, SPECTRUM, 1, SHORT, CPU)
    assert (trained.best_epoch, trained.train_loss) == (0, ())
    assert len(trained.valid_error) == 1


def test_a_model_is_told_the_epoch(tiny: Dataset) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.level, self.epochs = nn.Parameter(torch.zeros(1)), list[int]()

        def start_epoch(self, epoch: int) -> None:
            self.epochs.append(epoch)

        def forward(self, batch: Batch) -> Output:
            return Output(self.level.expand(batch.size))

    model = Counting()
    train(model, tiny, CLEAN, 1, SHORT, CPU)
    assert model.epochs == [1, 2, 3, 4]


def test_validation_is_the_same_when_it_is_made_again_for_every_epoch(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, courses = replace(SHORT, epochs=2, selection_window=1, validation_samples=30), []
    for kept in (2**29, 0):
        monkeypatch.setattr("qamoe_bench.training.batches.KEPT_BYTES", kept)
        courses.append(fit(tiny, config=config)[1].valid_error)
    assert courses[0] == pytest.approx(courses[1], rel=1e-6)


class Prepared(nn.Module):
    """Predicts the mean label of the samples that it was prepared with, and remembers what it saw."""

    centre: Tensor

    def __init__(self, learns: bool) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(()))
        self.offset = nn.Parameter(torch.zeros(()), requires_grad=learns)
        self.seen: list[TrainingBatch | str] = []
        self.random = torch.zeros(())

    def prepare(self, samples: TrainingBatch) -> None:
        assert not torch.is_grad_enabled()
        self.seen.append(samples)
        self.random = torch.rand(())
        self.centre.copy_(samples.target.mean())

    def start_epoch(self, epoch: int) -> None:
        self.seen.append(f"epoch {epoch}")

    def forward(self, batch: Batch) -> Output:
        return Output((self.centre + self.offset).expand(batch.size))


@pytest.mark.parametrize("learns", [True, False])
def test_a_model_is_prepared_once_before_the_first_epoch_with_the_clean_training_split(
    learns: bool, tiny: Dataset
) -> None:
    model = Prepared(learns)
    train(model, tiny, SPECTRUM, 1, SHORT, CPU)
    samples, *epochs = model.seen
    assert epochs == ([f"epoch {epoch}" for epoch in range(1, 5)] if learns else [])
    assert isinstance(samples, TrainingBatch)
    split = tiny.splits["train"]
    for m, x in split.features.items():
        assert torch.equal(samples.features[m], x)
        assert torch.equal(samples.clean[m], x)
        assert (samples.signal[m] == 1).all()
    assert torch.equal(samples.target, split.target)
    torch.testing.assert_close(model.centre, split.target.mean())


def test_preparation_is_seeded_and_changes_no_other_random_number(tiny: Dataset) -> None:
    first, second, other = Prepared(True), Prepared(True), Prepared(True)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(first, tiny, SPECTRUM, 1, SHORT, CPU)
    assert torch.equal(torch.rand(3), expected)
    train(second, tiny, SPECTRUM, 1, SHORT, CPU)
    train(other, tiny, SPECTRUM, 2, SHORT, CPU)
    assert first.random == second.random != other.random
