"""Resumable downloads of a file with a known hash.

Bytes received before a failure are kept in a file `<name>.part`, and the next attempt resumes there. The target appears
only once its hash is right. A response that stalls, ends early, redirects nowhere or has other content raises an error
of one line.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qamoe_bench.errors import BenchError

if TYPE_CHECKING:
    import requests

TIMEOUT_S = 30.0
"""Longest time without any data, in seconds."""

ProgressCallback = Callable[[int, int], None]
"""Called with the number of bytes received and the total; the total is 0 if the server does not report it."""

# Bytes that are received and written together.
_CHUNK_BYTES = 2**16

# Larger downloads are stopped, since a server can send without end.
_MAX_BYTES = 2**35

_STALLED = "nothing for too long"

# Status codes of responses to a request for a part of a file.
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416


def download(
    url: str, sha256: str, target: Path, *, timeout_s: float = TIMEOUT_S, tick: ProgressCallback = lambda *_: None
) -> None:
    """Download a file, resuming an earlier attempt.

    Args:
        url: Address of the file.
        sha256: Its hash, in hex.
        target: Path of the downloaded file.
        timeout_s: Longest time without any data, in seconds.
        tick: Called after every chunk.

    Raises:
        BenchError: The download failed, or the file has another hash; `target` is unchanged.
    """
    try:
        import pooch
    except ImportError as error:
        raise BenchError(f"{url}: downloads need pooch; pip install 'qamoe-bench[data]'") from error
    pooch.get_logger().setLevel("ERROR")
    part = _PartialFile(target.with_name(f"{target.name}.part"), timeout_s, tick)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = part.size() > 0
        is_right = _retrieve(url, sha256, target, part)
        if not is_right and resumed:
            # The earlier bytes may be those of another file. They are deleted by now, so this starts at the beginning.
            is_right = _retrieve(url, sha256, target, part)
    except OSError as error:
        raise BenchError(f"cannot write {target} ({error.strerror or error}); free space, or choose --to") from error
    if not is_right:
        raise BenchError(
            f"{url}: expected a file of SHA-256 {sha256}, got another, which was deleted; find another source"
        )


def _retrieve(url: str, sha256: str, target: Path, part: "_PartialFile") -> bool:
    """Download a file and verify its hash; returns whether it is right, and otherwise deletes it.

    Raises:
        BenchError: The connection failed.
    """
    import pooch
    import requests

    try:
        pooch.retrieve(url, f"sha256:{sha256}", target.name, target.parent, downloader=part)
    except requests.RequestException as error:
        received = part.size()
        remedy = f"{received} bytes are kept, run the command again to resume" if received else "try again later"
        raise BenchError(f"{url}: expected a whole file, got {_reason(error)}; {remedy}") from error
    except ValueError:  # pooch's error for another hash
        return False
    return True


def _reason(error: "requests.RequestException") -> str:
    """The cause of a failed request, phrased to follow "got" in an error message."""
    import requests

    if error.response is not None and not error.response.ok:
        return f"status {error.response.status_code}"
    if "timed out" in str(error):  # within a response, requests reports a timeout as a failed connection
        return _STALLED
    # The most specific class first: a timeout and an incomplete response may be connection errors as well.
    reasons = {
        requests.Timeout: _STALLED,
        requests.TooManyRedirects: "too many redirects",
        requests.exceptions.InvalidSchema: "a redirect to something that is no web address",
        requests.exceptions.ChunkedEncodingError: "a part of it",
        requests.ConnectionError: "no connection, or one that was interrupted",
    }
    for kind, reason in reasons.items():
        if isinstance(error, kind):
            return reason
    return type(error).__name__


class _PartialFile:
    """A downloader for pooch that keeps what it receives in a file, and moves it to pooch's when it is complete."""

    def __init__(self, path: Path, timeout_s: float, tick: ProgressCallback) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._tick = tick

    def size(self) -> int:
        """Number of bytes that are kept for another attempt."""
        return self._path.stat().st_size if self._path.exists() else 0

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Download a file; the interface of pooch."""
        self._fetch(url)
        self._path.replace(output_file)

    def _fetch(self, url: str) -> None:
        import requests

        kept = self.size()
        headers = {"Accept-Encoding": "identity"}  # compressed content could not be resumed
        if kept:
            headers["Range"] = f"bytes={kept}-"
        with requests.get(url, headers=headers, stream=True, timeout=self._timeout_s) as response:
            # Only a request for a range can be refused so; to anything else it is an error like every other.
            if response.status_code == _RANGE_NOT_SATISFIABLE and kept:
                self._finish_or_restart(response, kept)
                return
            response.raise_for_status()
            # A server that does not support ranges sends the whole file.
            resumes = response.status_code == _PARTIAL_CONTENT and _range_start(response) == kept
            self._receive(response, kept if resumes else 0)

    def _receive(self, response: "requests.Response", start: int) -> None:
        """Append the content of a response that begins at byte `start`."""
        import requests

        received = start
        total = start + int(response.headers.get("Content-Length") or 0)
        with self._path.open("ab" if start else "wb") as file:
            for chunk in response.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                received += len(chunk)
                if received > _MAX_BYTES:
                    raise requests.exceptions.ContentDecodingError(f"more than {_MAX_BYTES} bytes")
                self._tick(received, total)
        if total > received:
            raise requests.exceptions.ChunkedEncodingError("the connection ended early")

    def _finish_or_restart(self, response: "requests.Response", kept: int) -> None:
        """There is nothing after the bytes that are kept: either they are the whole file, or are of another one."""
        if response.headers.get("Content-Range", "") != f"bytes */{kept}":
            self._path.unlink(missing_ok=True)
            self._fetch(response.url)


def _range_start(response: "requests.Response") -> int:
    """Position of the first byte of a partial response; -1 if the server does not report it."""
    # The header is `bytes <first>-<last>/<total>`.
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else -1
