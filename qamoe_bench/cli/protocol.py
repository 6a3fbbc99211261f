"""`qamoe-bench protocol`: what a protocol is, and what it does to the samples of a data set."""

from pathlib import Path
from typing import Annotated

import typer

from qamoe_bench import __version__
from qamoe_bench.errors import BenchError
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.store.store import write_atomic

app = typer.Typer(help="Look at protocols.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Look at protocols."""


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name, or path of a TOML file.", metavar="NAME|FILE.toml")],
    data: Annotated[str, typer.Option("--data", help="`synthetic`, a data file or a folder.")] = "synthetic",
    seed: Annotated[int, typer.Option("--seed", help="Whose draws to look at.")] = 1111,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw one sample along the sweep to this PNG.")] = None,
) -> None:
    """Print a protocol and what it really does to the test samples; nothing is trained."""
    protocol = load_protocol(name)
    if plot is not None and plot.suffix.lower() != ".png":
        raise BenchError(f"--plot {str(plot)!r}: expected the path of a PNG file; let it end in .png")
    typer.echo(f"qamoe-bench {__version__}: reading data and corrupting it ...", err=True)
    import torch

    torch.set_num_threads(1)  # many small operations, which threads would only wait for

    from qamoe_bench.curation.protocol_picture import picture
    from qamoe_bench.curation.protocol_tables import protocol_chapter
    from qamoe_bench.data.open import open_dataset
    from qamoe_bench.evaluation.sweep import TestSet
    from qamoe_bench.figures.protocol_plot import draw_picture
    from qamoe_bench.report.formats.plain import plain_text
    from qamoe_bench.report.formats.terminal import print_chapters, stdout

    test = TestSet(open_dataset(data), seed, torch.device("cpu"))
    found = protocol_chapter(test, protocol)
    if plot is not None:
        write_atomic(plot, draw_picture(picture(test, protocol)))
        typer.echo(f"wrote {plot}", err=True)
    if stdout().is_terminal:
        print_chapters([found], stdout())
    else:
        typer.echo(plain_text([found]), nl=False)
