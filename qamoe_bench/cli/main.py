"""Entry point of the command line: registration of the commands, and exit codes.

0 success; 1 a failed run, or a regression in a check; 2 a user's mistake; 130 an interrupted run.
"""

import os
import shutil
import sys
from typing import Annotated

import typer

from qamoe_bench import __version__
from qamoe_bench.cli import bundle, check, cost, data, exchange, figures, ls, merge, protocol, report, run
from qamoe_bench.cli.characters import prepare_streams
from qamoe_bench.cli.console import stderr
from qamoe_bench.cli.search_path import put_current_folder_last
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.report.escaping import escaped

NARROW = 80
"""Columns from which on help is shown in boxes."""

app = typer.Typer(
    help="Train multimodal sentiment models, evaluate them with missing and noisy modalities, and compare them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a bug keeps Python's own traceback, which reports can quote
    add_completion=False,  # --install-completion would edit the user's shell configuration
)


def main() -> None:
    """Run a command; an error of the user prints one line and exits with 2, a failed run with 1."""
    prepare_streams()
    if os.environ.get("COLUMNS", "").isdigit() and not int(os.environ["COLUMNS"]):
        del os.environ["COLUMNS"]  # some build machines report no columns; then the terminal itself is asked
    if shutil.get_terminal_size().columns < NARROW:
        app.rich_markup_mode = None  # plain help wraps its lines, and boxes shorten the names of options
    put_current_folder_last()
    try:
        app()
    except BenchError as error:
        _exit_with(2, f"error: {error}")
    except RunFailed as error:
        _exit_with(1, f"failed: {error}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        # Results are read without it, so an installation may lack it on purpose.
        _exit_with(2, "error: expected PyTorch, which this command needs, got none; pip install torch")


def _exit_with(code: int, message: str) -> None:
    stderr.print(escaped(message), style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


# The order is that of `qamoe-bench --help`.
app.command("run")(run.run)
app.command("report")(report.report)
app.command("check")(check.check_results)
app.command("figures")(figures.draw_figures)
app.command("cost")(cost.print_costs)
app.command("merge")(merge.merge_results)
app.command("bundle")(bundle.write_bundle)
app.command("unbundle")(bundle.unpack_bundle)
app.command("ls")(ls.list_names)
app.command("export")(exchange.export_protocol)
app.command("import")(exchange.import_file)
app.add_typer(protocol.app, name="protocol")
app.add_typer(data.app, name="data")
