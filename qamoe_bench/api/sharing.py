"""Sharing stored results: several stores become one, and a store becomes one file. Nothing here needs torch."""

from __future__ import annotations  # keeps the signatures that help() shows short

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qamoe_bench.analysis.clusters import BY_IDS, ClusterRule
from qamoe_bench.analysis.selection import select
from qamoe_bench.api.results import as_store
from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.choice import chosen
from qamoe_bench.sharing.merging import Merged, merge_stores
from qamoe_bench.sharing.opening import open_bundle_file
from qamoe_bench.sharing.packing import pack
from qamoe_bench.store.store import Store
from qamoe_bench.store.stored_cell import StoredCell


def merge(sources: Iterable[Store | Path | str], into: Store | Path | str, *, dry_run: bool = False) -> Merged:
    """Copy the results of several stores into one, as `qamoe-bench merge` does.

    Args:
        sources: Stores or their folders; they are not changed.
        into: The store to copy to, or its folder, which need not exist.
        dry_run: Whether to compare and count only.

    Returns:
        How many cells were copied (`added`), how many were there already (`present`), and which files of the sources
        are `damaged`.

    Raises:
        BenchError: If a source has no finished cells, if two cells of one key hold different results (nothing is
            written then), or if the folder cannot be written to.

    Examples:
        >>> model = qamoe_bench.load_model("mean")
        >>> qamoe_bench.evaluate(model, seeds=(1, 2)).save("first")  # doctest: +ELLIPSIS
        <...Store...>
        >>> second = qamoe_bench.evaluate(model, seeds=(2, 3)).save("second")
        >>> qamoe_bench.merge(["first", second], "both").added
        3
        >>> qamoe_bench.merge(["second"], "both").present
        2
    """
    return merge_stores([as_store(source) for source in sources], as_store(into), dry_run=dry_run)


def bundle(
    results: Store | Path | str,
    output: Path | str,
    *,
    protocols: Sequence[str] = (),
    models: Sequence[str] = (),
    dialect: str = "",
    page: bool = True,
) -> str:
    """Write results into one file that others can open and check, as `qamoe-bench bundle` does.

    Args:
        results: A store or its folder.
        output: The file to write; an existing one is replaced.
        protocols: Names of protocols; `*` matches any text; empty for all.
        models: Names of models; empty for all.
        dialect: Name of the metric dialect of the report in it; empty for the default one of each task.
        page: Whether to add the page of `report --format html`, which needs the extra `[page]`.

    Returns:
        The SHA-256 of the file, 64 hexadecimal digits. Equal results give equal files.

    Raises:
        BenchError: If there are no such cells, or the file cannot be written.

    Examples:
        >>> qamoe_bench.evaluate(qamoe_bench.load_model("mean")).save("results")  # doctest: +ELLIPSIS
        <...Store...>
        >>> len(qamoe_bench.bundle("results", "results.zip", page=False))
        64
    """
    store = as_store(results)
    cells = select(store.require_cells(), protocols, models)
    return pack(cells, Path(output), page_of(cells, store.manifests(), dialect) if page else "", dialect)


def open_bundle(bundle: Path | str, into: Path | str) -> Store:
    """Check a bundle and unpack it, as `qamoe-bench unbundle` does.

    Args:
        bundle: A file that `bundle` wrote; it may come from anybody.
        into: The folder to make.

    Returns:
        The store in it. Every part has the hash that the bundle lists, every cell is whole, and the numbers of its
        report were computed again.

    Raises:
        BenchError: If the folder has files, or if anything in the bundle is not as it should be. Nothing is left then.

    Examples:
        >>> store = qamoe_bench.evaluate(qamoe_bench.load_model("mean")).save("results")
        >>> digest = qamoe_bench.bundle(store, "results.zip", page=False)
        >>> [stored.cell.model for stored in qamoe_bench.open_bundle("results.zip", "opened").cells()]
        ['Mean']
    """
    return open_bundle_file(Path(bundle), Path(into)).store


def page_of(
    cells: Sequence[StoredCell],
    manifests: Sequence[Mapping[str, Any]],
    dialect: str,
    metrics: Sequence[str] = (),
    texts: Path | None = None,
    rule: ClusterRule = BY_IDS,
) -> str:
    """The page of some cells, see `qamoe_bench.page.page.page`.

    Raises:
        BenchError: As there, and if the libraries that it needs are not installed.
    """
    try:
        from qamoe_bench.page.page import page  # needs jinja2 and altair, which are optional
    except ModuleNotFoundError as error:
        raise BenchError(
            f"the page needs {error.name}, which is not installed; run: pip install 'qamoe-bench[page]'"
        ) from error
    return page(cells, manifests, chosen(dialect, metrics), texts, rule)
