"""`qamoe-bench protocol`: the definition of a protocol, and its effect on the samples of a data set."""

from pathlib import Path
from typing import Annotated

import typer

from qamoe_bench import __version__
from qamoe_bench.cli.console import log, print_chapters_as
from qamoe_bench.cli.options import ClassNames, DropBadLabels, LabelRange, TaskKind, reading_options
from qamoe_bench.data.embedded import DATA_CHOICES
from qamoe_bench.errors import BenchError

app = typer.Typer(help="Show protocols and their effect on data.", no_args_is_help=True)


@app.callback()  # without a callback typer would merge the only command into its group
def _group() -> None:
    """Show protocols and their effect on data."""


@app.command("show")
def show_protocol(
    name: Annotated[str, typer.Argument(help="Name, or path of a TOML file.", metavar="NAME|FILE.toml")],
    data: Annotated[str, typer.Option("--data", metavar="PATH", help=f"{DATA_CHOICES}.")] = "synthetic",
    label_range: LabelRange = None,
    drop_bad_labels: DropBadLabels = False,
    task: TaskKind = "",
    classes: ClassNames = "",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the corruption.")] = 1111,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw one sample under several conditions to this PNG file."),
    ] = None,
) -> None:
    """Print a protocol and measure its effect on the test samples; nothing is trained."""
    from qamoe_bench.protocol.parse import load_protocol

    protocol = load_protocol(name)
    if plot is not None and plot.suffix.lower() != ".png":
        raise BenchError(f"--plot {str(plot)!r}: expected the path of a PNG file; let it end in .png")
    log(f"qamoe-bench {__version__}: reading data and corrupting it ...")  # before seconds of imports
    import torch

    torch.set_num_threads(1)  # the operations are many and small; threads would slow them down

    from qamoe_bench.curation.protocol_picture import picture
    from qamoe_bench.curation.protocol_tables import protocol_chapter
    from qamoe_bench.data.open import open_dataset
    from qamoe_bench.evaluation.test_set import TestSet
    from qamoe_bench.figures.protocol_plot import draw_picture
    from qamoe_bench.store.atomic import write_atomic

    # The CPU, because the same seed gives the same samples on any device and this set is small.
    dataset = open_dataset(data, options=reading_options(label_range, drop_bad_labels, task, classes))
    test = TestSet(dataset, seed, torch.device("cpu"))
    effect = protocol_chapter(test, protocol)
    if plot is not None:
        write_atomic(plot, draw_picture(picture(test, protocol)))
        log(f"wrote {plot}")
    print_chapters_as([effect], "terminal", None)
