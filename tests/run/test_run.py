"""Runs from end to end on tiny files: plan, execute, store, resume, report."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from process import bench
from tinydata import mmsa_content

import qamoe_bench
from qamoe_bench.analysis.scores import score
from qamoe_bench.analysis.section import Section, sections
from qamoe_bench.data.open import open_dataset
from qamoe_bench.data.synthetic.law import draw_dataset
from qamoe_bench.data.synthetic.synthetic import standard_law
from qamoe_bench.errors import BenchError
from qamoe_bench.evaluation.sweep import sweep_model, sweep_oracle
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.metrics.dialects import DIALECTS, scores
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.registry import find_model
from qamoe_bench.report.table import Chapter, Table
from qamoe_bench.report.tables import analyses, chapters
from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.planner import plan
from qamoe_bench.run.presets import PRESETS, Preset
from qamoe_bench.run.request import Request
from qamoe_bench.run.runner import run_plan, run_plans
from qamoe_bench.seeding import seeded
from qamoe_bench.store.store import Store
from qamoe_bench.training.checkpoint import load_weights

CPU = torch.device("cpu")


README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(autouse=True)
def short_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process the quick preset trains for three epochs; commands in separate processes train in full."""
    short = Preset(replace(PRESETS["quick"].training, epochs=3, selection_window=1))
    monkeypatch.setattr("qamoe_bench.run.presets.PRESETS", {**PRESETS, "quick": short})
    monkeypatch.setattr("qamoe_bench.evaluation.predictor.SPLIT_PERMUTATIONS", 2)


def request(data: Path | str, **changes: Any) -> Request:
    options = {"protocols": ("random-missing",), "models": ("late-fusion",), "data": str(data), "seeds": (1, 2)}
    return Request(**{**options, **changes})


def report_of(store: Store, *metrics: str) -> Chapter:
    (chapter,) = chapters(analyses(store.cells(), DIALECTS["mmsa"], metrics), store.manifests())
    return chapter


def titled(chapter: Chapter, start: str) -> Table:
    (table,) = [t for t in chapter.tables if t.title.startswith(start)]
    return table


def predictions(store: Store) -> dict[str, pd.DataFrame]:
    return {c.cell.file_name: c.predictions for c in store.cells()}


