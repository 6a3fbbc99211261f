"""`qamoe-bench merge`: the results of several machines in one folder. Nothing here needs torch."""

from pathlib import Path
from typing import Annotated

import typer

from qamoe_bench.cli.console import name_damaged, open_stores

Sources = Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results folders to copy from.")]
Into = Annotated[Path, typer.Option("--into", metavar="DIR", help="Results folder to copy to; it need not exist.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Compare and count, and write nothing.")]


def merge_results(sources: Sources, into: Into, dry_run: DryRun = False) -> None:
    """Copy the cells of results folders into one; two contents under one key are named, and nothing is changed."""
    from qamoe_bench.sharing.merging import merge_stores
    from qamoe_bench.store.store import Store

    merged = merge_stores(open_stores(sources), Store(into, keeps_index=not dry_run), dry_run=dry_run)
    verb = "would come" if dry_run else "came"
    name_damaged(merged.damaged)
    names = ", ".join(map(str, sources))
    print(f"{into}: {merged.added} cells {verb} from {names}, {merged.present} were there already, 0 conflicts")
