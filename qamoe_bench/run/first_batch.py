"""One batch through a fresh model before its training, so that a wrong output ends its job before the first epoch.

Without it, a model that predicts (B, 1) would train to the end on a wrong objective, because the loss broadcasts (B, 1)
against labels of shape (B,) to (B, B), and would only fail in its evaluation. The pass changes nothing: it has a model
of its own, and all global random numbers are restored.

Dimension legend: B samples of a batch.
"""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from qamoe_bench.adapters.returned import described
from qamoe_bench.contract import AcceptsQuality, Batch, HasEpochs, HasLoss, HasPhases, Output, TrainingBatch, TwoStage
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.evaluation.checks import check_output, check_same_prediction
from qamoe_bench.evaluation.sweep import BATCH_SIZE
from qamoe_bench.seeding import global_randomness_restored, seeded
from qamoe_bench.training.batches import VALIDATION_BATCH, CorruptedBatches
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import Exposure
from qamoe_bench.training.phases import loss_of, phases_of
from qamoe_bench.vocabulary import Task

TRAINING = "in training mode"
EVALUATION = "in evaluation mode"


def try_first_batch(
    build: Callable[[], nn.Module],
    data: Dataset,
    exposure: Exposure,
    seed: int,
    config: TrainConfig,
    device: torch.device,
) -> None:
    """Run a model on batches of the sizes that occur, in training and in evaluation mode, and check what it returns.

    Args:
        build: Makes a fresh model. Not a copy of one, because some modules cannot be copied.
        data: The data set, of which one batch of the training split is used.
        exposure: The corruption of the samples, as in the training.
        seed: As in the training.
        config: As in the training.
        device: Where to compute.

    Raises:
        RunFailed: when the model raises an exception, or when an output, a loss or a gradient is not as the training
            needs it; the message is one line with the remedy.
    """
    with global_randomness_restored(), seeded("first batch", seed):
        model = build().to(device)
        # Its random numbers are its own, so that the training starts with its first ones.
        batch = next(CorruptedBatches(data, exposure, seed, config, device).train_batches())
        if any(p.requires_grad for p in model.parameters()):
            if isinstance(model, HasEpochs):
                model.start_epoch(1)
            for size in _sizes(batch.size, len(data.splits["train"]) % config.batch_size):
                _try_step(model.train(), batch.rows(slice(0, size)), data.task)
        model.eval()
        remainders = (len(data.splits["valid"]) % VALIDATION_BATCH, len(data.splits["test"]) % BATCH_SIZE)
        for size in _sizes(batch.size, *remainders):
            rows = batch.rows(slice(0, size))
            _try_evaluation(model, Batch(rows.features, rows.lengths), seed, data.task)


def _sizes(whole: int, *remainders: int) -> list[int]:
    """The size of a whole batch, and of the last batches of splits: models often break at a single sample."""
    return sorted({whole, *(min(whole, size) for size in remainders if size)}, reverse=True)


def _try_step(model: nn.Module, batch: TrainingBatch, task: Task) -> None:
    """The computations of a training step, without the step."""
    with _errors_named("forward pass", TRAINING, batch):
        returned = model(batch)
    output = check_output(returned, batch.size, TRAINING, task)
    if isinstance(model, HasPhases):
        for phase in phases_of(model, task):
            origin = f"objective of phase {phase.name!r}"
            with _errors_named(origin, TRAINING, batch):
                loss = phase.objective(batch)
            _try_backward(model, loss, origin, batch)
        return
    with _errors_named("loss", TRAINING, batch):
        loss = loss_of(model, output, batch, task)
    _try_backward(model, loss, "loss" if isinstance(model, HasLoss) else "prediction", batch)


def _try_backward(model: nn.Module, loss: Tensor, origin: str, batch: TrainingBatch) -> None:
    """The gradients of a loss; `origin` is what it is computed from."""
    model.zero_grad(set_to_none=True)
    _check_loss(loss, origin)
    with _errors_named("backward pass", TRAINING, batch):
        loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            raise RunFailed(
                f"the gradient of the loss at {name} is not finite before training; sqrt and norm have no finite "
                "derivative at 0, which a missing modality is: add a small number under the root"
            )


def _check_loss(loss: object, origin: str) -> None:
    """Check that a loss is one finite number that depends on the parameters."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise RunFailed(
            f"the model's {_function(origin)} returned {described(loss)}: expected one number; return the mean over "
            "the batch as a tensor of shape ()"
        )
    if not loss.isfinite():
        raise RunFailed(
            f"the model's {_function(origin)} is {loss.item()} before training: expected a finite number; do not take "
            "the logarithm of 0, and do not divide by a count or a deviation that may be 0"
        )
    if not loss.requires_grad:
        raise RunFailed(
            f"the model's {origin} does not depend on its parameters: expected a gradient; remove detach(), no_grad(), "
            "item() and argmax between them"
        )


def _function(origin: str) -> str:
    """What returned the loss; for a model that only predicts, that is the engine's own loss."""
    return "loss" if origin == "prediction" else origin


@torch.no_grad()
def _try_evaluation(model: nn.Module, batch: Batch, seed: int, task: Task) -> None:
    """The computations of a validation and of a sweep."""

    def output_of(step: str, function: Callable[[], object]) -> Output:
        # The same random numbers for every prediction, so that they can be compared.
        with seeded("first batch", seed), _errors_named(step, EVALUATION, batch):
            returned = function()
        return check_output(returned, batch.size, EVALUATION, task)

    # A copy of the batch for each, since a model may change its input in place.
    forward = output_of("forward pass", lambda: model(_copied(batch)))
    if isinstance(model, TwoStage):
        fused = output_of("encode_modality and fuse", lambda: model.fuse(_encoded(model, _copied(batch))))
        check_same_prediction(fused, forward)
    if isinstance(model, AcceptsQuality) and forward.quality:
        output_of("predict_with_quality", lambda: model.predict_with_quality(_copied(batch), forward.quality))


def _copied(batch: Batch) -> Batch:
    return batch.rows(torch.arange(batch.size, device=next(iter(batch.lengths.values())).device))


def _encoded(model: TwoStage, batch: Batch) -> dict[str, Tensor]:
    encoded = {}
    for m in batch.modalities:
        encoded[m] = model.encode_modality(Batch({m: batch.features[m]}, {m: batch.lengths[m]}), m)
    return encoded


@contextmanager
def _errors_named(step: str, where: str, batch: Batch) -> Iterator[None]:
    """Turn an exception of the model into one line that names it, its place and the step."""
    try:
        yield
    except (BenchError, RunFailed, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if "allocate memory" in str(error):  # on the CPU torch has no exception of its own for it
            raise
        message = str(error).strip().partition("\n")[0]
        raise RunFailed(
            f"the model's {step} {where} raised {type(error).__name__}: {message}{_place(error)}, for a batch of "
            f"{batch.size} with {', '.join(batch.modalities)}; {_remedy_for(where, batch.size)}"
        ) from error


def _remedy_for(where: str, size: int) -> str:
    if where == TRAINING and size == 1:
        # Batch normalisation cannot train on one sample.
        return "the last batch of an epoch has one sample: correct it for that, or set another train.batch_size"
    return "correct it there"


def _place(error: Exception) -> str:
    """Where the model raised an exception, or called a library that did."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "site-packages" not in frame.filename and frame.filename != __file__:
            return f" ({Path(frame.filename).name}, line {frame.lineno})"
    return ""
