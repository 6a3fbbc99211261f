"""What made a result: versions, machine, commit and the digest of the code that determines numbers."""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from qamoe_bench import __version__
from qamoe_bench.provenance.closure import closure_of

PACKAGE = Path(__file__).parent.parent

ENGINE = (
    "qamoe_bench.training.loop",
    "qamoe_bench.evaluation.sweep",
    "qamoe_bench.training.building",
    "qamoe_bench.data.open",
)
"""What turns a data file and a model into predictions; these modules and all that they import determine numbers."""


def versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries that touch numbers."""
    found = {"qamoe-bench": __version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "pandas", "pyarrow", "safetensors", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, str | int]:
    """The machine, as far as it matters for speed and the last digit."""
    return {"system": platform.platform(), "processor": _processor(), "cores": usable_cores()}


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_mib() -> float:
    """The largest resident memory that this process ever had; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """The commit of the checkout that the package runs from, with `+changes`; empty where it is not one."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain", "--", str(PACKAGE)) else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(PACKAGE.parent), *words]  # one that is killed leaves no lock
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


@cache
def engine_digest() -> str:
    """Digest of the code between a data file and a stored prediction, except the model (see `ModelRef.code`)."""
    return closure_of(ENGINE).digest
