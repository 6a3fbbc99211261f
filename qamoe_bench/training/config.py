"""Every choice of the training loop."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from qamoe_bench.errors import BenchError


@dataclass(frozen=True)
class TrainConfig:
    """Every choice of the loop. The optimiser is AdamW, with a cosine schedule from the full rate to zero.

    Language models inside a model have their own, lower rate, as in the papers, because they are already trained.
    """

    prefix: ClassVar[str] = "train."  # before its settings in the name of a model

    epochs: int = 50
    batch_size: int = 64
    learning_rate: float = 1e-3
    language_rate: float = 2e-5  # of language models
    warm_up: float = 0.0  # share of all steps over which every rate rises from nearly zero
    weight_decay: float = 1e-2
    clip_norm: float = 1.0  # of the gradient of all parameters together
    selection_window: int = 5  # epochs whose mean validation error is compared; 1 compares single epochs
    levels_per: Literal["sample", "batch"] = "sample"  # what λ and η are drawn for; the paper says batch
    class_weights: Literal["none", "balanced"] = "none"  # of classes or labels; balanced: inverse training shares
    validation_samples: int = 1000  # a smaller split is corrupted several times, for a less noisy choice of the epoch

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "language_rate", "clip_norm", "selection_window"):
            # Written this way round, NaN is refused too.
            if not getattr(self, name) > 0:
                raise BenchError(f"setting train.{name}: expected more than 0, got {getattr(self, name)}")
        if not 0 <= self.warm_up < 1:
            raise BenchError(f"setting train.warm_up: expected a share from 0 to below 1, got {self.warm_up}")
        if self.selection_window > self.epochs:
            raise BenchError(
                f"setting train.selection_window: expected at most as many as epochs ({self.epochs}), got "
                f"{self.selection_window}"
            )
