"""Any terminal and any locale: what cannot be shown is replaced, nothing is shortened, and the exit status stays."""

import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commandline import Done, bench
from fakestore import noisy, write_store
from tinydata import mmsa_content

from qamoe_bench.cli import characters
from qamoe_bench.cli.characters import ERRORS, look_alike
from qamoe_bench.documents import parse_toml, read_toml
from qamoe_bench.errors import BenchError
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.registry.declarations import declarations_of

NUMBER = re.compile(r"\d*\.\d+")
LONG = "ours:-a-rather-long-ablation,width=32,experts=16"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose names and levels need more than ASCII."""
    folder = tmp_path_factory.mktemp("数据 集 (1)")
    models = {"late-fusion": noisy(1.0), LONG: noisy(0.4), "模型": noisy(0.9), "oracle": noisy(0.1)}
    write_store(folder, models, levels=(0.0, 0.3), run="made-up-0123456789ab")
    return folder


def printed(
    arguments: tuple[object, ...], encoding: str, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch
) -> tuple[Done, str]:
    """The outcome of a command whose streams have an encoding, and what it wrote to standard output."""
    with patch.context() as streams:
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        err = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        streams.setattr(sys, "stdout", out)
        streams.setattr(sys, "stderr", err)
        done = bench(arguments, capsys, streams)
        out.flush()
        err.flush()
        return done, out.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk", "latin-1", "utf-8"])
@pytest.mark.parametrize("form", ["terminal", "markdown", "latex", "csv"])
def test_a_report_is_the_same_but_for_what_the_encoding_lacks(
    encoding: str, form: str, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("report", "--results", root, "--format", form, "--metric", "mae")
    done, text = printed(call, encoding, capsys, monkeypatch)
    whole, complete = printed(call, "utf-8", capsys, monkeypatch)
    assert done.code == whole.code == 0
    assert NUMBER.findall(text) == NUMBER.findall(complete)
    if form == "terminal":  # columns stay aligned
        assert max(map(len, text.splitlines())) <= 80
    if encoding == "ascii" and form == "terminal":
        assert "eta=0" in text
        assert "模型" not in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_json_keeps_every_character(
    encoding: str, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as streams:
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        streams.setattr(sys, "stdout", out)
        bench(("report", "--results", root, "--format", "json", "--metric", "mae"), capsys, streams)
        out.flush()
        records = json.loads(out.buffer.getvalue())
    assert "模型" in {record["model"] for record in records}
    _, text = printed(("ls", "metrics", "--json"), encoding, capsys, monkeypatch)
    assert {"mae", "corr"} <= {entry["name"] for entry in json.loads(text)}


def test_an_error_that_names_what_the_terminal_cannot_show_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("数据 集.toml", "caf\udce9.toml", "\U0001f600", "Δ\u2028x"):
        done, _ = printed(("protocol", "show", name), "ascii", capsys, monkeypatch)
        assert done.code == 2


@pytest.mark.parametrize(
    ("character", "expected"),
    [("≈", "~"), ("Δ", "Delta"), ("±", "+-"), ("λ", "lambda"), ("η", "eta"), ("σ", "sigma"), ("²", "2"), ("é", "e"),
     ("…", "..."), ("–", "-"), ("─", "-"), ("▁", "_"), ("棒", "?"), ("\udce9", "?"), ("\u2028", "?"), ("ﬁ", "fi")],
)  # fmt: skip
def test_look_alikes(character: str, expected: str) -> None:
    assert look_alike(character) == expected
    assert f"a{character}b".encode("ascii", ERRORS) == f"a{expected}b".encode()


def test_heights_of_curves_stay_distinct() -> None:
    assert len({look_alike(block) for block in "▁▂▃▄▅▆▇█"}) == 8


def test_other_errors_of_encodings_are_left_alone() -> None:
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", ERRORS)
    assert characters.ERRORS == ERRORS


LOCALES = ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "ascii:strict"})


@pytest.mark.parametrize("locale", LOCALES, ids=["C", "ascii"])
def test_commands_work_in_other_locales_with_paths_in_any_script(locale: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "数据 集"
    folder.mkdir()
    content = mmsa_content()
    for part in content.values():
        part["raw_text"] = ["棒极了 \U0001f600", b"caf\xe9", "caf\udce9", *["fine"] * (len(part["id"]) - 3)]
        part["id"] = ["a/b\\c:d\u2028e", *part["id"][1:]]
    (folder / "mosi (1).pkl").write_bytes(pickle.dumps(content))
    study = '\ufeffschema = 1\r\ndata = ["数据 集/mosi (1).pkl"]\r\nprotocols = ["clean"]\r\nmodels = ["mean"]\r\n'
    (tmp_path / "study.toml").write_bytes(study.encode())
    for arguments in (("data", "inspect", "数据 集/mosi (1).pkl"), ("run", "study.toml", "--dry-run")):
        done = subprocess.run(
            [sys.executable, "-m", "qamoe_bench", *arguments], capture_output=True, cwd=tmp_path, check=False,
            env={**os.environ, **locale, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode("ascii")
        assert b"Traceback" not in done.stderr


HEAD = 'schema = 1\ntitle = "t"\nsource = "Δ"\ndefinition = "d"\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_protocol_of_any_editor_is_read(encoding: str, ends: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(HEAD.replace("\n", ends).encode(encoding))
    assert load_protocol(path).source == "Δ"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("# 数据\n".encode("gbk"), r"expected UTF-8, got byte 0xca in line 1, which is another encoding; save"),
        ("a = 1\n# café\n".encode("latin-1"), r"expected UTF-8, got byte 0xe9 in line 2"),
        ("a = 1".encode("utf-16"), "expected UTF-8, got UTF-16; save the file as UTF-8"),
        (b"a = \n", "not valid TOML .*line 1.*correct that line"),
    ],
)
def test_a_file_in_another_encoding_is_one_line_that_names_it(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    with pytest.raises(BenchError, match=f"^study x: .*{words}") as caught:
        read_toml(path, "study x")
    assert "\n" not in str(caught.value)
    # The advice is true.
    assert parse_toml("\ufeff# 数据\r\na = 1\r\n".encode(), "study x") == {"a": 1}


def test_a_model_file_with_a_byte_order_mark_declares_the_same(tmp_path: Path) -> None:
    path = tmp_path / "marked.py"
    path.write_bytes('\ufeff"""A model."""\nCARD = {}\n'.encode())
    assert declarations_of(path).docstring == "A model."


def on_a_terminal(columns: str, arguments: tuple[object, ...], cells: int = 0) -> str:
    """What the command prints on a pseudo-terminal that says it has so many `cells`, with COLUMNS set."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, cells, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")} | {"TERM": "xterm"}
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | ({"COLUMNS": columns} if columns else {})
    command = [sys.executable, "-m", "qamoe_bench", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    content = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux reports the end of a pseudo-terminal as an error
            break
        if not part:
            break
        content += part
    assert process.wait() == 0, content.decode()
    os.close(ours)
    return content.decode()


@pytest.mark.parametrize("columns", ["60", "39", "20", "0", ""])
def test_nothing_is_shortened_on_a_narrow_terminal(columns: str, root: Path) -> None:
    def plain(text: str) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")

    def numbers(text: str) -> list[str]:
        return NUMBER.findall(text)

    report = ("report", "--results", root, "--metric", "mae")
    text = plain(on_a_terminal(columns, report))
    lines = text.splitlines()
    assert not [line for line in lines if line.rstrip().endswith("…")]
    assert "Traceback" not in text
    assert set(numbers(plain(on_a_terminal("200", report)))) <= set(numbers(text))
    for part in ("ours:", "-a-rather-long-", "ablation,", "width=32,", "experts=16"):
        assert part in text
    runs = plain(on_a_terminal(columns, ("ls", "runs", "--results", root)))
    assert any("made-up-0123456789ab" in line for line in runs.splitlines())
    assert "3/3" not in runs or "…" not in runs


@pytest.mark.parametrize("columns", [79, 39, 20])
def test_help_on_a_narrow_terminal_names_every_option(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    from qamoe_bench.cli import main

    monkeypatch.setattr(main.app, "rich_markup_mode", "rich")
    done: Any = bench(("check", "--help"), capsys, monkeypatch)
    assert done.code == 0
    assert "…" not in done.out
    for option in ("--reference", "--tolerance", "--protocol", "--junit"):
        assert option in done.out
