"""The contract for classes and several labels, over every model that declares them; a supplement to `test_models`."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from tinydata import CLASSES, LABELS, make_dataset, training_batch
from torch import Tensor, nn

from qamoe_bench.contract import AcceptsQuality, Batch, DataSpec, HasEpochs, HasPreparation, Output, TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.nn.answers import prediction_loss
from qamoe_bench.registry import find_model, model_refs
from qamoe_bench.seeding import seeded
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import CLEAN
from qamoe_bench.training.loop import train
from qamoe_bench.training.phases import phases_of
from qamoe_bench.vocabulary import Task

TASKS: dict[str, Task] = {task.kind: task for task in (CLASSES, LABELS)}
ABLE = [(name, kind) for name, ref in model_refs().items() for kind in TASKS if kind in ref.card().tasks]
LEARNING = [(name, kind) for name, kind in ABLE if find_model(name).card().parameters]
QUICK = [(name, kind) for name, kind in LEARNING if "quick" in find_model(name).card().groups]
QUICK = [(name, kind) for name, kind in LEARNING if "quick" in find_model(name).card().groups]
VARIANTS = [(f"{name}:{v}", kind) for name, kind in QUICK if kind == "classes" for v in find_model(name).variants()]
OTHERS = [("qa-moe:label-nll", "multi-label"), ("qa-moe:class_loss=heteroscedastic", "classes")]
OTHERS += [("c-mib:l-mib", "classes"), ("c-mib:b-mib", "classes"), ("mm-boosting:-multimodal", "classes")]
every_able_model = pytest.mark.parametrize(("name", "kind"), ABLE)


@cache
def data_of(kind: str, modalities: tuple[str, ...] = ("text", "audio", "vision")) -> Dataset:
    return make_dataset(modalities, task=TASKS[kind])


@cache
def batch_of(kind: str) -> TrainingBatch:
    return training_batch(data_of(kind).splits["test"])


def made(name: str, spec: DataSpec) -> nn.Module:
    ref = find_model(name)
    with seeded("test", name):
        model = ref.builder()(spec, **ref.settings)
    assert isinstance(model, nn.Module)
    return model.eval()


def zeroed(batch: TrainingBatch, *modalities: str) -> TrainingBatch:
    return replace(batch, features={m: x * (m not in modalities) for m, x in batch.features.items()})


def columns(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    with torch.no_grad():
        output = model(batch)
    assert isinstance(output, Output)
    return output.columns()


def check(output: Output, size: int, task: Task) -> None:
    """That the output is one for the task: shapes, probabilities and the label that follows from them."""
    values = output.log_probabilities
    assert values is not None
    assert values.shape == (size, task.outputs)
    assert all(x.shape == (size,) and x.isfinite().all() for x in output.columns().values())
    assert output.variance is None
    if task.kind == "classes":
        torch.testing.assert_close(values.exp().sum(1), torch.ones(size))
        assert torch.equal(output.prediction, values.argmax(1).float())
    else:
        assert (values <= 0).all()
        expected = ((values.exp() > 0.5) * 2 ** torch.arange(task.outputs)).sum(1)
        assert torch.equal(output.prediction, expected.float())


@every_able_model
def test_log_probabilities_whatever_is_missing(name: str, kind: str) -> None:
    data = data_of(kind)
    batch = batch_of(kind)
    model = made(name, data.spec)
    bare = replace(zeroed(batch, "audio"), lengths={**batch.lengths, "audio": torch.zeros_like(batch.lengths["audio"])})
    everything = ("text", "audio", "vision")
    noisy = replace(batch, features={m: 100 * x for m, x in batch.features.items()})
    for degraded in (batch, zeroed(batch, "text"), zeroed(batch, *everything), bare, noisy, batch.rows(slice(1))):
        with torch.no_grad():
            check(model(degraded), degraded.size, data.task)


@every_able_model
def test_a_single_modality_in_the_data(name: str, kind: str) -> None:
    for modality in ("text", "vision"):
        data = data_of(kind, (modality,))
        with torch.no_grad():
            check(made(name, data.spec)(data.splits["test"].batch()), 20, data.task)


@every_able_model
def test_padding_order_and_labels_have_no_influence(name: str, kind: str) -> None:
    batch = batch_of(kind)
    model = made(name, data_of(kind).spec)
    expected = columns(model, batch)
    poisoned = {m: torch.where(batch.mask(m)[..., None], x, 77.0) for m, x in batch.features.items()}
    order = torch.arange(20).flip(0)
    with_other_padding = columns(model, Batch(poisoned, batch.lengths))
    reversed_batch = columns(model, batch.rows(order))
    for key, value in expected.items():
        torch.testing.assert_close(with_other_padding[key], value)
        torch.testing.assert_close(reversed_batch[key], value[order])


@every_able_model
def test_saved_and_loaded_weights_give_the_same_output(name: str, kind: str) -> None:
    spec = data_of(kind).spec
    model = made(name, spec)
    with seeded("another"):
        twin = find_model(name).builder()(spec).eval()
    twin.load_state_dict(model.state_dict())
    expected = columns(model, batch_of(kind))
    for key, value in columns(twin, batch_of(kind)).items():
        assert torch.equal(value, expected[key])


@pytest.mark.parametrize(("name", "kind"), [*LEARNING, *VARIANTS, *OTHERS])
def test_gradients_reach_every_parameter(name: str, kind: str) -> None:
    model = made(name, data_of(kind).spec).train()
    batch = batch_of(kind)
    some_lost = {m: x.clone() for m, x in batch.features.items()}
    for i, x in enumerate(some_lost.values()):
        x[i::5] = 0  # some objectives learn from what is missing
    batch = replace(batch, features=some_lost)
    untouched = {n for n, p in model.named_parameters() if p.requires_grad}
    with seeded("gradients", name):
        for step in range(20):  # sparse routing may leave an expert out of one batch
            for parameter in model.parameters():
                # No tanh saturates with weights of this size.
                nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5) if parameter.ndim > 1 else None
            untouched -= reached_by(model, batch, TASKS[kind], step + 1)
            if not untouched:
                return
    assert not untouched


def reached_by(model: nn.Module, batch: TrainingBatch, task: Task, epoch: int) -> set[str]:
    """Names of the parameters with a gradient in one epoch's objectives."""
    if isinstance(model, HasEpochs):
        model.start_epoch(epoch)
    reached = set()
    for phase in phases_of(model, task):
        model.zero_grad()
        phase.objective(batch).backward()  # type: ignore[no-untyped-call]
        trained = set(phase.parameters)
        reached |= {n for n, p in model.named_parameters() if p in trained and p.grad is not None and p.grad.any()}
    return reached


