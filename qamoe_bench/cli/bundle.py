"""`qamoe-bench bundle` and `unbundle`: results as one file that others can check. Nothing here needs torch."""

from pathlib import Path
from typing import Annotated

import typer

from qamoe_bench.cli.console import cells_in, log, open_stores, plain_file, print_chapters_as
from qamoe_bench.cli.options import DialectName, OnlyModels, OnlyProtocols, SeveralResults

BundleFile = Annotated[Path, typer.Option("--output", metavar="FILE", help="File to write, such as results.zip.")]
WithPage = Annotated[bool, typer.Option("--page/--no-page", help="Whether to add the page of 'report --format html'.")]
Bundle = Annotated[Path, typer.Argument(metavar="FILE", help="File that 'qamoe-bench bundle' wrote.")]
NewFolder = Annotated[Path, typer.Option("--into", metavar="DIR", help="New folder for its content.")]


def write_bundle(
    output: BundleFile,
    results: SeveralResults = None,
    protocol: OnlyProtocols = None,
    model: OnlyModels = None,
    dialect: DialectName = "",
    page: WithPage = True,
) -> None:
    """Write predictions, manifests and the page of stored results into one file, with the hash of every part."""
    from qamoe_bench.analysis.selection import select
    from qamoe_bench.api.sharing import page_of
    from qamoe_bench.sharing.packing import pack
    from qamoe_bench.store.store import manifests_of

    stores = open_stores(results)
    cells = select(cells_in(stores), protocol or (), model or ())
    text = page_of(cells, manifests_of(stores), dialect) if page else ""
    digest = pack(cells, plain_file(output), text, dialect)
    print(f"{output}: {len(cells)} cells, SHA-256 {digest}")


def unpack_bundle(bundle: Bundle, into: NewFolder) -> None:
    """Check every part of a bundle, unpack it, compute its report again from the predictions and print it."""
    from qamoe_bench.sharing.opening import open_bundle_file

    opened = open_bundle_file(bundle, into)
    print_chapters_as(opened.report, "terminal", None)
    log(f"{into}: {opened.cells} cells, as written; {opened.numbers} numbers of the report computed again, all equal")
    if opened.unsealed:
        log(f"note: {opened.unsealed} of the cells are of an earlier version and have no checksum of their own")
    log(f"SHA-256 of {bundle}: {opened.sha256}; compare it with the one that its author gives")
