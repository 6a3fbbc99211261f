"""Sweeps of the predictors that know the law of the data, see `qamoe_bench.registry.limits`.

They are kept apart from `qamoe_bench.evaluation.sweep`, whose code is part of the key of every stored result: a change
here makes only the results of limits stale.
"""

from copy import copy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.dataset import Oracle
from qamoe_bench.data.synthetic.assuming_clean import AssumingClean
from qamoe_bench.data.synthetic.blind import BlindOracle
from qamoe_bench.data.synthetic.hypotheses import kept_frames
from qamoe_bench.data.synthetic.inferring import InferringOracle
from qamoe_bench.data.synthetic.oracle import BayesOracle
from qamoe_bench.data.synthetic.plug_in import plug_in
from qamoe_bench.evaluation.sweep import Sweep, sweep_oracle
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.registry.limits import ASSUMING_CLEAN, BLIND, INFERRING, PLUG_IN


def sweep_limit(name: str, test: TestSet, protocol: Protocol) -> Sweep:
    """The columns of `sweep_oracle` for another predictor that knows the law.

    Args:
        name: One of `qamoe_bench.registry.limits.LIMITS`.
        test: The samples, of data whose law is known.
        protocol: The conditions, all of which the oracle covers.
    """
    seen = copy(test)  # the same samples and draws
    seen.data = replace(test.data, oracle=limit_of(name, test, protocol))
    return sweep_oracle(seen, protocol)


def limit_of(name: str, test: TestSet, protocol: Protocol) -> Oracle:
    """The predictor of a name; arguments as of `sweep_limit`.

    Raises:
        KeyError: If there is none of this name.
    """
    oracle = test.data.oracle
    assert isinstance(oracle, BayesOracle)
    if name == INFERRING:
        return InferringOracle(oracle, protocol.conditions)
    if name == BLIND:
        return BlindOracle(oracle, protocol.conditions, [_counts(test, c) for c in protocol.conditions])
    if name == ASSUMING_CLEAN:
        return AssumingClean(oracle)
    if name == PLUG_IN:
        return plug_in(oracle, test.data.splits["train"])
    raise KeyError(name)


def _counts(test: TestSet, condition: Condition) -> dict[str, NDArray[np.int64]]:
    """The number of frames that are left of each sample, by modality; of several draws those of the first."""
    batch = test.corrupted(condition).batch.to("cpu")
    return {modality: kept_frames(batch, modality).number for modality in batch.modalities}
