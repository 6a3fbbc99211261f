"""The environment of a run: versions, machine, commit and memory."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from qamoe_bench import __version__

PACKAGE = Path(__file__).parent.parent
GIT_TIMEOUT_S = 2
"""How long git may take to say which commit this is; longer, and the commit is unknown."""


def versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries that numbers may depend on."""
    installed = {"qamoe-bench": __version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "pandas", "pyarrow", "safetensors", "transformers"):
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            installed[name] = "not installed"
    return installed


def machine() -> dict[str, str | int]:
    """Properties of the machine that affect speed and the last digits of numbers."""
    return {"system": platform.platform(), "processor": _processor(), "cores": usable_cores()}


def usable_cores() -> int:
    """Number of cores that this process may run on."""
    # Containers and `taskset` restrict the affinity; macOS does not have it.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_mib() -> float:
    """The largest resident memory of this process so far, in MiB; 0 on systems that do not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def utc_now() -> str:
    """The time in UTC as ISO 8601 with milliseconds; later times sort after earlier ones as text."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _processor() -> str:
    # On Linux, `platform.processor` does not know the model.
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """The commit of the checkout that the package runs from, with `+changes` if there are any; empty outside of git."""
    try:
        head = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--", str(PACKAGE))
        return f"{head}+changes" if changes else head
    except (OSError, subprocess.SubprocessError):  # no git, no repository, or one on a slow network
        return ""


def _git(*arguments: str) -> str:
    # Without optional locks, a git that is killed leaves no lock file.
    command = ["git", "--no-optional-locks", "-C", str(PACKAGE.parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=GIT_TIMEOUT_S).stdout.strip()
