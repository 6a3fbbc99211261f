"""What a file is, by its first bytes: a data file, something that holds one, or something else under its name."""

from pathlib import Path

from qamoe_bench.errors import BenchError

START_BYTES = 512
"""How much of the start of a file decides; the name of a tar archive's format comes at byte 257."""

HDF5 = b"\x89HDF\r\n\x1a\n"
"""The first bytes of every HDF5 file."""

ZIP = b"PK\x03\x04"
"""The first bytes of a zip archive, which may be a file of torch or of NumPy."""

# What browsers, servers, git and archivers leave under the name of a data file, with what helps.
_NOT_DATA: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a pointer of git-lfs, not the file itself", "run 'git lfs pull' in its repository"),
    (b"Rar!", "a RAR archive", "unpack it and give the file inside"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and give the file inside"),
    (b"\x93NUMPY", "a single NumPy array", "store train, valid and test with labels in one pickle"),
    (b"PAR1", "a Parquet table", "store features and labels as NumPy arrays in a pickle"),
    (b"SQLite format 3", "a database", "store features and labels as NumPy arrays in a pickle"),
    (b"%PDF", "a PDF document", "download the data file itself"),
    (b"MATLAB", "a MATLAB file", "store its arrays in a pickle with train, valid and test"),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a file of torch older than 1.6", "save it with a newer torch"),
)
_WEB_PAGE = ("a web page", "download the file itself, not the page that offers it (large files ask for a click)")


def check_is_data(path: Path, start: bytes) -> None:
    """Refuse what is certainly no data file.

    Args:
        path: The file.
        start: Its first `START_BYTES` bytes.

    Raises:
        BenchError: The file is empty, a web page, a pointer, or in a format that cannot be read; the message says which
            and what to do.
    """
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        raise _wrong(path, "an empty file", "fetch it again")
    if not start.strip(b"\0"):
        raise _wrong(path, "a file that starts with zeros, as an interrupted download leaves it", "fetch it again")
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<script")):
        raise _wrong(path, *_WEB_PAGE)
    if text.startswith(b'{"'):
        raise _wrong(path, "JSON text", "store features and labels as NumPy arrays in a pickle")
    if start[257:262] == b"ustar":
        raise _wrong(path, "a tar archive", "unpack it and give the file or folder inside")
    for magic, kind, remedy in _NOT_DATA:
        if start.startswith(magic):
            raise _wrong(path, kind, remedy)


def _wrong(path: Path, kind: str, remedy: str) -> BenchError:
    return BenchError(f"{path}: expected a data file, got {kind}; {remedy}")
