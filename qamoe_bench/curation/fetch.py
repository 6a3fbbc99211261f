"""Getting one of the files that the field shares, and verifying its hash."""

from pathlib import Path

from qamoe_bench.curation.download import ProgressCallback, download
from qamoe_bench.data.known import KNOWN, KnownFile, file_sha256
from qamoe_bench.errors import BenchError, unknown_name


def find_known(name: str) -> KnownFile:
    """The known file with this name.

    Raises:
        BenchError: There is none.
    """
    for known in KNOWN:
        if known.name == name:
            return known
    raise unknown_name("data set", name, [k.name for k in KNOWN])


def fetch_dataset(name: str, source: str, folder: Path, tick: ProgressCallback = lambda *_: None) -> Path:
    """Verify a local file, or download and verify one.

    Args:
        name: Name of a known file, see `KNOWN`.
        source: Path of a local file, or an address that the user may download it from; the terms of the data sets do
            not allow to include addresses here. If empty, an earlier download is verified.
        folder: Folder for downloads.
        tick: Called with the progress of a download, see `download`.

    Returns:
        The path of the verified file.

    Raises:
        BenchError: There is no source, the download failed, or the file has another hash.
    """
    known = find_known(name)
    target = folder / f"{known.name}.pkl"
    if source.startswith(("https://", "http://")):
        if not target.exists():  # an earlier download is not fetched again
            download(source, known.sha256, target, tick=tick)
        return _verified(target, known)
    if source:
        return _verified(Path(source), known)
    if target.is_file():
        return _verified(target, known)
    raise BenchError(f"{known.name}: expected a source, got none; {how_to_get(known)}")


def is_there(name: str, folder: Path) -> bool:
    """Whether an earlier download of a known file is in the folder."""
    return (folder / f"{find_known(name).name}.pkl").is_file()


def how_to_get(known: KnownFile) -> str:
    """How the user gets a file, in one line."""
    return (
        f"its terms do not allow automatic downloads: get {known.file} as {known.source} explains, then run "
        f"'qamoe-bench data fetch {known.name} --from FILE' (or an address), which expects SHA-256 {known.sha256}"
    )


def _verified(path: Path, known: KnownFile) -> Path:
    """The path of a file, if the file has the published hash."""
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise BenchError(f"{path}: expected a readable file, got {error.strerror}; check the path") from error
    if digest != known.sha256:
        raise BenchError(
            f"{path}: expected {known.name}, SHA-256 {known.sha256}, got {digest}; it is another file or incomplete, "
            "so download it again"
        )
    return path
