"""Study files: the requests they contain, how these are merged, and the mistakes that are refused."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qamoe_bench.cli.main import app
from qamoe_bench.errors import BenchError
from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.grid import Grid
from qamoe_bench.run.planner import plan_all
from qamoe_bench.run.request import Request
from qamoe_bench.run.runner import run_plans
from qamoe_bench.run.study import load_study
from qamoe_bench.store.store import Store

SHORT = "train.epochs=1,train.selection_window=1,train.validation_samples=12"
STUDY = f"""
schema = 1
data = ["DATA", "DATA2"]
protocols = ["clean", "random-missing"]
seeds = [1, 2]
device = "cpu"

[[grid]]
models = ["late-fusion", "text-only:width=8"]
configs = ["{SHORT}"]

[[grid]]
models = ["late-fusion"]
configs = ["{SHORT}", "width=8,{SHORT}"]
regimes = ["spectrum", "matched"]
seeds = [2, 3]
"""


@pytest.fixture
def study(data: Path, tmp_path: Path) -> Path:
    (tmp_path / "other.pkl").write_bytes(data.read_bytes())
    text = STUDY.replace("DATA2", str(tmp_path / "other.pkl")).replace("DATA", str(data))
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    return tmp_path / "study.toml"


def test_grids_are_products_with_shared_defaults_and_cells_of_two_grids_are_planned_once(study: Path) -> None:
    requests = load_study(study, Grid())
    assert [len(located.request.models) for located in requests] == [2, 2, 2, 2]
    assert requests[0].request.models == (f"late-fusion:{SHORT}", f"text-only:width=8,{SHORT}")
    first, _ = plan_all(requests)
    rows = {(c.model.partition(":")[0], c.model.count("width=8"), c.regime, c.seed) for c in first.cells}
    assert rows == {
        *(("late-fusion", 0, "spectrum", seed) for seed in (1, 2, 3)),
        *(("text-only", 1, "spectrum", seed) for seed in (1, 2)),
        *(("late-fusion", 1, "spectrum", seed) for seed in (2, 3)),
        *(("late-fusion", width, "matched", seed) for width in (0, 1) for seed in (2, 3)),
    }
    assert len(first.cells) == len({c.key for c in first.cells}) == 2 * len(rows)
    assert [job.seed for job in first.jobs] == sorted(job.seed for job in first.jobs)


def test_jobs_that_have_a_training_in_common_become_one(data: Path, tmp_path: Path) -> None:
    head = 'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n[[corruption]]\nkind = "modality-missing"\n'
    for name, levels in {"a": [0.0, 0.1], "b": [0.2, 0.3], "c": [0.3, 0.4], "d": [0.1, 0.2]}.items():
        (tmp_path / f"{name}.toml").write_text(f'{head}rate = "x"\n[axes]\nx = {levels}\n', encoding="utf-8")

    def jobs(regime: str, *names: str) -> list[list[str]]:
        protocols = tuple(str(tmp_path / f"{name}.toml") for name in names)
        grid = Grid(protocols=protocols, models=("mean",), seeds=(1,), regimes=(regime,), data=(str(data),))
        (plan,) = plan_all(grid.expand())
        return [[cell.protocol for cell, _ in job.cells] for job in plan.jobs]

    assert jobs("matched", "a", "b") == [["a"], ["b"]]
    assert jobs("matched", "a", "b", "c") == [["a"], ["b", "c"]]
    assert jobs("matched", "a", "c", "b", "d") == [["a", "c", "b", "d"]]  # the last one joins the others
    assert jobs("spectrum", "a", "b") == [["a", "b"]]


def test_a_study_over_two_data_sets_makes_a_run_for_each(study: Path, tmp_path: Path) -> None:
    changes = Grid(models=(f"mean:{SHORT}",), configs=("",), regimes=("clean",), seeds=(1,))
    plans = plan_all(load_study(study, changes))
    store = Store(tmp_path / "r")
    summary = run_plans(plans, store, Execution("local"))
    assert summary.evaluated == 4
    assert {run["data"]["name"]: len(run["cells"]) for run in store.manifests()} == {"tiny": 2, "other": 2}
    assert {(c.cell.dataset, c.cell.model) for c in store.cells()} == {(d, f"mean:{SHORT}") for d in ("tiny", "other")}


def test_the_command_does_what_the_file_says_and_options_replace_its_keys(study: Path, tmp_path: Path) -> None:
    words = ["run", str(study), "--model", f"mean:{SHORT}", "--seeds", "7", "--protocol", "clean", "--regime", "clean"]
    text = study.read_text("utf-8").replace("configs", "# configs")
    study.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(app, [*words, "--results", str(tmp_path / "r"), "--jobs", "1"])
    assert done.exception is None
    assert "clean on tiny" in done.stdout
    assert "clean on other" in done.stdout
    # The files are copies, and the key of a training depends on the content of the data.
    assert "trained 1 models, evaluated 2 cells" in done.stderr
    assert {c.cell.seed for c in Store(tmp_path / "r").cells()} == {7}


MISTAKES = {
    "protcols = ['clean']": "study s.toml: unknown key 'protcols'.*did you mean 'protocols'",
    "protocols = ['clen']": "study s.toml, 'protocols': unknown protocol 'clen'.*did you mean 'clean'",
    "protocols = 'clean'": "study s.toml, 'protocols': expected a list of names or paths, got 'clean'",
    "protocols = []": "study s.toml, 'protocols': expected a list of names or paths, got ",
    "seeds = [1]": "study s.toml: expected a protocol, got none",
    "protocols = ['clean']\nseeds = ['1']": "study s.toml, 'seeds': expected a list of whole numbers, got ",
    "protocols = ['clean']\nseeds = [true]": "study s.toml, 'seeds': expected a list of whole numbers, got ",
    "protocols = ['clean']\nmodels = ['mea']": "study s.toml, 'models': unknown model 'mea'",
    "protocols = ['clean']\nregimes = ['clen']": "study s.toml, 'regimes': unknown regime 'clen'",
    "protocols = ['clean']\npreset = 'quik'": "study s.toml, 'preset': unknown preset 'quik'",
    "protocols = ['clean']\ndevice = 'gpu'": "study s.toml, 'device': unknown device 'gpu'",
    "protocols = ['clean']\ndata = ['absent.pkl']": "study s.toml, 'data': data 'absent.pkl'",
    "protocols = ['clean']\nmodels = ['qa-moe']\nconfigs = ['k']": "study s.toml, 'configs': unknown variant of qa-moe",
    "protocols = ['clean']\nmodels = ['qa-moe']\nconfigs = ['kk=1']": "study s.toml: unknown setting 'kk'",
    "protocols = ['clean']\ncheckpoint = 'x'\nregimes = ['clean']": "study s.toml: .*leave one out",
    "protocols = ['clean']\ngrid = 3": "study s.toml, 'grid': expected tables that begin with",
    "protocols = ['clean']\n[[grid]]\n[[grid]]\nseed = [1]": "study s.toml, grid 2: unknown key 'seed'",
    "protocols = [": "study s.toml: not valid TOML",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_reported_with_its_file_and_key(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text(f"schema = 1\n{text}\n", encoding="utf-8")
    with pytest.raises(BenchError, match=f"^{MISTAKES[text]}"):
        plan_all(load_study(Path("s.toml"), Grid()))


@pytest.mark.parametrize(("text", "words"), [("", "expected 'schema = 1', got None"), (None, "cannot be read")])
def test_a_file_that_is_no_study_is_refused(text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BenchError, match=words):
        load_study(tmp_path / "s.toml", Grid())


def test_different_protocols_of_one_name_are_refused(data: Path, tmp_path: Path) -> None:
    head = 'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n[[corruption]]\nkind = "modality-missing"\n'
    requests = []
    for rate in (0.2, 0.3):
        path = tmp_path / str(rate) / "mine.toml"
        path.parent.mkdir()
        path.write_text(f"{head}rate = {rate}\n", encoding="utf-8")
        requests += Grid(protocols=(str(path),), models=("mean",), data=(str(data),)).expand()
    with pytest.raises(BenchError, match="two protocols are called 'mine'"):
        plan_all(requests)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "locl"}, "did you mean 'local'"),
        ({"name": "dask"}, "expected --scheduler"),
        ({"name": "local", "scheduler": "tcp://x:1"}, "expected --executor dask"),
        ({"name": "local", "jobs": 2}, "leave it out"),
    ],
)
def test_executors_that_do_not_go_together_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BenchError, match=words):
        Execution(**settings)


def test_a_grid_replaces_the_values_that_are_given_and_an_empty_string_clears_one() -> None:
    shared = Grid(protocols=("clean",), models=("mean",), fine_tune="a-language-model", device="cpu")
    grid = shared.overlaid_with(Grid(protocols=("mixed", "clean"), fine_tune="", seeds=(3,)))
    assert grid == Grid(protocols=("mixed", "clean"), models=("mean",), fine_tune="", device="cpu", seeds=(3,))
    (located,) = grid.expand()
    assert located.request == Request(protocols=("mixed", "clean"), models=("mean",), device="cpu", seeds=(3,))
    (located,) = shared.expand()
    assert located.request.preset == "fine-tune"


def test_a_config_joins_whatever_settings_a_name_has() -> None:
    names = ("qa-moe", "qa-moe:bfloat16", "qa-moe:train.epochs=2", "qa-moe:-nll")
    (located,) = Grid(protocols=("clean",), models=names, configs=("k=2",)).expand()
    assert located.request.models == (
        "qa-moe:k=2", "qa-moe:bfloat16,k=2", "qa-moe:train.epochs=2,k=2", "qa-moe:-nll,k=2",
    )  # fmt: skip
