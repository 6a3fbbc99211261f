"""Entry point of the command line: registration of the commands, and exit codes.

0 success; 1 a failed run, or a regression in a check; 2 a user's mistake; 130 an interrupted run.
"""

import errno
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Annotated

import typer

from qamoe_bench import __version__
from qamoe_bench.cli import bundle, check, cost, data, exchange, figures, ls, merge, protocol, report, run, tune
from qamoe_bench.cli.characters import prepare_streams
from qamoe_bench.cli.console import stderr
from qamoe_bench.cli.search_path import put_current_folder_last
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.report.escaping import escaped

INTERRUPTED = 130
"""Exit code of an interrupted command: 128 + SIGINT, as shells report it."""
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
    if sys.stdout is None:  # its descriptor would be given to the next file that is opened
        _exit_with(2, "error: standard output: expected an open file, got a closed one; redirect it, as in > /dev/null")
    prepare_streams()
    _prepare_width()
    put_current_folder_last()
    try:
        try:
            with _second_interrupt_ends():
                app()
        finally:
            sys.stdout.flush()  # here, since an error while Python ends could not be reported
    except BenchError as error:
        _exit_with(2, f"error: {error}")
    except RunFailed as error:
        _exit_with(1, f"failed: {error}")
    except (OSError, ImportError) as error:
        line = _line_for(error)
        if line is None:
            raise
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in its buffer
        _exit_with(2, line)


def _prepare_width() -> None:
    if os.environ.get("COLUMNS", "").isdigit() and not int(os.environ["COLUMNS"]):
        del os.environ["COLUMNS"]  # some build machines report no columns; then the terminal itself is asked
    if shutil.get_terminal_size().columns < NARROW:
        app.rich_markup_mode = None  # plain help wraps its lines, and boxes shorten the names of options


@contextmanager
def _second_interrupt_ends() -> Iterator[None]:
    """Ctrl-C once lets a command clean up and say how to continue; twice ends it at once and without a traceback.

    Files are written completely or not at all, and workers end with this process, so nothing is lost.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, as by nohup
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        os._exit(INTERRUPTED)

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, leave)  # until the process has ended, which takes a while with a cluster
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _line_for(error: OSError | ImportError) -> str | None:
    """One line for an error of the machine that any command may meet; None for every other."""
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        # Results are read without it, so an installation may lack it on purpose.
        return "error: expected PyTorch, which this command needs, got none; pip install torch"
    number = getattr(error, "errno", None)
    # A library that cannot be opened is an ImportError, whose text alone says why.
    if number in (errno.EMFILE, errno.ENFILE) or "Too many open files" in str(error):
        return "error: expected to open one more file, got the limit of open files; raise it, as in ulimit -n 1024"
    # Errors of files in a folder name them, and are reported where they occur.
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EBADF) and error.filename is None:  # type: ignore[union-attr]
        reason = os.strerror(number)
        return f"error: standard output: cannot be written ({reason}); free space, or redirect it to another place"
    return None


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
app.command("tune")(tune.tune_models)
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
