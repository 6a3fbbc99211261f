"""The content of stores: finished cells, and files that are damaged and therefore not used."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qamoe_bench.store.agreement import distinct
from qamoe_bench.store.stored_cell import DamagedCell, StoredCell


@dataclass(frozen=True)
class StoreContents:
    """What some stores hold.

    Attributes:
        cells: The finished cells.
        damaged: Why other files are not used.
    """

    cells: tuple[StoredCell, ...]
    damaged: tuple[DamagedCell, ...] = ()


def joined(parts: Iterable[StoreContents]) -> StoreContents:
    """The contents of several places as one, every cell once.

    Raises:
        BenchError: If two cells of one key hold different results.
    """
    cells: list[StoredCell] = []
    damaged: list[DamagedCell] = []
    for part in parts:
        cells += part.cells
        damaged += part.damaged
    together = with_common_samples(distinct(cells))
    return StoreContents(together.cells, (*damaged, *together.damaged))


def with_common_samples(cells: Sequence[StoredCell]) -> StoreContents:
    """The cells whose samples are those of the other cells of the same data; the others are damaged.

    The samples of most cells count as right. If no samples are those of more cells than any others, all are damaged,
    because nothing says which are right.
    """
    usual = _usual_samples(cells)
    intact = []
    damaged = []
    for stored in cells:
        if stored.samples_digest == usual[stored.cell.data_digest]:
            intact.append(stored)
        else:
            damaged.append(DamagedCell(stored.path, "its samples or targets differ from those of other cells"))
    return StoreContents(tuple(intact), tuple(damaged))


def _usual_samples(cells: Sequence[StoredCell]) -> dict[str, str]:
    """The digest of the samples of most cells, by digest of the data; empty where it is not unique."""
    counts: dict[str, Counter[str]] = {}
    for stored in cells:
        counts.setdefault(stored.cell.data_digest, Counter())[stored.samples_digest] += 1
    usual = {}
    for data, of_data in counts.items():
        (first, most), *others = of_data.most_common(2)
        usual[data] = "" if others and others[0][1] == most else first
    return usual
