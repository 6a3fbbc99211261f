"""The command line. Each command parses, makes one call and prints; heavy imports wait until they are needed."""

import sys
from typing import Annotated

import typer

from qamoe_bench import __version__
from qamoe_bench.cli import cost, data, figures, ls, protocol, report, run
from qamoe_bench.cli.report import talk
from qamoe_bench.errors import BenchError, RunFailed

app = typer.Typer(
    help="How robust is this multimodal sentiment model, compared with those, and can I trust the comparison?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main() -> None:
    """Run a command; a user's mistake is one line and exit status 2, a failed run one line and 1."""
    sys.path.insert(0, "")  # `--model package.module:build` may lie in the folder that one stands in
    try:
        app()
    except BenchError as error:
        talk.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except RunFailed as error:
        talk.print(f"failed: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


app.command()(run.run)
app.command()(report.report)
app.command()(report.check)
app.command()(figures.figures)
app.command()(cost.cost)
app.command(name="ls")(ls.list_names)
app.add_typer(protocol.app, name="protocol")
app.add_typer(data.app, name="data")
