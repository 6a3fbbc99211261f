"""Pooling of frames to one vector, for models that do not use the shared encoder.

Dimension legend: B samples, T frames, W width.
"""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.frames import FrameStatistics, masked_mean


class MeanPool(nn.Module):
    """dropout(mean_t x) over the observed frames."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)

    def forward(self, x: Float[Tensor, "B T W"], observed: Bool[Tensor, "B T"]) -> Float[Tensor, "B W"]:
        """The pooled vector; zeros for a sample without observed frames."""
        pooled: Tensor = self.dropout(masked_mean(x, observed))
        return pooled


class StatisticsPool(nn.Module):
    """W·dropout(LN [mean_t x; std_t x]) + c over the observed frames."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.statistics = FrameStatistics()
        self.map = nn.Sequential(nn.LayerNorm(2 * width), Dropout(dropout), nn.Linear(2 * width, width))

    def forward(self, x: Float[Tensor, "B T W"], observed: Bool[Tensor, "B T"]) -> Float[Tensor, "B W"]:
        """The pooled vector; zeros for a sample without observed frames."""
        pooled: Tensor = self.map(self.statistics(x, observed[:, None])[:, 0]) * observed.any(1)[:, None]
        return pooled