def assert_same(a: dict[str, pd.DataFrame], b: dict[str, pd.DataFrame]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        pd.testing.assert_frame_equal(a[name], b[name], check_exact=True)


def test_a_run_trains_evaluates_and_stores_and_a_second_one_does_nothing(
    write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    wanted = request(write_pickle(), protocols=("clean", "random-missing"), models=("late-fusion", "qa-moe"))
    store = Store(tmp_path / "results")
    first = run_plan(plan(wanted), store, jobs=1)
    assert (first.trained, first.evaluated, first.reused) == (4, 8, 0)
    of_models = {(c.cell.model, "shuffled_prediction" in c.predictions) for c in store.cells()}
    assert of_models == {("late-fusion", False), ("qa-moe", True)}
    assert all(c.facts.seconds_per_sample > 0 for c in store.cells())
    for c in store.cells():
        assert c.facts.encodings_asked == 3 * 20 * len(c.facts.conditions)
        assert 3 * 20 <= c.facts.encodings_computed <= 2 * 3 * 20
    before = {p: p.stat().st_mtime_ns for p in store.root.rglob("*") if p.is_file()}
    second = run_plan(plan(wanted), store, jobs=1)
    assert (second.trained, second.evaluated, second.reused) == (0, 0, 8)
    assert {p: p.stat().st_mtime_ns for p in store.root.rglob("*") if p.is_file()} == before


def test_one_more_seed_reuses_what_another_run_stored(write_pickle: Callable[..., Path], tmp_path: Path) -> None:
    data, store = write_pickle(), Store(tmp_path / "results")
    run_plan(plan(request(data)), store, jobs=1)
    more = run_plan(plan(request(data, seeds=(1, 2, 3))), store, jobs=1)
    assert (more.trained, more.evaluated, more.reused) == (1, 1, 2)
    another_protocol = run_plan(plan(request(data, protocols=("clean",))), store, jobs=1)
    assert (another_protocol.trained, another_protocol.evaluated) == (0, 2)


def test_processes_give_the_same_bits_as_one_process(write_pickle: Callable[..., Path], tmp_path: Path) -> None:
    planned = plan(request(write_pickle(), models=("late-fusion", "qa-moe"), seeds=(1,)))
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    run_plan(planned, here, jobs=1)
    run_plan(planned, there, jobs=2)
    assert_same(predictions(here), predictions(there))


def test_models_and_seeds_meet_the_same_corrupted_samples(write_pickle: Callable[..., Path], tmp_path: Path) -> None:
    store = Store(tmp_path)
    run_plan(plan(request(write_pickle(), models=("late-fusion", "qa-moe"))), store, jobs=1)
    by_model = {(c.cell.model, c.cell.seed): c.predictions for c in store.cells()}
    facts = ["condition", "id", "target", "missing_text", "missing_audio", "missing_vision"]
    for seed in (1, 2):
        pd.testing.assert_frame_equal(by_model["late-fusion", seed][facts], by_model["qa-moe", seed][facts])
    assert not by_model["qa-moe", 1]["missing_text"].equals(by_model["qa-moe", 2]["missing_text"])


@pytest.mark.parametrize("name", ["late-fusion", "qa-moe"])
def test_batch_size_does_not_move_predictions(name: str) -> None:
    data = draw_dataset(standard_law(), {"train": 60, "valid": 8, "test": 90}, seed=7)
    model = find_model(name).builder()(data.spec)
    test = TestSet(data, 1, CPU)
    protocol = load_protocol("mixed")
    corner = type(protocol)(**{**protocol.__dict__, "axes": {"lambda": (0.7,), "eta": (0.6, 0.7)}})
    whole = sweep_model(model, test, corner, batch_size=90).columns["prediction"]
    for size in (1, 7, 64):
        prediction = sweep_model(model, test, corner, batch_size=size).columns["prediction"]
        np.testing.assert_allclose(prediction, whole, atol=1e-5)


def test_changed_settings_data_or_protocol_make_other_cells(write_pickle: Callable[..., Path], tmp_path: Path) -> None:
    def keys(wanted: Request) -> set[str]:
        return {c.key for c in plan(wanted).cells}

    data = write_pickle()
    base = keys(request(data))
    assert keys(request(data)) == base
    other_data = write_pickle(lambda c: c["test"]["text"].__imul__(2), name="other")
    for changed in (
        request(data, preset="paper"),
        request(data, regimes=("clean",)),
        request(other_data),
        request(data, seeds=(3,)),
    ):
        assert not keys(changed) & base


def test_the_model_of_the_readme_comes_in_by_module_and_function(
    write_pickle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = README.read_text(encoding="utf-8").partition("```python\n# mine.py\n")[2].partition("```")[0]
    (tmp_path / "stranger.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    store = Store(tmp_path / "results")
    summary = run_plan(plan(request(write_pickle(), models=("stranger:build",), seeds=(1,))), store, jobs=1)
    assert summary.evaluated == 1
    assert store.cells()[0].facts.parameters == 6


def test_several_draws_are_stored_side_by_side_and_averaged(write_pickle: Callable[..., Path], tmp_path: Path) -> None:
    head = 'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\ndraws = 3\n[axes]\neta = [0.0, 0.5]\n'
    (tmp_path / "p.toml").write_text(
        head + '[[corruption]]\nkind = "modality-missing"\nrate = "eta"\n', encoding="utf-8"
    )
    store = Store(tmp_path / "r")
    run_plan(plan(request(write_pickle(), protocols=(str(tmp_path / "p.toml"),), seeds=(1,))), store, jobs=1)
    (cell,) = store.cells()
    frame = cell.predictions
    assert frame.groupby(["draw", "condition"], observed=True).size().tolist() == [20] * 6
    lost = [frame[(frame.draw == d) & (frame.condition == "eta=0.5")].missing_text.to_numpy() for d in range(3)]
    assert not np.array_equal(lost[0], lost[1])
    errors = [(f.prediction - f.target).abs().mean() for _, f in frame[frame.condition == "eta=0.5"].groupby("draw")]
    assert len(errors) == 3
    assert titled(report_of(store, "mae"), "mae (lower").rows[0][2] == METRICS["mae"].show(float(np.mean(errors)))


def test_matched_trains_one_specialist_per_condition_and_reports_what_one_checkpoint_costs(
    write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    head = 'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n[axes]\neta = [0.0, 0.4, 0.8]\n'
    (tmp_path / "p.toml").write_text(
        head + '[[corruption]]\nkind = "modality-missing"\nrate = "eta"\n', encoding="utf-8"
    )
    store = Store(tmp_path / "r")
    wanted = request(write_pickle(), protocols=(str(tmp_path / "p.toml"),), regimes=("spectrum", "matched"))
    summary = run_plan(plan(wanted), store, jobs=1)
    assert (summary.trained, summary.evaluated) == (2 + 6, 4)
    assert run_plan(plan(wanted), store, jobs=1).trained == 0
    cells = store.cells()
    matched = next(c for c in cells if c.cell.regime == "matched" and c.cell.seed == 1)
    courses = matched.facts.training["specialists"]
    assert list(courses) == ["eta=0", "eta=0.4", "eta=0.8"]
    assert len({tuple(course["valid_error"]) for course in courses.values()}) == 3
    gap = titled(report_of(store, "mae"), "mae: single checkpoint (spectrum) minus specialists (matched)")
    (section,) = sections(cells)
    of = dict(zip((r.regime for r in section.rows), score(section, DIALECTS["mmsa"], "mae").values, strict=True))
    expected = (of["spectrum"] - of["matched"])[:, 1].mean()
    assert gap.rows[0][:3:2] == ("late-fusion", f"{expected:+.3f}")
    # A specialist predicts under its condition only: its weights alone give its part of the cell.
    store.find_cell(matched.cell).unlink()  # type: ignore[union-attr]
    second = run_plan(plan(wanted), store, jobs=1)
    assert (second.trained, second.evaluated) == (0, 1)
    assert_same(predictions(Store(tmp_path / "r")), {c.cell.file_name: c.predictions for c in cells})


def test_a_metric_that_is_undefined_for_a_model_in_both_regimes_is_shown_so(
    write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    store = Store(tmp_path / "r")
    run_plan(plan(request(write_pickle(), models=("mean",), regimes=("spectrum", "matched"))), store, jobs=1)
    chapter = report_of(store)
    gaps = {t.title: t.rows[0][1:] for t in chapter.tables if t.title.endswith("specialists (matched)")}
    assert set(gaps["corr: single checkpoint (spectrum) minus specialists (matched)"]) == {
        "–"
    }  # a constant has no correlation, and no difference of two
    assert set(gaps["mae: single checkpoint (spectrum) minus specialists (matched)"]) == {"+0.000"}


def test_weights_that_a_user_brings_are_evaluated_and_not_trained(
    write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    data, store = write_pickle(), Store(tmp_path / "r")
    run_plan(plan(request(data, seeds=(1,))), store, jobs=1)
    (checkpoint,) = store.root.rglob("*.safetensors")
    given = request(data, seeds=(1, 2), checkpoint=str(checkpoint))
    summary = run_plan(plan(given), store, jobs=1)
    assert (summary.trained, summary.evaluated) == (0, 2)
    by_regime = {c.cell.regime: c.predictions for c in store.cells() if c.cell.seed == 1}
    pd.testing.assert_series_equal(by_regime["given"]["prediction"], by_regime["spectrum"]["prediction"])
    with pytest.raises(BenchError, match="expected one --model"):
        plan(replace(given, models=("late-fusion", "mean")))
    with pytest.raises(BenchError, match="no such file"):
        plan(replace(given, checkpoint="absent.safetensors"))
    with pytest.raises(BenchError, match="does not fit the model"):
        plan(replace(given, models=("text-only",)))


def test_settings_after_a_name_make_separate_rows_and_trainings(
    write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    names = ("qa-moe", "qa-moe:-quality-gate", "qa-moe:k=1", "qa-moe:train.levels_per=batch")
    store = Store(tmp_path / "r")
    run_plan(plan(request(write_pickle(), models=names, seeds=(1,))), store, jobs=1)
    by_model = {c.cell.model: c for c in store.cells()}
    assert by_model.keys() == set(names)
    assert by_model["qa-moe:k=1"].facts.config["k"] == 1
    assert by_model["qa-moe:train.levels_per=batch"].facts.training["levels_per"] == "batch"
    assert len({tuple(c.predictions["prediction"]) for c in by_model.values()}) == 4
    use = by_model["qa-moe:k=1"].facts.experts["eta=0"]["text"]
    assert sum(use["load"]) == pytest.approx(1)
    assert sum(by_model["qa-moe"].facts.experts["eta=0"]["text"]["load"]) == pytest.approx(3)
    experts = titled(report_of(store), "Effective number of experts")
    assert 1 <= float(experts.rows[2][1]) <= 8


def test_settings_of_the_evaluation_share_a_training_and_the_report_says_what_they_change(
    write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    store = Store(tmp_path / "r")
    planned = plan(request(write_pickle(), models=("late-fusion", "late-fusion:bfloat16"), seeds=(1, 2)))
    summary = run_plan(planned, store, jobs=1)
    assert (summary.trained, summary.evaluated) == (2, 4)
    one, other = (
        c.predictions["prediction"] for c in sorted(store.cells(), key=lambda c: c.cell.model) if c.cell.seed == 1
    )
    assert 0 < (one - other).abs().max() < 0.1
    table = titled(report_of(store, "mae"), "Effect of evaluation settings")
    assert [row[0] for row in table.rows] == ["late-fusion:bfloat16"]
    assert abs(float(table.rows[0][1].removesuffix(" ≈"))) < 0.05
    assert float(table.rows[0][2]) > 0


def test_a_mistake_in_settings_is_found_before_any_work(write_pickle: Callable[..., Path]) -> None:
    data = write_pickle()
    for name, words in {
        "qa-moe:widht=3": "unknown setting 'widht'.*did you mean 'width'",
        "qa-moe:width=big": "setting width: expected a whole number, got 'big'",
        "qa-moe:train.epochs=0": "setting train.epochs: expected more than 0",
        "qa-moe:train.epoch=3": "unknown setting 'train.epoch'.*did you mean 'train.epochs'",
        "qa-moe:eval.precision=float8": "setting eval.precision: expected one of float32, bfloat16, got 'float8'",
        "mean:width=3": "unknown setting 'width'",
    }.items():
        with pytest.raises(BenchError, match=words):
            plan(request(data, models=(name,)))


def test_differences_are_paired_with_the_control_and_the_gain_lies_between_mean_and_oracle(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run_plan(plan(request("synthetic", models=("mean", "late-fusion", "text-only"), seeds=(1,))), store, jobs=1)
    table = titled(report_of(store, "mae"), "mae: summary over all levels")
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    errors = {c.cell.model: (c.predictions["prediction"] - c.predictions["target"]).abs() for c in store.cells()}
    expected = errors["text-only"].mean() - errors["late-fusion"].mean()
    assert rows["text-only"]["Δ"].removesuffix(" ≈") == f"{expected:+.3f}".replace("0.", ".")
    low, high = map(float, rows["text-only"]["interval"].split(" … "))
    assert low < expected < high
    assert rows["late-fusion"]["Δ"] == "–"
    assert (rows["mean"]["gap %"], rows["oracle"]["gap %"]) == ("0.0", "100.0")
    assert 0 < float(rows["late-fusion"]["gap %"]) < 100
    assert rows["mean"]["rank"] == "3"
    assert rows["oracle"]["rank"] == ""


def test_from_python_a_trained_model_is_evaluated_as_the_command_does_it(
    write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    data, store = str(write_pickle()), Store(tmp_path / "r")
    run_plan(plan(request(data, seeds=(1,))), store, jobs=1)
    (checkpoint,) = store.root.rglob("*.safetensors")
    model = find_model("late-fusion").builder()(open_dataset(data).spec)
    load_weights(model, checkpoint)
    model.train()
    evaluation = qamoe_bench.evaluate(model, data, "random-missing", seeds=(1,))
    assert model.training  # it is given back as it was
    (cell,) = store.cells()
    np.testing.assert_allclose(evaluation.predictions["prediction"], cell.predictions["prediction"], atol=1e-6)
    corr = score(Section((cell,)), DIALECTS["mmsa"], "corr").values[0, 0, 3]
    assert evaluation.scores().loc["eta=0.3", "corr"] == pytest.approx(corr, abs=1e-6)
    assert "eta=0.3" in evaluation._repr_html_()


def test_damaged_weights_in_a_store_are_named_and_trained_again(
    write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    store = Store(tmp_path / "r")
    model = "late-fusion:train.epochs=1,train.selection_window=1,eval.permutations=0"
    wanted = request(write_pickle(), seeds=(1,), models=(model,), protocols=("clean",))
    run_plan(plan(wanted), store, jobs=1)
    before = {stored.cell.key: stored.predictions for stored in store.cells()}
    (checkpoint,) = store.root.rglob("*.safetensors")
    content = checkpoint.read_bytes()
    flipped = content[:-2] + bytes([content[-2] ^ 8]) + content[-1:]  # one bit of one weight
    for damaged in (content[:100], flipped):
        checkpoint.write_bytes(damaged)
        with pytest.raises(BenchError, match="checkpoint .* does not fit the model .*; expected its weights"):
            run_plan(plan(replace(wanted, checkpoint=str(checkpoint))), store, jobs=1)
        for path in store.root.rglob("*.parquet"):
            path.unlink()
        notes: list[str] = []
        assert run_plans([plan(wanted)], store, Execution("local"), note=notes.append).trained == 1
        assert notes == [f"note: checkpoint {checkpoint} is not as it was written; trained again"]
        for stored in store.cells():
            pd.testing.assert_frame_equal(stored.predictions, before[stored.cell.key])


def killable(data: Path, results: Path, jobs: str) -> list[str]:
    """Arguments of a run that lasts long enough to be killed."""
    return [
        "run", "--protocol", "random-missing", "--data", str(data), "--seeds", "1,2",
        "--model", "late-fusion:train.epochs=5", "--model", "qa-moe:train.epochs=5,eval.permutations=0",
        "--jobs", jobs, "--results", str(results),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, pd.DataFrame]]:
    """A data file, and the predictions of a run on it that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    data = folder / "tiny.pkl"
    data.write_bytes(pickle.dumps(mmsa_content()))
    assert bench(*killable(data, folder / "results", "1")).returncode == 0
    return data, predictions(Store(folder / "results"))


@pytest.mark.parametrize(("jobs", "stages"), [("1", (1, 4)), ("2", (1,))])
def test_killed_at_any_moment_it_resumes_to_the_same_bits(
    whole_run: tuple[Path, dict[str, pd.DataFrame]], tmp_path: Path, jobs: str, stages: tuple[int, ...]
) -> None:
    data, expected = whole_run
    arguments = killable(data, tmp_path, jobs)
    killed, moments = 0, random.Random(int(jobs))
    for files in stages:  # wait until so many files are there, then a little longer
        process = subprocess.Popen(
            [sys.executable, "-m", "qamoe_bench", *arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        while process.poll() is None and len(list(tmp_path.glob("runs/*/*/*"))) < files:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.3))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
    done = bench(*arguments)
    assert done.returncode == 0, done.stderr
    assert killed >= 1
    assert "reused" in done.stderr or "nothing to do" in done.stderr
    assert_same(predictions(Store(tmp_path)), expected)
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]


def test_an_interrupted_run_says_how_to_continue(write_pickle: Callable[..., Path], tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "qamoe_bench", "run", "--protocol", "clean", "--data", str(write_pickle()),
        "--model", "late-fusion", "--seeds", "1,2", "--results", str(tmp_path / "r"), "--jobs", "2",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not list(tmp_path.glob("r/runs/*/run.json")) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "cells are stored; the same command continues from there" in messages
    assert "Traceback" not in messages


def test_a_trained_model_does_not_beat_the_oracle_beyond_sampling_error() -> None:
    from qamoe_bench.training.config import TrainConfig
    from qamoe_bench.training.exposure import SPECTRUM
    from qamoe_bench.training.loop import train

    data = open_dataset("synthetic")
    test, protocol = TestSet(data, 1, CPU), load_protocol("random-missing")
    best = pd.DataFrame(sweep_oracle(test, protocol).columns)
    with seeded("build", 1):
        model = find_model("late-fusion").builder()(data.spec)
    train(model, data, SPECTRUM, 1, TrainConfig(epochs=8), CPU)
    swept = pd.DataFrame(sweep_model(model, test, protocol).columns)
    for condition, predicted in swept.groupby("condition", sort=False):
        oracle = best[best["condition"] == condition].reset_index(drop=True)
        mine = (predicted["prediction"] - predicted["target"]).abs().reset_index(drop=True)
        gap = mine - (oracle["prediction_mae"] - oracle["target"]).abs()
        assert gap.mean() > -2 * gap.std() / np.sqrt(len(gap)), condition
        assert gap.mean() > 0 or condition != "eta=0"
        a, b = (scores(DIALECTS["mmsa"], {str(k): f[k].to_numpy() for k in f}) for f in (predicted, oracle))
        assert a["corr"] < b["corr"] + 0.03
        assert a["acc7"] < b["acc7"] + 0.03
