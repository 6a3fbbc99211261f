"""Checks of what a model returns, with the remedy for the usual mistakes of models that were written for other code."""

from collections.abc import Mapping

import torch
from torch import Tensor

from qamoe_bench.adapters.returned import described
from qamoe_bench.contract import Output
from qamoe_bench.errors import RunFailed
from qamoe_bench.vocabulary import REGRESSION, Task

SHOWN_NAMES = 6
"""Names of classes in an error message."""


def check_output(output: object, size: int, where: str, task: Task = REGRESSION) -> Output:
    """The output of a model for `size` samples, if it is valid.

    Args:
        output: What the model returned.
        size: Number of samples.
        where: When it did so, as an adverbial phrase for the message.
        task: What the labels of the data say.

    Raises:
        RunFailed: when it is not an `Output`, is the output for another task, its predictions have another shape or are
            not finite, or its variance is negative.
    """
    if not isinstance(output, Output):
        raise RunFailed(
            f"the model returned {described(output)} {where}: expected a qamoe_bench.contract.Output; "
            f"{_remedy(output, size)}"
        )
    _check_task(output, size, task)
    _check_shapes(output, size)
    finite = output.prediction.isfinite()
    if output.log_probabilities is not None:
        finite &= output.log_probabilities.isfinite().all(1)
    if not finite.all():
        raise RunFailed(
            f"the model's predictions are not finite {where} ({int((~finite).sum())} of {size} samples); a missing "
            "modality is all zeros, so do not divide by its sum, its norm or a number of frames that may be 0"
        )
    if output.variance is not None and not (output.variance >= 0).all():  # also where it is NaN
        raise RunFailed(
            f"the model's variance is negative or not a number {where}: expected squared label units; end with "
            "softplus or exp, or leave the variance out"
        )
    return output


def check_same_prediction(two_stage: Output, forward: Output) -> None:
    """Check that encoding and fusing predict the same as the forward pass, up to rounding.

    Raises:
        RunFailed: when they do not.
    """
    # Absolute and relative tolerance; bfloat16 has 8 bits of precision.
    tolerance = 1e-3 if forward.prediction.dtype == torch.float32 else 0.1
    pairs = [(two_stage.prediction, forward.prediction)]
    if two_stage.log_probabilities is not None and forward.log_probabilities is not None:
        # A predicted class jumps where two are equally probable, so their probabilities are compared.
        pairs = [(two_stage.log_probabilities.exp(), forward.log_probabilities.exp())]
    if not all(torch.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in pairs):
        raise RunFailed(
            "fuse(encode_modality(...)) and the forward pass predict differently for the same batch: expected equal "
            "predictions; see qamoe_bench.contract.TwoStage"
        )


def _check_task(output: Output, size: int, task: Task) -> None:
    """Check that there are probabilities of all classes or labels, and none for a regression."""
    values = output.log_probabilities
    if task.is_regression and values is None:
        return
    what = "classes" if task.kind == "classes" else "labels"
    if task.is_regression:
        raise RunFailed(
            "the model returned log_probabilities, but the labels of the data are numbers: expected a prediction in "
            "label units alone; return Output(prediction)"
        )
    expected = (size, task.outputs)
    if values is None or tuple(values.shape) != expected:
        got = "a prediction of numbers" if values is None else f"log_probabilities {described(values)}"
        raise RunFailed(
            f"the data has {task.outputs} {what} ({', '.join(task.names[:SHOWN_NAMES])}"
            f"{', ...' if len(task.names) > SHOWN_NAMES else ''}) and the model returned {got}: expected "
            f"log_probabilities of shape {expected}; end with a layer of width spec.task.outputs and "
            "qamoe_bench.nn.answers.Answers(spec), or choose a model for this task (qamoe-bench ls models)"
        )


def _check_shapes(output: Output, size: int) -> None:
    """Check that every value that is stored has one number per sample."""
    for name, value in output.columns().items():
        if isinstance(value, Tensor) and value.shape == (size,):
            continue
        is_prediction = name == "prediction"
        subject = "the model predicted" if is_prediction else f"the model's {name} is"
        samples = "1 sample" if size == 1 else f"{size} samples"
        advice = _advice(name, value, size) if is_prediction else "give one number per sample, such as x[:, 0]"
        raise RunFailed(f"{subject} {described(value)} for {samples}: expected ({size},); {advice}")


def _remedy(output: object, size: int) -> str:
    """What to return instead of something that is no `Output`."""
    if output is None:
        return "end the forward pass with: return Output(prediction)"
    if isinstance(output, Tensor):
        return _advice("prediction", output, size)
    parts: list[tuple[object, object]] = []
    if isinstance(output, Mapping):
        parts = list(output.items())
    elif isinstance(output, list | tuple):
        parts = list(enumerate(output))
    for key, part in parts:
        # Ported models return their prediction among other tensors; the first that fits is shown as an example.
        if isinstance(part, Tensor) and part.numel() == size:
            return _advice(f"result[{key!r}]", part, size)
    return f"return Output(prediction), where prediction is a tensor of shape ({size},)"


def _advice(name: str, value: object, size: int) -> str:
    """How to make one number per sample of a prediction that has this name, if its shape shows how."""
    shape = tuple(value.shape) if isinstance(value, Tensor) else None
    if shape == (size,):
        expression = name
    elif shape == (size, 1):
        expression = f"{name}[:, 0]"
    elif isinstance(value, Tensor) and value.numel() == size:
        # Also for a single sample, from which `squeeze()` drops the dimension of the batch.
        expression = f"{name}.reshape(-1)"
    elif shape is not None and len(shape) == 2 and shape[0] == size:
        return (
            f"give one value per sample in label units: a last layer of width 1 and Output({name}[:, 0]), or, for "
            f"scores of {shape[1]} classes, Output({name}.softmax(1) @ labels) with the label of each class"
        )
    else:
        return f"return one value per sample, a tensor of shape ({size},)"
    return f"return Output({expression})"
