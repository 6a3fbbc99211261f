"""The contract that every registered model keeps, on the CPU and, where this machine has one, on a GPU.

Models are discovered through their entry points.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from tinydata import make_dataset, training_batch
from torch import Tensor, nn

import qamoe_bench
from qamoe_bench.contract import AcceptsQuality, Batch, DataSpec, HasEpochs, HasPreparation, Output, TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import open_dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.registry import find_model, model_refs
from qamoe_bench.seeding import seeded
from qamoe_bench.training.phases import phases_of

VARIANTS = [f"{ref.name}:{variant}" for ref in model_refs().values() for variant in ref.variants()]
every_model = pytest.mark.parametrize("name", model_refs())
every_variant = pytest.mark.parametrize("name", VARIANTS)
every_model_and_variant = pytest.mark.parametrize("name", [*model_refs(), *VARIANTS])
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device of this machine."""
    return torch.device(request.param)


@pytest.fixture
def batch(batch: TrainingBatch, device: torch.device) -> TrainingBatch:
    """The common fixture on each device."""
    return batch.to(device)


def made(name: str, spec: DataSpec, device: torch.device) -> nn.Module:
    ref = find_model(name)
    with seeded("test", name):  # on the CPU, so that the weights are the same on every device
        model = ref.builder()(spec, **ref.settings)
    assert isinstance(model, nn.Module)
    return model.to(device).eval()


@cache
def embedded() -> DataSpec:
    return open_dataset("synthetic").spec


def with_parameters(model: nn.Module) -> nn.Module:
    if not list(model.parameters()):
        pytest.skip("without parameters there is nothing to learn")
    return model


def zeroed(batch: TrainingBatch, *modalities: str) -> TrainingBatch:
    return replace(batch, features={m: x * (m not in modalities) for m, x in batch.features.items()})


def outputs(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    with torch.no_grad():
        output = model(batch)
    assert isinstance(output, Output)
    return output.columns()


@every_model
def test_the_card_states_the_parameters_for_the_embedded_data(name: str) -> None:
    model = made(name, embedded(), torch.device("cpu"))
    assert find_model(name).card().parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)


@every_model
def test_shapes_and_ranges(name: str, tiny: Dataset, batch: TrainingBatch, device: torch.device) -> None:
    actual = outputs(made(name, tiny.spec, device), batch)
    assert all(t.shape == (20,) and t.isfinite().all() for t in actual.values())
    assert (actual.get("variance", torch.ones(1)) > 0).all()
    assert all(((t >= 0) & (t <= 1)).all() for n, t in actual.items() if n.startswith("quality_"))


@every_model
@pytest.mark.parametrize("modalities", [("text",), ("audio", "vision"), ("text", "audio"), ("text", "audio", "vision")])
def test_any_subset_of_modalities_in_the_data(name: str, modalities: tuple[str, ...], device: torch.device) -> None:
    data = make_dataset(modalities)
    assert outputs(made(name, data.spec, device), data.splits["test"].batch().to(device))["prediction"].isfinite().all()


@every_model
@pytest.mark.parametrize("lost", [("text",), ("audio", "vision"), ("text", "audio", "vision")])
def test_finite_with_modalities_missing(
    name: str, lost: tuple[str, ...], tiny: Dataset, batch: TrainingBatch, device: torch.device
) -> None:
    assert all(t.isfinite().all() for t in outputs(made(name, tiny.spec, device), zeroed(batch, *lost)).values())


@every_model
@pytest.mark.parametrize("modality", ["text", "audio", "vision"])
def test_finite_with_every_frame_of_a_modality_corrupted(
    name: str, modality: str, tiny: Dataset, batch: TrainingBatch, device: torch.device
) -> None:
    noise = 100 * torch.randn_like(batch.features[modality]) * batch.mask(modality)[..., None]
    noisy = replace(batch, features={**batch.features, modality: batch.features[modality] + noise})
    assert all(t.isfinite().all() for t in outputs(made(name, tiny.spec, device), noisy).values())


@every_model
def test_bfloat16_autocast_stays_near(name: str, tiny: Dataset, batch: TrainingBatch, device: torch.device) -> None:
    model = made(name, tiny.spec, device)
    with torch.autocast(device.type, torch.bfloat16):
        low = outputs(model, batch)
    for key, value in outputs(model, batch).items():  # bfloat16 keeps 8 bits, so one part in 256 per operation
        torch.testing.assert_close(low[key].float(), value, rtol=0.05, atol=0.05)


