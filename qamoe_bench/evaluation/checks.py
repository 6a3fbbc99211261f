"""Checks of what a model returns in evaluation."""

import torch

from qamoe_bench.contract import Output
from qamoe_bench.errors import RunFailed
from qamoe_bench.protocol.spec import Condition


def check_output(output: object, size: int, condition: Condition) -> Output:
    """The output of a model for `size` samples, if it is valid.

    Raises:
        RunFailed: when it is not an `Output`, or its predictions have another shape or are not finite.
    """
    if not isinstance(output, Output):
        raise RunFailed(f"the model returned {type(output).__name__}: expected a qamoe_bench.contract.Output")
    if output.prediction.shape != (size,):
        raise RunFailed(
            f"the model predicted a tensor of shape {tuple(output.prediction.shape)} for {size} samples: "
            f"expected ({size},)"
        )
    if not output.prediction.isfinite().all():
        raise RunFailed(f"the model's predictions are not finite at condition {condition.name!r}")
    return output


def check_same_prediction(two_stage: Output, forward: Output) -> None:
    """Check that encoding and fusing predict the same as the forward pass, up to rounding.

    Raises:
        RunFailed: when they do not.
    """
    # Absolute and relative tolerance; bfloat16 has 8 bits of precision.
    tolerance = 1e-3 if forward.prediction.dtype == torch.float32 else 0.1
    if not torch.allclose(two_stage.prediction, forward.prediction, rtol=tolerance, atol=tolerance):
        raise RunFailed(
            "fuse(encode_modality(...)) and the forward pass predict differently for the same batch: expected equal "
            "predictions; see qamoe_bench.contract.TwoStage"
        )
