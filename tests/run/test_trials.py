"""Importing and building a model of the user before any work: mistakes are one line, and no process ends."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from smallstudy import SHORT, small_plan

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.registry import find_model
from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.grid import Grid
from qamoe_bench.run.guard import data_unchanged
from qamoe_bench.run.planner import plan
from qamoe_bench.run.request import Request
from qamoe_bench.run.runner import run_plans
from qamoe_bench.run.study import load_study
from qamoe_bench.store.store import Store

MEAN = f"mean:{SHORT}"
MODEL = """
import torch
from torch import nn
from qamoe_bench.contract import Output

class Model(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.c = nn.Parameter(torch.zeros(()))

    def forward(self, batch):
        return Output(self.c.expand(batch.size))
"""


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    # The folder of a model's file is put on the path, which other tests must not see.
    monkeypatch.setattr(sys, "path", list(sys.path))


MISTAKES = {
    "syntax": (b"x = (\n", r"model file syntax.py, line 1: .*SyntaxError: '\(' was never closed"),
    "nulls": (b"x = 1\0\n", "model file nulls.py: expected Python source.*null bytes"),
    "latin": (b"# \xe9\n", "latin.py: expected a text in UTF-8"),
    "missing": (b"\nimport nosuchmodule\n", r"No module named 'nosuchmodule' \(missing.py, line 2\); install it"),
    "atimport": (b"x = 1\nx['a']\n", r"got TypeError: .*subscriptable \(atimport.py, line 2\); correct it"),
    "atbuild": (b"def Model(spec):\n    return 1 / 0\n", r"ZeroDivisionError: .* \(atbuild.py, line 2\); correct it"),
    "nothing": (b"x = 1\n", "expected a function or class 'Model' in nothing, got None"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_models_file_is_one_line_with_its_place(name: str, data_file: Path, tmp_path: Path) -> None:
    content, words = MISTAKES[name]
    (tmp_path / f"{name}.py").write_bytes(content)
    with pytest.raises(BenchError, match=words) as raised:
        small_plan(data_file, f"{tmp_path / name}.py:Model:{SHORT}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("exits", "import sys\nsys.exit(0)\n", r"its import tried to end the process with sys.exit\(0\)"),
        ("leaves", "import os\nos._exit(0)\n", "its import tried to end the process with os._exit"),
        ("waits", "import time\ntime.sleep(100)\n", "its import took more than 1 s"),
        ("atbuilding", "import sys\ndef Model(spec):\n    sys.exit(3)\n", r"building it tried to .*sys.exit\(3\)"),
    ],
)
def test_a_model_that_ends_or_hangs_the_process_is_left_out_and_the_run_fails(
    name: str, code: str, words: str, data_file: Path, tmp_path: Path
) -> None:
    (tmp_path / f"{name}.py").write_text(code, "utf-8")
    models = (f"{tmp_path / name}.py:Model", MEAN)
    request = Request(("clean",), models, data=str(data_file), seeds=(1,), device="cpu")
    seconds = 1.0 if name == "waits" else 60.0  # a busy machine takes more than a second to import anything
    made = plan(request, cell_timeout=seconds)
    made = replace(made, jobs=tuple(replace(job, cell_timeout=0.0) for job in made.jobs))
    assert {cell.model for cell in made.cells} == {MEAN}
    store = Store(tmp_path / "r")
    with pytest.raises(RunFailed, match=rf"^model '{name}.py:Model': {words}.*the others are stored"):
        run_plans([made], store, Execution("local"))
    assert len(store.cells()) == 1
    alone = plan(Request(("clean",), models[:1], data=str(data_file), seeds=(1,), device="cpu"), cell_timeout=seconds)
    with pytest.raises(RunFailed, match="nothing else was requested"):
        run_plans([alone], store, Execution("local"))


def test_what_an_import_changes_is_restored_and_said(
    data_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change = "torch.set_default_dtype(torch.float64)\nprint('<<printed>>')\n"
    (tmp_path / "changes.py").write_text(f"{MODEL}\n{change}", "utf-8")
    made = small_plan(data_file, f"{tmp_path / 'changes.py'}:Model:{SHORT}")
    assert torch.get_default_dtype() == torch.float32
    (about,) = made.manifest["models"].values()
    assert about["changed"] == ["torch's default dtype"]
    assert capsys.readouterr().out == ""


def test_a_study_out_of_all_proportion_is_refused_with_its_number(data_file: Path) -> None:
    request = Request(("clean", "mixed"), (MEAN,), data=str(data_file), seeds=tuple(range(5_000_000)))
    with pytest.raises(BenchError, match="expected at most 500000 cells, got 10000000; divide them"):
        plan(request)


TOO_LARGE = {
    "a product": (
        "seeds = [" + "1," * 2000 + "]\nmodels = ['mean', 'tfn']\nconfigs = [" + "''," * 2500 + "]",
        "expected at most 500000 cells, got 10000000; divide them",
    ),
    "grids together": (
        "seeds = [" + "1," * 2000 + "]\nmodels = ['mean']\n" + ("[[grid]]\ndata = [" + "'a'," * 130 + "]\n") * 2,
        "expected at most 500000 cells, got 520000",
    ),
    "grids": ("[[grid]]\nseeds = [1]\n" * 1001, "'grid': expected at most 1000 grids, got 1001; name several"),
    "bytes": ("# " + "x" * 2**24, "expected at most 16777216 bytes, got more; split the file"),
}


@pytest.mark.parametrize("case", TOO_LARGE)
def test_a_study_of_too_many_cells_is_refused_before_anything_is_made_for_each(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, words = TOO_LARGE[case]
    path = tmp_path / "s.toml"
    path.write_text(f"schema = 1\nprotocols = ['clean']\n{text}", "utf-8")
    monkeypatch.setattr("qamoe_bench.run.grid.Grid._configured", lambda *_: pytest.fail("made"))
    with pytest.raises(BenchError, match=f"^study .*{words}"):
        load_study(path, Grid())


def test_whether_a_model_is_built_in_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # Studies ask for each of their cells.
    model = find_model("mean")
    assert model.is_built_in
    monkeypatch.setattr("importlib.metadata.Distribution.metadata", property(lambda _: pytest.fail("read again")))
    assert model.is_built_in


@pytest.fixture(scope="module")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import pickle

    from tinydata import mmsa_content

    path = tmp_path_factory.mktemp("data") / "tiny.pkl"
    path.write_bytes(pickle.dumps(mmsa_content()))
    return path


def test_a_change_of_the_data_that_copies_did_not_prevent_is_named(tiny: Dataset) -> None:
    words = "changed the lengths of text of 'train' of the data set in place.*work on x.clone()"
    with pytest.raises(RunFailed, match=words), data_unchanged(tiny):
        tiny.splits["train"].lengths["text"][:3].clamp_(max=2)
    with data_unchanged(tiny):
        tiny.splits["train"].features["text"].mean()
