"""Stores whose pages are tested."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from fakestore import Answer, noisy, write_store

from qamoe_bench.store.store import Store, StoredCell

HOSTILE = "</script><img src=x onerror=\"window.hacked='model'\">"
HOSTILE_PROTOCOL = "p'\"><script>window.hacked='protocol'</script>"
HOSTILE_DATA = 'd"><svg onload="window.hacked=\'data\'">'
MODELS: Mapping[str, Answer] = {
    "late-fusion": noisy(1.0),
    "mean": lambda label, level, random: np.zeros(len(label)),
    HOSTILE: noisy(0.4),
    "oracle": noisy(0.1),
}
PROTOCOL = "random-missing"
CROWD: Mapping[str, Answer] = {
    "late-fusion": noisy(1.0),
    "mean": lambda label, level, random: np.zeros(len(label)),
    "m0": noisy(0.2),
    "m0:k=1": noisy(0.22),
    "m0:eval.permutations=0": noisy(0.24),
    **{f"m{i}": noisy(0.4 * 1.25**i) for i in range(1, 13)},
    "oracle": noisy(0.1),
}
"""More models than a ranking shows at first, one of them with variants."""
QUICK = ("mean", "text-only", "late-fusion", "qa-moe", "qa-moe-plus", "oracle")
REFERENCE = Path(__file__).parents[2] / "results" / "reference"


def _hostile(folder: Path) -> Store:
    return write_store(
        folder,
        MODELS,
        samples=200,
        levels=(0.0, 0.3, 0.6),
        noise=(0.0, 0.2, 0.4),
        dataset=HOSTILE_DATA,
        protocol=HOSTILE_PROTOCOL,
    )


def _large(folder: Path) -> Store:
    models = {"late-fusion": noisy(1.0), **{f"model-{i}": noisy(0.5 + 0.1 * i) for i in range(4)}}
    return write_store(folder, models, seeds=range(1, 6), levels=np.linspace(0, 0.63, 64).round(2).tolist())


def _crowd(folder: Path) -> Store:
    ids = [f"v{i // 6}$_${i % 6}" for i in range(180)]
    for protocol, run in (("first", "one"), ("second", "two")):
        write_store(folder, CROWD, seeds=(1, 2), ids=ids, protocol=protocol, protocol_digest=protocol, run=run)
    return write_store(folder, {"m1": noisy(0.3)}, seeds=(1, 2), ids=ids, protocol="second", protocol_digest="second",
                       run="three", regime="clean")  # fmt: skip


def _limits(folder: Path) -> Store:
    models = {
        "late-fusion": noisy(1.0), "oracle": noisy(0.1), "oracle-inferring": noisy(0.3), "oracle-blind": noisy(0.6),
    }  # fmt: skip
    return write_store(folder, models, samples=200)


def _many(folder: Path) -> Store:
    models = {"late-fusion": noisy(1.0), "good": noisy(0.3), "bad": noisy(2.0), "oracle": noisy(0.1)}
    for protocol in ("first", "second"):
        write_store(folder, models, protocol=protocol, protocol_digest=protocol, run=protocol)
    return Store(folder)


def _quick(_: Path) -> Store:
    return Store(REFERENCE)


STORES: Mapping[str, Callable[[Path], Store]] = {
    "hostile": _hostile, "large": _large, "quick": _quick, "crowd": _crowd, "limits": _limits, "many": _many,
}  # fmt: skip


METRICS: Mapping[str, Sequence[str]] = {"crowd": ("mae", "corr"), "limits": ("mae",)}
"""Metrics of a page by its name; all main metrics if it is not here."""


def cells_of(name: str, store: Store) -> list[StoredCell]:
    """The cells on the page of this name; of the reference, only those of `make bench`."""
    return [c for c in store.cells() if name != "quick" or (c.cell.protocol == PROTOCOL and c.cell.model in QUICK)]


MOST_CELLS: Mapping[str, int] = {"many": 20}
"""Cells of a page by its name, above which it is brief; the usual number if it is not here."""
