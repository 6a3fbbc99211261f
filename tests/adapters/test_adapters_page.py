"""The commands and scripts of `docs/adapters.md` run as they are written."""

import re
import shlex
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Done, bench

import qamoe_bench
from qamoe_bench.store.store import Store

PAGE = Path(qamoe_bench.__file__).parents[1] / "docs" / "adapters.md"
TEXT = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^qamoe-bench (.*)$", TEXT, re.MULTILINE)
LINE = re.search(r"^ {4}(note: .*)$", TEXT, re.MULTILINE)

pytestmark = pytest.mark.skipif(not TEXT, reason="the page lies in the source tree only")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_pickle: Callable[..., Path]) -> Path:
    """A folder with a small `mosi.pkl` and the page's `net.py`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "net", raising=False)
    write_pickle(name="mosi")
    (tmp_path / "net.py").write_text(PYTHON[0], encoding="utf-8")
    return tmp_path


def run(command: str, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> Done:
    done = bench((*shlex.split(command), "--executor", "local"), capsys, patch)
    assert done.code == 0, done.err
    return done


def test_a_plain_module_runs_and_prints_the_line_of_the_page(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LINE is not None
    assert LINE[1] in run(COMMANDS[0], capsys, monkeypatch).err.splitlines()
    assert {stored.cell.model for stored in Store("results").cells()} == {"net.py:Net", "late-fusion"}


@pytest.mark.skipif(find_spec("MMSA") is None, reason="needs the extra [mmsa]")
def test_a_model_of_the_package_runs(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "mmsa:lmf" in run(COMMANDS[1], capsys, monkeypatch).out


@pytest.mark.skipif(find_spec("MMSA") is None, reason="needs the extra [mmsa]")
def test_the_same_weights_predict_the_same_outside(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("--protocol", "random-missing", "--data", "mosi.pkl", "--seeds", "1111")
    model = "mmsa:lmf:train.epochs=2,train.selection_window=1"
    for command in (
        ("run", *place, "--model", model, "--executor", "local"),
        ("export", *place, "--as", "npz", "--output", "corrupted"),
    ):
        assert bench(command, capsys, monkeypatch).code == 0
    (checkpoint,) = folder.glob("results/runs/*/checkpoints/*.safetensors")
    monkeypatch.setattr(sys, "argv", ["lmf.py", str(checkpoint)])
    monkeypatch.delitem(sys.modules, "load", raising=False)
    exec(PYTHON[2], {})
    done = bench(("import", "lmf.csv", "--manifest", "corrupted", "--model", "outside"), capsys, monkeypatch)
    assert done.code == 0, done.err
    inside, outside = (
        next(c for c in Store("results").cells() if c.cell.model == name).column("prediction")
        for name in (model, "outside")
    )
    np.testing.assert_allclose(inside, outside, atol=1e-6)


def test_the_declaration_is_accepted() -> None:
    from qamoe_bench.adapters.declaration import declaration_of

    declaring = type("Declaring", (), {})
    scope: dict[str, Any] = {}
    exec(PYTHON[1], {}, scope)  # a script of this repository
    declaring.ADAPTER = scope["ADAPTER"]  # type: ignore[attr-defined]
    assert declaration_of(declaring, []).prediction == "M"


def test_a_function_is_evaluated_saved_and_reported(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    exec(PYTHON[3], {})
    assert "ridge" in bench(("report",), capsys, monkeypatch).out