@pytest.mark.parametrize(("name", "kind"), QUICK)
def test_a_short_training_finds_classes_that_are_easy_to_separate(name: str, kind: str) -> None:
    data = make_dataset(task=TASKS[kind], signal=2.0)
    model = made(name, data.spec)
    test = training_batch(data.splits["test"])

    def loss() -> float:
        with torch.no_grad():
            return prediction_loss(model(test), test.target, data.task).item()

    before = loss()
    config = TrainConfig(epochs=2, batch_size=10, learning_rate=3e-3, selection_window=1, validation_samples=1)
    train(model, data, CLEAN, 1, config, torch.device("cpu"))
    assert loss() < before


@pytest.mark.parametrize(("name", "kind"), ABLE)
def test_given_scores_predict_as_the_models_own(name: str, kind: str) -> None:
    model = made(name, data_of(kind).spec)
    some_lost = zeroed(batch_of(kind), "audio")
    with torch.no_grad():
        own = model(some_lost)
        if not own.quality:
            pytest.skip("it gives no quality")
        assert isinstance(model, AcceptsQuality)
        assert all(((r >= 0) & (r <= 1)).all() for r in own.quality.values())
        again = model.predict_with_quality(some_lost, own.quality)
        other = model.predict_with_quality(some_lost, {m: 0.5 * r for m, r in own.quality.items()})
    for key, value in own.columns().items():
        assert torch.equal(again.columns()[key], value)
    assert not torch.equal(other.columns()["log_probability_0"], own.columns()["log_probability_0"])


