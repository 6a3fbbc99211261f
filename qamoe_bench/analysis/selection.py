"""Which cells of a store a report is about."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from qamoe_bench.analysis.section import CONTROL, MEAN
from qamoe_bench.errors import unknown_name
from qamoe_bench.registry import expand_groups
from qamoe_bench.store.cell import ORACLE
from qamoe_bench.store.store import StoredCell

POINTS = frozenset({CONTROL, MEAN, ORACLE})
"""Rows that numbers of other rows refer to; they stay whatever models are asked for."""


def select(cells: Iterable[StoredCell], protocols: Sequence[str] = (), models: Sequence[str] = ()) -> list[StoredCell]:
    """The cells whose protocol and model match one of the patterns of each kind, or all where there is none.

    Args:
        cells: Any.
        protocols: Names, or patterns with `*`, `?` and `[...]` as in a shell.
        models: The same, or groups (`@quick`), of which models without a cell are left out. The control, the floor
            and the oracle always stay, because differences and shares refer to them.

    Raises:
        BenchError: for a pattern that nothing matches.
    """
    found = list(cells)
    _known("protocol", protocols, {c.cell.protocol for c in found})
    names = {c.cell.model for c in found}
    models = _without_groups(models, names)
    _known("model", models, names)
    return [
        c
        for c in found
        if _matches(c.cell.protocol, protocols) and (c.cell.model in POINTS or _matches(c.cell.model, models))
    ]


def _without_groups(models: Sequence[str], names: set[str]) -> list[str]:
    """The patterns, with each group replaced by those of its models that have a cell."""
    patterns: list[str] = []
    for model in models:
        members = [member for member in expand_groups([model]) if member in names]
        # A group without any cell stays as it is, and is refused like every pattern that matches nothing.
        patterns += members or [model]
    return patterns


def _known(kind: str, patterns: Sequence[str], names: set[str]) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise unknown_name(f"{kind} of this store", pattern, names)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
