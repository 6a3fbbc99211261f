"""Selection of the cells of a store by protocol and model."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from qamoe_bench.analysis.section import CONTROL, MEAN
from qamoe_bench.errors import unknown_name
from qamoe_bench.registry import expand_groups
from qamoe_bench.store.cell import ORACLE
from qamoe_bench.store.store import StoredCell

POINTS = frozenset({CONTROL, MEAN, ORACLE})
"""Models that numbers of other rows refer to; they are always selected."""


def select(cells: Iterable[StoredCell], protocols: Sequence[str] = (), models: Sequence[str] = ()) -> list[StoredCell]:
    """The cells whose protocol and model match a pattern; no patterns match everything.

    Args:
        cells: The cells to select from.
        protocols: Names, or patterns with `*`, `?` and `[...]` as in a shell.
        models: The same, or groups (`@quick`), of which models without a cell are left out. The control, the floor
            and the oracle always stay, because differences and shares refer to them.

    Raises:
        BenchError: for a pattern that matches nothing.
    """
    candidates = list(cells)
    _check_patterns("protocol", protocols, {c.cell.protocol for c in candidates})
    names = {c.cell.model for c in candidates}
    models = _without_groups(models, names)
    _check_patterns("model", models, names)
    of_protocols = [c for c in candidates if _matches(c.cell.protocol, protocols)]
    return [c for c in of_protocols if c.cell.model in POINTS or _matches(c.cell.model, models)]


def _without_groups(models: Sequence[str], names: set[str]) -> list[str]:
    """The patterns, with each group replaced by those of its models that have a cell."""
    patterns: list[str] = []
    for model in models:
        members = [member for member in expand_groups([model]) if member in names]
        # A group without any cell stays as it is, and is refused like every pattern that matches nothing.
        patterns += members or [model]
    return patterns


def _check_patterns(kind: str, patterns: Sequence[str], names: set[str]) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise unknown_name(f"{kind} of this store", pattern, names)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
