"""The code between a data file and a stored prediction, identified by one digest."""

from functools import cache

from qamoe_bench.provenance.closure import closure_of

ENGINE = (
    "qamoe_bench.training.loop",
    "qamoe_bench.evaluation.sweep",
    "qamoe_bench.training.building",
    "qamoe_bench.data.open",
)
"""Modules that turn a data file and a model into predictions; with all that they import, they determine numbers."""


@cache
def engine_digest() -> str:
    """Digest of all code between a data file and a stored prediction, except the model (see `ModelRef.code`)."""
    return closure_of(ENGINE).digest
