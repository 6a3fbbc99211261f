"""The predictor that takes corrupted samples for clean ones: what ignoring quality costs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.contract import Batch
from qamoe_bench.data.synthetic.oracle import BayesOracle, Chosen
from qamoe_bench.protocol.spec import Condition

_CLEAN = Condition("clean", {}, ())


@dataclass(frozen=True)
class AssumingClean:
    """The optimal decisions if nothing had been added to the frames that are left.

    It sees what is missing, and knows τ and the number of frames, as the oracle does.

    Attributes:
        oracle: The predictor that knows the corruption, of the same law.
    """

    oracle: BayesOracle

    def covers(self, condition: Condition) -> bool:
        """Whether there is an optimum to compare with."""
        return self.oracle.covers(condition)

    def predict(
        self, split: str, corrupted: Batch, condition: Condition, chosen: Chosen | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """The decisions for a whole split; the condition and what chance decided are ignored."""
        return self.oracle.predict(split, corrupted, _CLEAN)
