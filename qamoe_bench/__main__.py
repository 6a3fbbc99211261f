"""Entry point of the command `qamoe-bench` and of `python -m qamoe_bench`."""

import gc
import os


def main() -> None:
    """Run the command line."""
    # Before anything else is imported: only this module and what Python loads itself come before it.
    from qamoe_bench.cli.search_path import put_current_folder_last

    put_current_folder_last()
    # numpy's matrix products are small here, and torch has threads of its own: a second OpenBLAS thread costs more than
    # it gains, most of all on a busy machine. OpenBLAS reads the variable when numpy is first imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Imports allocate many objects and no garbage cycles: collecting less often saves 5 % of a short command.
    gc.set_threshold(100_000)
    from qamoe_bench.cli.main import main as run_command

    run_command()


if __name__ == "__main__":
    main()
