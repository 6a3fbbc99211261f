"""The command `qamoe-bench`, and `python -m qamoe_bench`."""

import gc
import os


def main() -> None:
    """Run the command line."""
    # Matrix products are small in reports, and torch's are its own: a second thread of numpy's costs more than it
    # gains, and much where the machine is busy. It has to be said before numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(100_000)  # looking for circles among what imports make is a twentieth of a short command's time
    from qamoe_bench.cli.main import main as command

    command()


if __name__ == "__main__":
    main()
