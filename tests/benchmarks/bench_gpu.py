"""A GPU against the CPU: the same results, and how fast; needs a CUDA device, less than six minutes and no network.

    PYTHONPATH=.:baselines:tests/helpers python tests/benchmarks/bench_gpu.py --output gpu.json

Every part prints a table, and a part that fails or exceeds its time prints its error and the next one begins. `--smoke`
runs every part at tiny sizes, on the CPU if there is no GPU; its figures mean nothing. The parts are in `gpu_agreement`
and `gpu_speed`. Prints measurements without a verdict.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gpu_agreement
import gpu_speed
import torch
from gpu_setup import Row, Setup

from qamoe_bench.provenance.environment import usable_cores, utc_now

Part = Callable[[Setup], Iterator[Row]]

PARTS: dict[str, tuple[Part, int]] = {
    "contract": (gpu_agreement.contract, 80),
    "corruption": (gpu_agreement.corruption, 40),
    "predictions": (gpu_agreement.predictions, 60),
    "training": (gpu_agreement.training, 40),
    "peak": (gpu_speed.peak, 20),
    "throughput": (gpu_speed.throughput, 60),
    "experts": (gpu_speed.experts, 40),
    "fine_tuning": (gpu_speed.fine_tuning, 70),
    "compiled": (gpu_speed.compiled, 60),
    "run": (gpu_agreement.run, 130),
}
"""Parts in the order in which they run, each with its limit in seconds."""
WHOLE = 350
"""Seconds after which no part goes on."""


class OutOfTime(Exception):
    """A part exceeded its limit."""


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise `OutOfTime` in the body after some seconds."""

    def stop(*_: object) -> None:
        raise OutOfTime(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def measure(part: Part, setup: Setup, limit: int, rows: list[Row]) -> str:
    """Append the rows of a part one by one; returns the error that ended it, if one did."""
    try:
        with limited(limit):
            for row in part(setup):
                rows.append(row)  # an error must not lose the rows before it
    except Exception as error:
        say("".join(traceback.format_exception(error, limit=-6)))
        return f"{type(error).__name__}: {error}"
    return ""


def table(rows: list[Row]) -> str:
    """Rows in aligned columns."""
    if not rows:
        return "(no rows)"
    header = list(dict.fromkeys(key for row in rows for key in row))
    lines = [header, *([shown(row.get(key, "")) for key in header] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join("  ".join(map(str.rjust, line, widths)) for line in lines)


def shown(value: object) -> str:
    """A cell: four significant digits of a fraction."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def say(text: str) -> None:
    """Print at once, because what a stopped process has not written is lost."""
    print(text, flush=True)  # noqa: T201


def environment(setup: Setup) -> Row:
    """The card, the versions and the date."""
    facts: Row = {"date": utc_now(), "torch": torch.__version__, "python": sys.version.split()[0]}
    facts |= {"cores": usable_cores(), "device": setup.device.type, "smoke": setup.smoke}
    if setup.device.type == "cuda":
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            facts["driver"] = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
        except OSError:
            facts["driver"] = "unknown"
        facts |= {"card": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    return facts


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="JSON file for all figures")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on the CPU if there is no GPU")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="a part to run; may be repeated")
    options = parser.parse_args()
    if not options.smoke and not torch.cuda.is_available():
        parser.error("expected a CUDA device, found none; run with --smoke to try the script on the CPU")
    setup = Setup(torch.device("cuda" if torch.cuda.is_available() else "cpu"), options.smoke)
    if options.smoke:
        torch.set_num_threads(1)  # tiny products only wait for more threads
    threads = torch.get_num_threads()
    results: dict[str, Any] = {"environment": environment(setup)}
    say(table([results["environment"]]))
    began = time.perf_counter()
    for name in options.only or PARTS:
        function, limit = PARTS[name]
        start = time.perf_counter()
        torch.set_num_threads(threads)  # parts may change it
        limit = max(1, min(limit, round(WHOLE - (start - began))))
        rows: list[Row] = []
        error = measure(function, setup, limit, rows)
        seconds = time.perf_counter() - start
        results[name] = {"rows": rows, "error": error, "seconds": seconds}
        say(f"\n== {name} ({seconds:.0f} s){': ' + error if error else ''}\n{table(rows)}")
        if options.output:  # after every part, so that a stopped process leaves what it has
            options.output.write_text(json.dumps(results, indent=1) + os.linesep)


if __name__ == "__main__":
    main()