def test_class_weights_reach_own_objectives_and_the_common_one(make_batch: Callable[[Dataset], TrainingBatch]) -> None:
    data = data_of("classes")
    batch = make_batch(data)
    weighted = replace(batch, class_weights=torch.tensor([1.0, 0.0, 0.0]))
    first = batch.rows((batch.target == 0).nonzero()[:, 0])
    for name in ("late-fusion", "qa-moe"):
        (phase,) = phases_of(made(name, data.spec), data.task)
        with torch.no_grad():
            torch.testing.assert_close(phase.objective(weighted), phase.objective(first))
    assert weighted.rows(slice(3)).class_weights is weighted.class_weights


def test_balanced_weights_change_the_training_and_its_validation_error() -> None:
    data = data_of("classes")
    config = TrainConfig(epochs=1, selection_window=1, validation_samples=1)
    errors = []
    for weights in ("none", "balanced"):
        model = made("mean", data.spec)
        trained = train(model, data, CLEAN, 1, replace(config, class_weights=weights), torch.device("cpu"))
        errors.append(trained.valid_error[0])
    shares = torch.tensor(data.spec.class_shares)
    counts = torch.bincount(data.splits["valid"].target.long(), minlength=3)
    weights_of_classes = counts / shares
    expected = [-(c * shares.log()).sum().item() / c.sum().item() for c in (counts, weights_of_classes)]
    torch.testing.assert_close(torch.tensor(errors), torch.tensor(expected))


def test_the_floor_predicts_shares_and_gives_an_absent_class_a_little() -> None:
    data = data_of("classes")
    shares = data.spec.class_shares
    output = made("mean", data.spec)(batch_of("classes"))
    assert output.log_probabilities is not None
    torch.testing.assert_close(output.log_probabilities[0].exp(), torch.tensor(shares))
    absent = made("mean", replace(data.spec, class_shares=(0.4, 0.0, 0.6)))(batch_of("classes"))
    expected = torch.tensor([0.4, 1e-4, 0.6]) / 1.0001
    torch.testing.assert_close(absent.log_probabilities[0].exp(), expected)
    several = made("mean", replace(data_of("multi-label").spec, class_shares=(0.0, 0.3, 0.7, 1.0)))
    output = several(batch_of("multi-label"))
    torch.testing.assert_close(output.log_probabilities[0].exp(), torch.tensor([1e-4, 0.3, 0.7, 1 - 1e-4]))
    assert (output.prediction == 12).all()


def test_learners_of_mm_boosting_are_mixed_as_probabilities() -> None:
    for kind, task in TASKS.items():
        output = made("mm-boosting", data_of(kind).spec)(batch_of(kind))
        weights = output.parts["weights"]
        assert output.parts["predictions"].shape == (20, 4, task.outputs)
        expected = (weights[..., None] * output.parts["predictions"].exp()).sum(1)
        torch.testing.assert_close(output.log_probabilities.exp(), expected)


def test_evidence_of_classes_starts_at_their_discriminant_directions() -> None:
    """Without any training, from the statistics of the training split alone."""
    data = make_dataset(task=CLASSES, signal=2.0)
    model = made("qa-moe-precise", data.spec)
    assert isinstance(model, HasPreparation)
    with torch.no_grad():
        model.prepare(training_batch(data.splits["train"]))
        output = model(data.splits["test"].batch())
    assert (output.prediction == data.splits["test"].target).float().mean() >= 0.8
    assert model.state_dict()["prototypes.text"].shape == (3, 2)  # of each class, its position along one direction less


def test_the_factors_of_every_class_are_a_fusion_of_their_own() -> None:
    """With the factors of one class alone, the model of regression gives the value of that class."""
    spec = data_of("classes").spec
    model = made("lmf", spec)
    single = made("lmf", make_dataset().spec)
    values = model(batch_of("classes")).log_probabilities
    state = {n: x for n, x in model.state_dict().items() if not n.startswith(("factors", "bias"))}
    columns_of_values = []
    for index in range(3):
        own = {n: x[..., index : index + 1] for n, x in model.state_dict().items() if n.startswith(("factors", "bias"))}
        single.load_state_dict({**state, **own})
        columns_of_values.append(single(batch_of("classes")).prediction)
    torch.testing.assert_close(values, torch.stack(columns_of_values, 1).log_softmax(1))
