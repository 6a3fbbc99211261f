"""Several versions of one row in a store: which of them a check judges.

The newest is judged, by the times that are stored in the cells. The times of files would give another verdict after
every copy and checkout of a store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from qamoe_bench.analysis.check.findings import Name
from qamoe_bench.store.store import StoredCell


def newest_by_seed(cells: Sequence[StoredCell]) -> dict[int, StoredCell]:
    """The cell of each seed that was finished last; of equal or unknown times, the one with the last key."""
    ordered = sorted(cells, key=lambda c: (c.facts.finished, c.cell.key))
    return {c.cell.seed: c for c in ordered}


def without_recipe(cell: StoredCell) -> StoredCell:
    """The cell without its recipe, so that a section makes one row of seeds that were run by different code."""
    return replace(cell, cell=replace(cell.cell, recipe=""))


def has_versions(cells: Sequence[StoredCell]) -> bool:
    """Whether the cells of a row were computed by different code, or on different data or protocols of one name."""
    return len({(c.cell.recipe, c.cell.data_digest, c.cell.protocol_digest) for c in cells}) > 1


def versions_note(name: Name, cells: Sequence[StoredCell], newest: Mapping[int, StoredCell]) -> str:
    """Which of several versions was judged, by the mark that reports show."""
    seeds: dict[str, list[object]] = {}
    for seed, cell in sorted(newest.items()):
        seeds.setdefault(cell.cell.recipe, []).append(seed)
    judged = [f"#{recipe[:4]} (seed {', '.join(map(str, of_recipe))})" for recipe, of_recipe in seeds.items()]
    times = {(c.cell.seed, c.facts.finished) for c in cells}
    # Cells of older versions hold no time.
    reason = "the newest" if len(times) == len(cells) else "not all with a time of their own, so that keys decided"
    return f"{name[2]} under {name[1]} is stored in several versions, {reason}: compared {', '.join(judged)}"
