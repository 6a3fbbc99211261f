"""Downloads from servers that behave badly: the right file comes, or one line and nothing under its name."""

import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from commandline import bench

from qamoe_bench.curation.download import download
from qamoe_bench.data.known import KNOWN, KnownFile
from qamoe_bench.errors import BenchError

CONTENT = bytes(range(256)) * 1024
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


class Server(ThreadingHTTPServer):
    """Serves CONTENT in a way that depends on the path, and records the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str]] = []
        self.stop = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.requests.append((self.path, wanted))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        getattr(self, self.path.strip("/").replace("-", "_"))(start)

    def _head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def good(self, start: int) -> None:
        if start >= len(CONTENT):
            self._head(416, 0, Content_Range=f"bytes */{len(CONTENT)}")
        elif start:
            self._head(206, len(CONTENT) - start, Content_Range=f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            self._head(200, len(CONTENT))
        self.wfile.write(CONTENT[start:])

    def truncated(self, start: int) -> None:
        """Half of it at a time."""
        status = 206 if start else 200
        self._head(status, len(CONTENT) - start, Content_Range=f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.wfile.write(CONTENT[start : start + HALF])
        self.close_connection = True

    def without_ranges(self, start: int) -> None:
        self._head(200, len(CONTENT))
        self.wfile.write(CONTENT)

    def stalled(self, start: int) -> None:
        self._head(200, len(CONTENT))
        self.wfile.write(CONTENT[:HALF])
        self.wfile.flush()
        self.server.stop.wait(20)

    def silent(self, start: int) -> None:
        self.server.stop.wait(20)

    def corrupted(self, start: int) -> None:
        self._head(200, len(CONTENT))
        self.wfile.write(CONTENT[:-1] + b"x")

    def redirected(self, start: int) -> None:
        self._head(302, 0, Location="/good")

    def circular(self, start: int) -> None:
        self._head(302, 0, Location="/circular")

    def elsewhere(self, start: int) -> None:
        self._head(302, 0, Location="file:///etc/passwd")

    def absent(self, start: int) -> None:
        self._head(404, 0)

    def no_range_at_all(self, start: int) -> None:
        """The answer to a range, whatever was asked."""
        self._head(416, 0)

    def broken(self, start: int) -> None:
        self._head(503, 0)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield running
    running.stop.set()
    running.shutdown()
    running.server_close()
    thread.join()


def refusal(url: str, target: Path) -> str:
    with pytest.raises(BenchError) as caught:
        download(url, SHA256, target, timeout_s=0.3)
    assert not target.exists()
    line = str(caught.value)
    assert line.startswith(f"{url}: expected ")
    assert "\n" not in line
    return line


@pytest.mark.parametrize("behaviour", ["good", "redirected", "without-ranges"])
def test_the_file_comes_and_nothing_else(behaviour: str, server: Server, tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    target = tmp_path / "new" / "file.pkl"
    download(f"{server.url}/{behaviour}", SHA256, target, tick=lambda *numbers: progress.append(numbers))
    assert target.read_bytes() == CONTENT
    assert [p.name for p in target.parent.iterdir()] == ["file.pkl"]
    assert progress[-1] == (len(CONTENT), len(CONTENT))


def test_a_download_goes_on_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file.pkl"
    line = refusal(f"{server.url}/truncated", target)
    assert f"got a part of it; {HALF} bytes are kept, run the command again to resume" in line
    download(f"{server.url}/truncated", SHA256, target)
    assert target.read_bytes() == CONTENT
    assert server.requests == [("/truncated", ""), ("/truncated", f"bytes={HALF}-")]


def test_a_download_begins_again_when_the_server_knows_no_ranges(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file.pkl"
    refusal(f"{server.url}/truncated", target)
    download(f"{server.url}/without-ranges", SHA256, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("kept", [CONTENT, CONTENT + b"more", b"x" * HALF])
def test_what_was_kept_is_finished_or_thrown_away(kept: bytes, server: Server, tmp_path: Path) -> None:
    """The whole file, more than it, or half of another one."""
    target = tmp_path / "file.pkl"
    (tmp_path / "file.pkl.part").write_bytes(kept)
    download(f"{server.url}/good", SHA256, target)
    assert target.read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["file.pkl"]


def test_a_server_that_refuses_every_range_is_asked_twice(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.pkl.part").write_bytes(CONTENT[:HALF])
    assert "status 416" in refusal(f"{server.url}/no-range-at-all", tmp_path / "file.pkl")
    assert server.requests == [("/no-range-at-all", f"bytes={HALF}-"), ("/no-range-at-all", "")]


BAD = {
    "stalled": "nothing for too long",
    "silent": "nothing for too long",
    "corrupted": "got another, which was deleted",
    "circular": "too many redirects",
    "elsewhere": "a redirect to something that is no web address",
    "absent": "status 404",
    "broken": "status 503",
    "no-range-at-all": "status 416",
}


@pytest.mark.parametrize("behaviour", BAD)
def test_a_bad_answer_ends_in_one_line(behaviour: str, server: Server, tmp_path: Path) -> None:
    start = time.monotonic()
    assert BAD[behaviour] in refusal(f"{server.url}/{behaviour}", tmp_path / "file.pkl")
    assert time.monotonic() - start < 10  # not the server's twenty seconds
    kept = [p.name for p in tmp_path.iterdir()]
    assert kept == (["file.pkl.part"] if behaviour == "stalled" else [])


def test_no_server_ends_in_one_line(tmp_path: Path) -> None:
    server = Server()
    url = server.url
    server.server_close()
    assert "no connection, or one that was interrupted; try again later" in refusal(f"{url}/good", tmp_path / "x")


# The command.


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> KnownFile:
    """A file that the field would share."""
    file = KnownFile("tiny", "a small file", "TINY/tiny.pkl", SHA256, "https://example.org")
    monkeypatch.setattr("qamoe_bench.curation.fetch.KNOWN", (file,))
    return file


@pytest.mark.usefixtures("known")
def test_fetch_gets_the_file_once(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("data", "fetch", "tiny", "--from", f"{server.url}/good", "--to", tmp_path)
    for _ in range(2):
        done = bench(command, capsys, monkeypatch)
        assert (done.code, done.out) == (0, f"{tmp_path / 'tiny.pkl'}\n"), done.err
        assert "is tiny, as its SHA-256 says" in done.err
    assert len(server.requests) == 1
    assert bench(("data", "fetch", "tiny", "--to", tmp_path), capsys, monkeypatch).code == 0


@pytest.mark.usefixtures("known")
def test_fetch_says_how_to_get_a_file_and_checks_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = bench(("data", "fetch", "tiny"), capsys, monkeypatch)
    assert (done.code, done.out) == (0, "")  # an explanation is no error, and no path either
    assert "tiny is not here; its terms" in done.err
    assert "get TINY/tiny.pkl as https://example.org explains" in done.err
    assert SHA256 in done.err
    assert "got an empty text" in bench(("run", "--protocol", "clean", "--data", ""), capsys, monkeypatch).refusal()
    (tmp_path / "mine.pkl").write_bytes(CONTENT)
    assert bench(("data", "fetch", "tiny", "--from", "mine.pkl"), capsys, monkeypatch).code == 0
    (tmp_path / "mine.pkl").write_bytes(CONTENT[:-1])
    assert (
        "it is another file or incomplete"
        in bench(("data", "fetch", "tiny", "--from", "mine.pkl"), capsys, monkeypatch).refusal()
    )
    assert (
        "expected a readable file"
        in bench(("data", "fetch", "tiny", "--from", "absent"), capsys, monkeypatch).refusal()
    )
    assert "did you mean 'tiny'?" in bench(("data", "fetch", "tiney"), capsys, monkeypatch).refusal()


@pytest.mark.usefixtures("known")
def test_fetch_leaves_a_file_of_the_same_name_alone(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.pkl").write_bytes(b"mine")
    command = ("data", "fetch", "tiny", "--from", f"{server.url}/good", "--to", tmp_path)
    assert "another file" in bench(command, capsys, monkeypatch).refusal()
    assert (tmp_path / "tiny.pkl").read_bytes() == b"mine"


def test_a_known_name_without_its_file_is_refused_with_a_hint_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = bench(("data", "inspect", "mosi-aligned"), capsys, monkeypatch).refusal()
    assert line.endswith("no such file; 'qamoe-bench data fetch mosi-aligned' explains how to get it")


def test_known_files_have_hashes_of_their_own() -> None:
    assert len({k.sha256 for k in KNOWN}) == len({k.name for k in KNOWN}) == len(KNOWN)
    assert all(len(k.sha256) == 64 and int(k.sha256, 16) for k in KNOWN)
