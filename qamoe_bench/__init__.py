"""A robustness benchmarking suite for multimodal sentiment analysis."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from qamoe_bench.api import Evaluation
    from qamoe_bench.data.dataset import Dataset
    from qamoe_bench.protocol.spec import Protocol

__version__ = "0.1.0"


def evaluate(
    model: "nn.Module",
    data: "Dataset | str" = "synthetic",
    protocol: "Protocol | str" = "random-missing",
    seeds: Sequence[int] = (1111,),
    device: str = "auto",
) -> "Evaluation":
    """Take a trained model through every condition of a protocol, on the same corrupted samples as everyone.

    Args:
        model: Any module from a `qamoe_bench.contract.Batch` to an `Output`.
        data: A data set, `synthetic`, or the path of a data file.
        protocol: A protocol, its name, or the path of a TOML file.
        seeds: Of the corruption's draws.
        device: `auto`, `cpu` or `cuda`; the model is moved there.

    Raises:
        BenchError: for a name, file or device that does not exist.
        RunFailed: when the model answers with something else than an `Output` of finite numbers.
    """
    from qamoe_bench.api import evaluate as run  # torch is loaded when it is needed

    return run(model, data, protocol, seeds, device)
