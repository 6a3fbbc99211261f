"""Whether a file fits into memory, before it is read: the system would kill the process without a word."""

from pathlib import Path

from qamoe_bench.errors import BenchError

# Peak memory of reading a pickle of float64 arrays and converting them, in sizes of the file: 1.15 was measured.
_PEAK = 1.3

# Files of this size fit everywhere.
_SMALL_BYTES = 100_000_000

_CGROUP = Path("/sys/fs/cgroup")


def check_memory(path: Path, size: int) -> None:
    """Refuse a file that certainly does not fit.

    Args:
        path: The file, for the message.
        size: Its size in bytes, uncompressed.

    Raises:
        BenchError: Reading it needs more memory than is available.
    """
    available = available_bytes()
    if size > _SMALL_BYTES and available is not None and _PEAK * size > available:
        raise too_little_memory(path, size, available)


def too_little_memory(path: Path, size: int, available: float | None = None) -> BenchError:
    """The error for a file that does not fit."""
    got = "less" if available is None else f"{max(available, 0) / 1e9:.1f} GB"
    return BenchError(
        f"{path}: expected about {_PEAK * size / 1e9:.1f} GB of free memory to read it, got {got}; read it once on a "
        "larger machine with 'qamoe-bench data convert', whose folders are read in parts everywhere"
    )


def available_bytes() -> float | None:
    """Memory that this process may still allocate; None where the system does not say it."""
    limits = [_free_of_system(), _free_of_container(), _free_of_process()]
    known = [limit for limit in limits if limit is not None]
    return min(known, default=None)


def _free_of_system() -> float | None:
    return _field(Path("/proc/meminfo"), "MemAvailable")


def _free_of_process() -> float | None:
    """What is left of the limit of the process (`ulimit -v`)."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _field(Path("/proc/self/status"), "VmSize")
    return None if limit == resource.RLIM_INFINITY or used is None else limit - used


def _free_of_container() -> float | None:
    """What is left of the limit of a container."""
    try:
        limit = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        # Cached files count as used, and are given up first.
        statistics = (_CGROUP / "memory.stat").read_text(encoding="ascii").split()
        cached = int(statistics[statistics.index("file") + 1])
    except (OSError, ValueError):  # no container, or no limit ("max")
        return None
    return limit - used + cached


def _field(path: Path, name: str) -> float | None:
    """A line `name: <number> kB` of a file of the system, in bytes."""
    try:
        for line in path.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * float(line.split()[1])
    except OSError:
        return None
    return None