@every_model
def test_finite_when_the_data_itself_lacks_a_modality(
    name: str, tiny: Dataset, batch: TrainingBatch, device: torch.device
) -> None:
    bare = replace(zeroed(batch, "audio"), lengths={**batch.lengths, "audio": torch.zeros_like(batch.lengths["audio"])})
    assert all(t.isfinite().all() for t in outputs(made(name, tiny.spec, device), bare).values())


def incomplete(batch: TrainingBatch) -> TrainingBatch:
    """The batch with each modality missing in a fifth of the samples: some objectives learn from what is missing."""
    features = {m: x.clone() for m, x in batch.features.items()}
    for i, x in enumerate(features.values()):
        x[i::5] = 0
    return replace(batch, features=features)


def reach_every_parameter(model: nn.Module, batch: TrainingBatch) -> None:
    """Weights are drawn with a standard deviation of 1/√inputs, so that no tanh saturates and blocks its gradient."""
    batch = incomplete(batch)
    untouched = {name for name, p in model.named_parameters() if p.requires_grad}
    for step in range(20):  # with sparse routing one batch of a fresh model may leave an expert out
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5) if parameter.ndim > 1 else None
        if isinstance(model, HasEpochs):
            model.start_epoch(step + 1)  # some losses begin in a later epoch
        for phase in phases_of(model):
            model.zero_grad()  # the gradients of several batches may cancel to zero, as the signs of errors do
            phase.objective(batch).backward()  # type: ignore[no-untyped-call]
            trained = set(phase.parameters)
            reached = {n for n, p in model.named_parameters() if p in trained and p.grad is not None and p.grad.any()}
            untouched -= reached
        if not untouched:
            return
    assert not untouched


@every_model
def test_gradients_reach_every_parameter(name: str, tiny: Dataset, batch: TrainingBatch, device: torch.device) -> None:
    with seeded("gradients", name):
        reach_every_parameter(with_parameters(made(name, tiny.spec, device)).train(), batch)


@pytest.mark.usefixtures("shapes_unchecked")
@every_model
def test_overfits_eight_samples(name: str, tiny: Dataset, batch: TrainingBatch, device: torch.device) -> None:
    model, few = with_parameters(made(name, tiny.spec, device)), batch.rows(slice(8))
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    enough = 0.25 * (few.target - few.target.mean()).abs().mean().item()
    for step in range(600):
        if step % 20 == 0 and error_of(model, few) < enough:
            return
        optimiser.zero_grad()
        with torch.backends.cudnn.flags(enabled=False):  # whose recurrences have no gradients in evaluation mode
            phases_of(model)[-1].objective(few).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    assert error_of(model, few) < enough


def error_of(model: nn.Module, batch: TrainingBatch) -> float:
    """The mean absolute error of the prediction in training."""
    return (model(batch).prediction - batch.target).abs().mean().item()  # type: ignore[no-any-return]


@every_model
def test_padding_has_no_influence(name: str, tiny: Dataset, batch: TrainingBatch, device: torch.device) -> None:
    model = made(name, tiny.spec, device)
    poisoned = {m: torch.where(batch.mask(m)[..., None], x, 77.0) for m, x in batch.features.items()}
    for key, value in outputs(model, batch).items():
        torch.testing.assert_close(outputs(model, replace(batch, features=poisoned))[key], value)


@every_model
def test_permuting_the_batch_permutes_the_output(
    name: str, tiny: Dataset, batch: TrainingBatch, device: torch.device
) -> None:
    model, order = made(name, tiny.spec, device), torch.randperm(20)
    for key, value in outputs(model, batch).items():
        torch.testing.assert_close(outputs(model, batch.rows(order))[key], value[order])


@every_model
def test_evaluation_is_deterministic_and_blind_to_labels(
    name: str, tiny: Dataset, batch: TrainingBatch, device: torch.device
) -> None:
    model = made(name, tiny.spec, device)
    blind = outputs(model, Batch(batch.features, batch.lengths))
    for key, value in outputs(model, batch).items():
        assert torch.equal(blind[key], value)


