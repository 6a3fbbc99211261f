"""Sweeps of the predictors that know the law of the data, see `qamoe_bench.registry.limits`.

They are kept apart from `qamoe_bench.evaluation.sweep`, whose code is part of the key of every stored result: a change
here makes only the results of limits stale.
"""

from copy import copy
from dataclasses import replace

from qamoe_bench.data.dataset import Oracle
from qamoe_bench.data.synthetic.inferring import InferringOracle
from qamoe_bench.data.synthetic.oracle import BayesOracle
from qamoe_bench.evaluation.sweep import Sweep, sweep_oracle
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.registry.limits import INFERRING


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
    """The predictor of a name; see `sweep_limit`."""
    oracle = test.data.oracle
    assert isinstance(oracle, BayesOracle)
    assert name == INFERRING
    return InferringOracle(oracle, protocol.conditions)
