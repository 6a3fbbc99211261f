"""Downloading a file whose hash is known: what was fetched before a failure is kept beside it and gone on from.

Nothing takes the file's name before its hash is right. An answer that stalls, breaks off, leads nowhere or is another
file ends in one line.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qamoe_bench.errors import BenchError

if TYPE_CHECKING:
    import requests

TIMEOUT_S = 30.0
"""How long a connection may say nothing."""
SILENCE = "nothing for too long"
LARGEST = 2**35
BLOCK = 2**16
Tick = Callable[[int, int], None]
"""Told of bytes that have come and of all that there will be; 0 where the server does not tell."""


def download(
    url: str, sha256: str, target: Path, *, timeout_s: float = TIMEOUT_S, tick: Tick = lambda *_: None
) -> None:
    """Fetch a file, going on from what an earlier attempt left.

    Raises:
        BenchError: It could not be fetched, or is another file than was expected; `target` was not touched.
    """
    try:
        import pooch
        import requests
    except ImportError as error:
        raise BenchError(f"{url}: downloads need pooch; pip install 'qamoe-bench[data]'") from error
    pooch.get_logger().setLevel("ERROR")
    fetch = _Resuming(target.with_name(f"{target.name}.part"), timeout_s, tick)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for going_on in (fetch.kept() > 0, False):
            try:
                pooch.retrieve(url, f"sha256:{sha256}", target.name, target.parent, downloader=fetch)
            except requests.RequestException as error:
                raise _failed(url, _reason(error), fetch.kept()) from error
            except ValueError as error:  # the hash is another
                if not going_on:  # else what was kept may have been of another file, and is gone now
                    raise BenchError(
                        f"{url}: expected a file of SHA-256 {sha256}, got another; none of it was kept; find another "
                        "source"
                    ) from error
            else:
                return
    except OSError as error:
        raise BenchError(f"cannot write {target} ({error.strerror or error}); free space, or choose --to") from error


def _failed(url: str, reason: str, kept: int) -> BenchError:
    remedy = f"{kept} bytes are kept, and the same command goes on from there" if kept else "try again, or elsewhere"
    return BenchError(f"{url}: expected a whole file, got {reason}; {remedy}")


def _reason(error: "requests.RequestException") -> str:
    import requests

    if error.response is not None and not error.response.ok:
        return f"status {error.response.status_code}"
    if "timed out" in str(error):  # in the middle of an answer it is called a failed connection
        return SILENCE
    kinds = {
        requests.Timeout: SILENCE,
        requests.TooManyRedirects: "redirects without end",
        requests.exceptions.InvalidSchema: "a redirect to something that is no web address",
        requests.exceptions.ChunkedEncodingError: "a part of it",
        requests.ConnectionError: "no connection, or one that broke off",
    }
    return next((text for kind, text in kinds.items() if isinstance(error, kind)), type(error).__name__)


class _Resuming:
    """A downloader for pooch that writes to a file of its own, and moves it to pooch's when it is whole."""

    def __init__(self, part: Path, timeout_s: float, tick: Tick) -> None:
        self._part, self._timeout_s, self._tick = part, timeout_s, tick

    def kept(self) -> int:
        """How many bytes are there for another attempt."""
        return self._part.stat().st_size if self._part.exists() else 0

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """As pooch calls it."""
        self._fetch(url)
        self._part.replace(output_file)

    def _fetch(self, url: str) -> None:
        import requests

        start = self.kept()
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        with requests.get(url, headers=headers, stream=True, timeout=self._timeout_s) as answer:
            if answer.status_code == 416:  # there is no more: it is whole, or was another file
                self._finish_or_restart(answer, start)
                return
            answer.raise_for_status()
            goes_on = answer.status_code == 206 and _begins(answer) == start
            start = start if goes_on else 0
            total = start + int(answer.headers.get("Content-Length") or 0)
            with self._part.open("ab" if goes_on else "wb") as file:
                for block in answer.iter_content(BLOCK):
                    file.write(block)
                    start += len(block)
                    if start > LARGEST:
                        raise requests.exceptions.ContentDecodingError(f"more than {LARGEST} bytes")
                    self._tick(start, total)
        if total > start:
            raise requests.exceptions.ChunkedEncodingError("the connection ended early")

    def _finish_or_restart(self, answer: "requests.Response", start: int) -> None:
        if answer.headers.get("Content-Range", "") != f"bytes */{start}":
            self._part.unlink(missing_ok=True)
            self._fetch(answer.url)


def _begins(answer: "requests.Response") -> int:
    """Where the part that was sent begins."""
    words = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(words) if words.isdigit() else -1