@every_model
def test_saved_and_loaded_weights_give_the_same_output(
    name: str, tiny: Dataset, batch: TrainingBatch, device: torch.device
) -> None:
    model = made(name, tiny.spec, device)
    with seeded("another"):
        twin = find_model(name).builder()(tiny.spec).to(device).eval()
    twin.load_state_dict(model.state_dict())
    for key, value in outputs(model, batch).items():
        assert torch.equal(outputs(twin, batch)[key], value)


@every_model_and_variant
def test_preparation_is_deterministic_finite_and_part_of_the_checkpoint(
    name: str, tiny: Dataset, batch: TrainingBatch, device: torch.device
) -> None:
    model, again, loaded = (made(name, tiny.spec, device) for _ in range(3))
    if not isinstance(model, HasPreparation):
        pytest.skip("it needs no preparation")
    assert isinstance(again, HasPreparation)
    samples = training_batch(tiny.splits["train"]).to(device)
    with torch.no_grad():
        model.prepare(samples)
        again.prepare(samples)
    loaded.load_state_dict(model.state_dict())
    for key, value in outputs(model, batch).items():
        assert value.isfinite().all()
        assert torch.equal(outputs(again, batch)[key], value)
        assert torch.equal(outputs(loaded, batch)[key], value)


@every_model
@pytest.mark.parametrize("absent", ["text", "audio", "vision"])
def test_preparation_takes_a_training_split_without_one_of_its_modalities(
    name: str, absent: str, tiny: Dataset, batch: TrainingBatch, device: torch.device
) -> None:
    model = made(name, tiny.spec, device)
    if not isinstance(model, HasPreparation):
        pytest.skip("it needs no preparation")
    with torch.no_grad():
        model.prepare(zeroed(training_batch(tiny.splits["train"]).to(device), absent))
        model.prepare(training_batch(tiny.splits["train"]).to(device).rows(slice(0, 3)))
    assert all(value.isfinite().all() for value in outputs(model, batch).values())


@every_model
def test_an_unknown_configuration_field_is_refused(name: str, tiny: Dataset) -> None:
    with pytest.raises(BenchError, match="unknown setting"):
        find_model(name).builder()(tiny.spec, widht=3)


@every_model
def test_the_docstring_says_what_it_is(name: str) -> None:
    assert len(find_model(name).summary()) > 20


def test_every_file_with_a_builder_is_a_registered_model() -> None:
    """So that no model escapes the tests above, or the users."""
    package = Path(qamoe_bench.__file__).parent
    actual = {
        f"{folder.name}.{path.stem}:build"
        for folder in (package / "models", package.parent / "baselines" / "qamoe_baselines")
        for path in folder.glob("*.py")
        if "\ndef build(" in path.read_text(encoding="utf-8")
    }
    assert {ref.target.removeprefix("qamoe_bench.") for ref in model_refs().values()} == actual


@every_variant
def test_in_every_variant_gradients_reach_every_parameter(
    name: str, tiny: Dataset, batch: TrainingBatch, device: torch.device
) -> None:
    model = made(name, tiny.spec, device).train()
    with seeded("gradients", name):
        reach_every_parameter(model, batch)


@every_model_and_variant
def test_with_its_own_quality_a_model_predicts_as_without(
    name: str, tiny: Dataset, batch: TrainingBatch, device: torch.device
) -> None:
    model, some_lost = made(name, tiny.spec, device), zeroed(batch, "audio")
    with torch.no_grad():
        own = model(some_lost)
        if not own.quality:
            pytest.skip("it gives no quality")
        assert isinstance(model, AcceptsQuality)
        again = model.predict_with_quality(some_lost, own.quality)
    for key, value in own.columns().items():
        assert torch.equal(again.columns()[key], value)


def test_unknown_models_are_reported_with_the_nearest_name() -> None:
    with pytest.raises(BenchError, match="did you mean 'qa-moe'"):
        find_model("qamoe")
    with pytest.raises(BenchError, match="no module 'no_such.thing'"):
        find_model("no_such.thing:build").builder()
    with pytest.raises(BenchError, match="expected a function or class 'nothing'"):
        find_model("qamoe_baselines.late_fusion:nothing").builder()
