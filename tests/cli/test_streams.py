"""Standard output that is closed or full, too few file descriptors, and Ctrl-C end a command without a traceback."""

import signal
import subprocess
import sys
import time

import pytest


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("{} ls protocols >&-", "standard output: expected an open file, got a closed one"),
        ("{} ls protocols --json > /dev/full", "standard output: cannot be written (No space left on device)"),
        ("{} --help > /dev/full", "standard output: cannot be written (No space left on device)"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line(shell: str, words: str) -> None:
    command = shell.format(f"{sys.executable} -m qamoe_bench")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {words}")
    assert done.stderr.count("\n") == 1


def test_too_few_file_descriptors_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from qamoe_bench.cli import main

    def fail() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(main, "app", fail)
    monkeypatch.setattr("os.dup2", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert "raise it, as in ulimit -n 1024" in capsys.readouterr().err


SLOW = """
import time
from qamoe_bench.cli import main
def app():
    try:
        print("working", flush=True)
        time.sleep(60)
    finally:
        print("cleaning", flush=True)
        time.sleep(60)
main.app = app
main.main()
"""


def test_the_second_interrupt_ends_a_command_at_once() -> None:
    pipe = subprocess.PIPE
    start = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", SLOW], stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        for word in ("working", "cleaning"):
            assert process.stdout.readline().strip() == word
            process.send_signal(signal.SIGINT)
        _, messages = process.communicate()
    assert (process.returncode, messages) == (130, "")
    assert time.monotonic() - start < 50
