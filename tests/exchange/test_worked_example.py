"""The example of docs/outside-models.md, as it is printed there, on a small file and with short training."""

import pickle
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from process import bench
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from smallstudy import SHORT
from tinydata import mmsa_content
from torch import nn

import qamoe_bench
from qamoe_bench.contract import Batch, Output
from qamoe_bench.store.store import Store

PAGE = (Path(__file__).parents[2] / "docs" / "outside-models.md").read_text(encoding="utf-8")
# Training takes most of the time of the test, so it is short.
SEEDS = (1111, 1112)
QA_MOE = f"qa-moe:{SHORT}"
(COMMANDS,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
SCRIPT, FROM_PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all commands of the page ran, with the output of the last one in a file."""
    folder = tmp_path_factory.mktemp("example")
    (folder / "mosi.pkl").write_bytes(pickle.dumps(mmsa_content()))
    (folder / "ridge.py").write_text(SCRIPT, encoding="utf-8")
    for line in COMMANDS.splitlines():
        program, *arguments = shlex.split(line)
        arguments = [QA_MOE if argument == "qa-moe" else argument for argument in arguments]
        if "random-missing" in arguments:
            arguments += ["--seeds", ",".join(map(str, SEEDS))]
        if arguments[0] == "run":
            arguments += ["--jobs", "1"]  # each further process would import PyTorch again
        if program == "python":
            done = subprocess.run(
                [sys.executable, "-I", *arguments], cwd=folder, capture_output=True, text=True, check=False
            )
        else:
            assert program == "qamoe-bench"
            done = bench(*arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
        (folder / "last.txt").write_text(done.stdout, encoding="utf-8")
    return folder


def test_all_models_are_in_one_table(place: Path) -> None:
    text = " ".join((place / "last.txt").read_text(encoding="utf-8").split())
    assert text.count("random-missing on mosi") == 1
    text = " ".join(bench("report", "--all", cwd=place).stdout.split())
    assert "ridge (imported): made by scikit-learn, commit 4c2f1e0; Δ is the difference from late-fusion" in text
    (analysis,) = qamoe_bench.analyse(place / "results", metrics=["mae"])
    section = analysis.section
    assert [row.name for row in section.rows] == ["late-fusion", QA_MOE, "ridge (imported)"]
    assert [section.control_of(row) for row in range(3)] == [None, 0, 0]
    assert np.isfinite(analysis.differences["mae"][2].low)  # of the ridge regression


class RidgeModule(nn.Module):
    """The same regression as a model of this package."""

    def __init__(self, regression: Any) -> None:
        super().__init__()
        self.regression = regression

    def forward(self, batch: Batch) -> Output:
        """Predictions (B,)."""
        return Output(torch.from_numpy(self.regression.predict(inputs(batch)).astype(np.float32)))


def inputs(batch: Batch) -> Any:
    means = [x.sum(1) / batch.lengths[m].clamp(min=1)[:, None] for m, x in batch.features.items()]
    return torch.cat(means, dim=1).numpy()


def test_a_model_inside_gives_the_same_predictions(place: Path) -> None:
    data = qamoe_bench.load_data(place / "mosi.pkl")
    train = data.splits["train"]
    regression = make_pipeline(StandardScaler(), Ridge(alpha=100.0)).fit(inputs(train.batch()), train.target.numpy())
    inside = qamoe_bench.evaluate(RidgeModule(regression), data, "random-missing", seeds=SEEDS)
    imported = [stored for stored in Store(place / "results").cells() if stored.cell.model == "ridge"]
    assert len(imported) == len(SEEDS)
    for ours, theirs in zip(inside.cells, imported, strict=True):
        assert ours.cell.seed == theirs.cell.seed
        np.testing.assert_allclose(theirs.column("prediction"), ours.column("prediction"), rtol=0, atol=1e-6)


def test_imported_rows_are_on_the_page_in_figures_and_in_a_check(place: Path) -> None:
    for arguments in (
        ("report", "--format", "html", "--output", "page.html"),
        ("report", "--format", "json", "--output", "r.json"),
        ("figures", "--output", "figures"),
        ("check", "--reference", "results"),
        ("ls", "runs"),
    ):
        done = bench(*arguments, cwd=place)
        assert done.returncode == 0, done.stderr
    page = (place / "page.html").read_text(encoding="utf-8")
    assert "ridge (imported)" in page
    assert "ridge · scikit-learn · commit 4c2f1e0" in page
    assert '"ridge"' in (place / "r.json").read_text(encoding="utf-8")
    assert list((place / "figures").rglob("*.svg")) or list((place / "figures").rglob("*.png"))
    assert bench("report", "--model", "ridge", "--overview", cwd=place).returncode == 0


def test_a_worse_import_fails_a_check(place: Path, tmp_path: Path) -> None:
    rows = (place / "ridge.csv").read_text(encoding="utf-8").splitlines()
    worse = [f"{row.rpartition(',')[0]},{float(row.rpartition(',')[2]) + 3}" for row in rows[1:]]
    (tmp_path / "worse.csv").write_text("\n".join([rows[0], *worse]), encoding="utf-8")
    for name, file in (("before", place / "ridge.csv"), ("after", tmp_path / "worse.csv")):
        options = ("--manifest", str(place / "corrupted"), "--model", "ridge", "--results", name)
        assert bench("import", str(file), *options, cwd=tmp_path).returncode == 0
    done = bench("check", "--reference", "before", "--results", "after", cwd=tmp_path)
    assert done.returncode == 1
    assert "ridge" in done.stdout


def test_the_lines_of_python_do_the_same(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mosi.pkl", "ridge.csv"):
        (tmp_path / name).write_bytes((place / name).read_bytes())
    exec(FROM_PYTHON.replace("(1111, 1112, 1113)", str(SEEDS)), {})
    ours = {c.path.name: c.predictions for c in Store(tmp_path / "results").cells()}
    theirs = {c.path.name: c.predictions for c in Store(place / "results").cells() if c.cell.model == "ridge"}
    assert len(ours) == len(SEEDS)
    assert all(ours[name].equals(theirs[name]) for name in theirs)
