"""Names from files of others: they never become paths, never steer a terminal, and files beside the data never run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commandline import Done, bench
from fakestore import noisy, write_store

from qamoe_bench.report.escaping import escaped, escaped_for_csv
from qamoe_bench.store.cell import run_name

Bench = Callable[..., Done]
NAMES = (
    "a\x1b[31mred", "line\nbreak ::error::x", "bell\x07", "back\u202ewards", "c1\x9b31m", "separator\u2028", "del\x7f",
    "[bold]x[/x]", "[/x]", "<script>", "a|b",
)  # fmt: skip


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    return lambda *words: bench(words, capsys, monkeypatch)


@pytest.mark.parametrize("name", NAMES)
def test_steering_characters_are_escapes_in_every_output(name: str, tmp_path: Path, command: Bench) -> None:
    write_store(
        tmp_path / "ref", {"late-fusion": noisy(0.5), name: noisy(0.1)}, samples=20, dataset=name, protocol=name
    )
    write_store(
        tmp_path / "now", {"late-fusion": noisy(0.5), name: noisy(3.0)}, samples=20, dataset=name, protocol=name
    )
    outputs = []
    for format in ("terminal", "markdown", "latex", "csv"):
        outputs.append(command("report", "--results", tmp_path / "now", "--format", format).out)
        command("report", "--results", tmp_path / "now", "--format", format, "--output", tmp_path / "file")
        outputs.append((tmp_path / "file").read_text("utf-8"))
    outputs.append(command("ls", "runs", "--results", tmp_path / "now").out)
    words = ("check", "--reference", tmp_path / "ref", "--results", tmp_path / "now", "--metric", "mae")
    done = command(*words, "--junit", tmp_path / "junit.xml")
    assert done.code == 1
    outputs.append(done.out)
    for text in outputs:
        lines = text.split("\n")
        assert all(escaped(line) == line for line in lines), [line for line in lines if escaped(line) != line]
        assert not [line for line in lines if line.lstrip().startswith("::")]
    ElementTree.parse(tmp_path / "junit.xml")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", '=cmd|"/c calc"!A1'])
def test_a_spreadsheet_takes_no_name_for_a_formula(text: str, tmp_path: Path, command: Bench) -> None:
    assert escaped_for_csv(text) == f"'{text}"
    write_store(tmp_path / "r", {text: noisy(0.5)}, samples=20, dataset=text)
    rows = command("report", "--results", tmp_path / "r", "--format", "csv").out.splitlines()
    assert rows[1].lstrip('"').startswith("'")


@pytest.mark.parametrize("name", ["../../../x", "/abs/path/x", "..", ".hidden", "a\0b", "C:\\x", "a/../b", "", "-rf"])
def test_the_name_of_a_data_set_makes_no_path(name: str) -> None:
    folder = run_name(name, ["k"])
    assert Path(folder).name == folder
    assert not folder.startswith((".", "-"))
    assert folder.isprintable()
    assert not {"/", "\\", ":"} & {*folder}


def test_usual_names_stay_as_they_are() -> None:
    assert run_name("mosi-all-MiniLM-L6-v2.x", ["k"]).startswith("mosi-all-MiniLM-L6-v2.x-")


WITH_WORKERS = ("run", "--protocol", "clean", "--model", "mean", "--seeds", "1,2", "--jobs", "2")


@pytest.mark.parametrize("words", [WITH_WORKERS, ("report",), ("data", "inspect", "nothing.pkl")])
def test_files_beside_the_data_cannot_replace_libraries(words: tuple[str, ...], tmp_path: Path) -> None:
    for module in ("torch", "statistics", "numpy", "rich", "shutil", "json"):
        script = f"import pathlib\npathlib.Path('{module} ran').touch()\nraise SystemExit(3)\n"
        (tmp_path / f"{module}.py").write_text(script)
    root = Path(__file__).parents[2]
    # As installed: the package is found outside of the current folder.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "baselines")])}
    done = subprocess.run(
        [sys.executable, "-m", "qamoe_bench", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("* ran"))


def test_output_goes_through_links_and_refuses_devices(tmp_path: Path, command: Bench) -> None:
    write_store(tmp_path / "r", {"late-fusion": noisy(0.5)}, samples=20)
    words = ("report", "--results", tmp_path / "r", "--format", "json", "--output")
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    assert command(*words, tmp_path / "link").code == 0
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "file").read_text("utf-8"))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    for path in ("/dev/null", tmp_path / "pipe", tmp_path, tmp_path / "circle"):
        assert "cannot write" in command(*words, path).refusal()
    assert (tmp_path / "pipe").is_fifo()
