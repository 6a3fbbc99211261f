"""Rows of predictors that know the law of the data: `oracle` by default, the others on request.

See `qamoe_bench.registry.limits` for their names and `qamoe_bench.evaluation.limits` for what they predict.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.embedded import EMBEDDED
from qamoe_bench.errors import BenchError
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.provenance.closure import closure_of
from qamoe_bench.registry.limits import LIMITS
from qamoe_bench.store.cell import ORACLE

_CODE = "qamoe_bench.evaluation.limits"


def is_limit(name: str) -> bool:
    """Whether the name of a model stands for a predictor that knows the law."""
    return name == ORACLE or name in LIMITS


def check_law(models: Sequence[str], data: Dataset) -> None:
    """Refuse to compute limits of data whose law is unknown.

    Raises:
        BenchError: If one of the models needs the law.
    """
    limits = [name for name in models if is_limit(name)]
    if limits and data.oracle is None:
        raise BenchError(
            f"model {limits[0]!r}: expected data whose law is known, got {data.name!r}; use --data "
            f"{next(iter(EMBEDDED))}, or leave the model out"
        )


def covered_protocols(data: Dataset, protocols: Sequence[Protocol]) -> list[Protocol]:
    """The protocols whose corruptions the posterior of the data's law covers; none where the law is unknown."""
    oracle = data.oracle
    if oracle is None:
        return []
    return [protocol for protocol in protocols if all(map(oracle.covers, protocol.conditions))]


def coverage_notes(models: Sequence[str], protocols: Sequence[Protocol], covered: Sequence[Protocol]) -> list[str]:
    """A sentence on each protocol under which the limits that the user named have no row."""
    limits = [name for name in models if is_limit(name)]
    lacking = [protocol.name for protocol in protocols if protocol not in covered] if limits else []
    return [f"{', '.join(limits)}: no row under {name}, whose corruption no exact posterior covers" for name in lacking]


def limit_content(name: str) -> dict[str, Any]:
    """Everything that determines the predictions of a limit apart from the data and the engine, as plain values."""
    # The code of the oracle is that of the engine.
    source: Mapping[str, str] = {} if name == ORACLE else {"source": closure_of([_CODE]).digest}
    return {"model": name, **source}
