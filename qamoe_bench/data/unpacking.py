"""A compressed file, or a zip archive with one file in it, unpacked into a temporary folder while it is read."""

import bz2
import gzip
import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path, PurePosixPath

from qamoe_bench.data.file_kinds import ZIP
from qamoe_bench.errors import BenchError

# How many times larger than the compressed file its content may be. Padded features reach 30; bombs reach 1,000.
_MAX_EXPANSION = 200

_BLOCK_BYTES = 1 << 20
_COMPRESSED: tuple[tuple[bytes, Callable[[Path], BufferedIOBase]], ...] = (
    (b"\x1f\x8b", gzip.GzipFile),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\0", lzma.LZMAFile),
)

# Left by the archiver of macOS, beside the file that was meant.
_NOT_MEANT = ("__MACOSX", ".DS_Store")


@contextmanager
def unpacked(path: Path, start: bytes) -> Iterator[Path]:
    """The file itself, or the one inside it, as a context manager.

    Args:
        path: A file.
        start: Its first bytes.

    Raises:
        BenchError: A compressed file is damaged or expands too much, or an archive holds more than one file.
    """
    opener = next((opener for magic, opener in _COMPRESSED if start.startswith(magic)), None)
    member = _only_member(path) if start.startswith(ZIP) else None
    if opener is None and member is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="qamoe-bench-") as folder:
        inner = Path(folder) / (PurePosixPath(member).name if member else path.stem or "content")
        with _one_line_errors(path):
            if opener is not None:
                with opener(path) as content:
                    _copy(path, content.read, inner)
            elif member is not None:
                with zipfile.ZipFile(path) as archive, archive.open(member) as content:
                    _copy(path, content.read, inner)
        try:
            yield inner
        except BenchError as error:  # which names a file that the user has never seen
            raise BenchError(str(error).replace(str(inner), str(path))) from error


def _only_member(path: Path) -> str | None:
    """The name of the one file in a zip archive; None for the zip archives of torch and NumPy.

    Raises:
        BenchError: There are several files, or none.
    """
    with _one_line_errors(path), zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    names = [name for name in names if not any(part in _NOT_MEANT for part in PurePosixPath(name).parts)]
    if is_torch_archive(names) or all(name.endswith(".npy") for name in names):
        return None
    if len(names) != 1:
        raise BenchError(
            f"{path}: expected a zip archive of one file, got {len(names)} files; unpack it and give the file or "
            "folder inside"
        )
    return names[0]


def is_torch_archive(names: list[str]) -> bool:
    """Whether a zip archive with members of these names was written by `torch.save`."""
    return any(PurePosixPath(name).name == "data.pkl" for name in names)


def _copy(path: Path, read: Callable[[int], bytes], target: Path) -> None:
    """Write the content of a compressed file, and stop if it is out of all proportion."""
    most = _MAX_EXPANSION * path.stat().st_size
    with target.open("wb") as file:
        while block := read(_BLOCK_BYTES):
            if file.tell() + len(block) > most:
                raise BenchError(
                    f"{path}: expected a compressed data file, got one that grows to more than {_MAX_EXPANSION} times "
                    "its size; unpack it yourself if you trust it"
                )
            if shutil.disk_usage(target.parent).free < 2 * len(block):
                raise BenchError(f"{path}: no space to unpack it in {target.parent}; unpack it elsewhere yourself")
            file.write(block)


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    try:
        yield
    # A damaged file can raise any of these; RuntimeError and NotImplementedError: a password, an unknown method.
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, ValueError) as error:
        reason = ascii(" ".join(str(error).split()))[1:-1][:120] or type(error).__name__
        raise BenchError(
            f"{path}: expected a complete compressed file, got a damaged one ({reason}); fetch it again"
        ) from error
