"""Getting one of the files that the field shares, and knowing that it is the one."""

from pathlib import Path

from qamoe_bench.curation.download import Tick, download
from qamoe_bench.data.known import KNOWN, KnownFile, file_sha256
from qamoe_bench.errors import BenchError, unknown_name


def find_known(name: str) -> KnownFile:
    """The file of that name.

    Raises:
        BenchError: for a name that is not known.
    """
    for known in KNOWN:
        if known.name == name:
            return known
    raise unknown_name("data set", name, [k.name for k in KNOWN])


def fetch(name: str, source: str, folder: Path, tick: Tick = lambda *_: None) -> Path:
    """Check a file that the user has, or download one; returns where it lies.

    Args:
        name: Of the file, as in `KNOWN`.
        source: Path of a file, or an address that the user may take it from; the terms of the data sets do not allow
            to name one here.
        folder: Where a download is kept.
        tick: See `download`.

    Raises:
        BenchError: There is no source, it could not be fetched, or it is another file.
    """
    known = find_known(name)
    target = folder / f"{known.name}.pkl"
    if source.startswith(("https://", "http://")):
        if not target.exists():
            download(source, known.sha256, target, tick=tick)
        return _checked(target, known)
    if source:
        return _checked(Path(source), known)
    if target.is_file():
        return _checked(target, known)
    raise BenchError(
        f"{known.name}: expected --from, for its terms do not let us fetch it unasked; get {known.file} as "
        f"{known.source} says, then run 'qamoe-bench data fetch {known.name} --from FILE' (or an address), which "
        f"expects SHA-256 {known.sha256}"
    )


def _checked(path: Path, known: KnownFile) -> Path:
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise BenchError(f"{path}: expected a file that can be read, got {error.strerror}; check the path") from error
    if digest != known.sha256:
        raise BenchError(
            f"{path}: expected {known.name}, SHA-256 {known.sha256}, got {digest}; it is another file or a part of it, "
            "so get it again"
        )
    return path
