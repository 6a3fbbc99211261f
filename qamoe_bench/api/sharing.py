"""Sharing stored results: several stores become one. Nothing here needs torch."""

from __future__ import annotations  # keeps the signatures that help() shows short

from collections.abc import Iterable
from pathlib import Path

from qamoe_bench.api.results import as_store
from qamoe_bench.sharing.merging import Merged, merge_stores
from qamoe_bench.store.store import Store


def merge(sources: Iterable[Store | Path | str], into: Store | Path | str, *, dry_run: bool = False) -> Merged:
    """Copy the results of several stores into one, as `qamoe-bench merge` does.

    Args:
        sources: Stores or their folders; they are not changed.
        into: The store to copy to, or its folder, which need not exist.
        dry_run: Whether to compare and count only.

    Returns:
        How many cells were copied (`added`), and how many were there already (`present`).

    Raises:
        BenchError: If a source has no finished cells, if two cells of one key hold different results (nothing is
            written then), or if the folder cannot be written to.

    Example:
        >>> model = qamoe_bench.load_model("mean")
        >>> qamoe_bench.evaluate(model, seeds=(1, 2)).save("first")  # doctest: +ELLIPSIS
        <...Store...>
        >>> second = qamoe_bench.evaluate(model, seeds=(2, 3)).save("second")
        >>> qamoe_bench.merge(["first", second], "both")
        Merged(added=3, present=0)
        >>> qamoe_bench.merge(["second"], "both")
        Merged(added=0, present=2)
    """
    return merge_stores([as_store(source) for source in sources], as_store(into), dry_run=dry_run)
