"""Tuning: the same trials however often it is interrupted, chosen by validation data alone."""

import json
import pickle
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import Done, bench
from smallstudy import SHORT
from tinydata import mmsa_content
from torch import nn

from qamoe_bench.data.options import DEFAULT_READING
from qamoe_bench.data.synthetic.synthetic import synthetic
from qamoe_bench.errors import BenchError
from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.progress import no_display
from qamoe_bench.run.request import LocatedRequest, Request
from qamoe_bench.store.tuning import SEARCH, TrialRecord, read_trials, write_trials
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.loop import Trained, best_epoch
from qamoe_bench.tuning.draws import data_of_draw, without_test_split
from qamoe_bench.tuning.measuring import measured_trial, selected_error
from qamoe_bench.tuning.search import run_search
from qamoe_bench.tuning.space import (
    TRAINING,
    declared_dimensions,
    defaults_in,
    model_dimensions,
    name_with_choices,
)
from qamoe_bench.tuning.suggestions import suggested
from qamoe_bench.tuning.tuner import TuningPlan, chosen_settings, run_tuning, tuning_plans

FUSION = f"late-fusion:{SHORT}"
MOE = f"qa-moe:{SHORT}"
MEAN = f"mean:{SHORT}"
Bench = Callable[..., Done]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "tiny.pkl"
    path.write_bytes(pickle.dumps(mmsa_content()))
    return path


def planned(data: Path, root: Path, *models: str, trials: int = 3, draws: int = 1) -> list[TuningPlan]:
    request = Request(("clean",), models or (FUSION,), str(data), device="cpu")
    return tuning_plans([LocatedRequest("", request)], root, trials, draws)


def tuned(data: Path, root: Path, *models: str, trials: int = 3, draws: int = 1) -> list[TuningPlan]:
    plans = planned(data, root, *models, trials=trials, draws=draws)
    outcome = run_tuning(plans, Execution("local"), no_display)
    assert not outcome.failures
    return plans


def facts(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Everything but the time."""
    return [replace(record, seconds=0.0) for record in records]


@pytest.fixture(scope="module")
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> TuningPlan:
    return tuned(data, tmp_path_factory.mktemp("unbroken"))[0]


def test_the_first_trial_has_the_defaults_and_every_trial_other_settings(unbroken: TuningPlan) -> None:
    records = read_trials(unbroken.searches[0].path)
    assert [record.purpose for record in records] == [SEARCH] * 3
    assert records[0].model == FUSION
    assert len({record.model for record in records}) == 3
    assert all(record.error is not None and record.best_epoch >= 1 for record in records)


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(
    data: Path, tmp_path: Path, unbroken: TuningPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plan,) = planned(data, tmp_path)

    def interrupted(*arguments: Any) -> TrialRecord:
        if len(read_trials(plan.searches[0].path)) == 2:
            raise KeyboardInterrupt
        return measured_trial(*arguments)

    monkeypatch.setattr("qamoe_bench.tuning.search.measured_trial", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_tuning([plan], Execution("local"), no_display)
    assert plan.pending == 1
    monkeypatch.undo()
    run_tuning([plan], Execution("local"), no_display)
    assert facts(read_trials(plan.searches[0].path)) == facts(read_trials(unbroken.searches[0].path))
    assert chosen_settings(plan) == chosen_settings(unbroken)


def test_damaged_trials_and_those_after_them_are_repeated(data: Path, tmp_path: Path, unbroken: TuningPlan) -> None:
    (plan,) = planned(data, tmp_path)
    path = plan.searches[0].path
    whole = read_trials(unbroken.searches[0].path)
    write_trials(path, whole)
    first, second, third = path.read_text(encoding="utf-8").splitlines()
    path.write_text(f"{first}\n{second.replace('search', 'serach')}\n{third[:-9]}", encoding="utf-8")
    assert read_trials(path) == whole[:1]
    run_search(plan.searches[0], lambda _: None)
    assert facts(read_trials(path)) == facts(whole)


def test_more_trials_continue_the_same_search(data: Path, tmp_path: Path, unbroken: TuningPlan) -> None:
    tuned(data, tmp_path, trials=1)
    (plan,) = tuned(data, tmp_path, trials=3)
    assert facts(read_trials(plan.searches[0].path)) == facts(read_trials(unbroken.searches[0].path))


def test_a_test_split_of_nonsense_gives_the_same_trials(data: Path, tmp_path: Path, unbroken: TuningPlan) -> None:
    content = mmsa_content()
    random = np.random.default_rng(7)
    for m in ("text", "audio", "vision"):
        # The shape stays, because a model may depend on the number of frames.
        content["test"][m] = 100 * random.standard_normal(content["test"][m].shape).astype(np.float32)
    content["test"]["regression_labels"] = -content["test"]["regression_labels"]
    nonsense = tmp_path / "tiny.pkl"
    nonsense.write_bytes(pickle.dumps(content))
    (plan,) = tuned(nonsense, tmp_path)
    assert plan.folder.name != unbroken.folder.name  # these are other data ...
    expected = [replace(record, key="") for record in facts(read_trials(unbroken.searches[0].path))]
    assert [replace(record, key="") for record in facts(read_trials(plan.searches[0].path))] == expected


def test_no_sample_of_the_test_split_reaches_a_training() -> None:
    data = synthetic()
    kept = without_test_split(data)
    assert kept.splits["test"] is data.splits["valid"]
    assert kept.splits["train"] is data.splits["train"]
    assert kept.spec.feature_mean["text"].equal(data.spec.feature_mean["text"])


def test_draws_of_embedded_data_are_fresh_samples_of_the_law() -> None:
    reading = DEFAULT_READING
    first = data_of_draw("synthetic", "", reading, 1)
    second = data_of_draw("synthetic", "", reading, 2)
    original = synthetic()
    samples = [d.splits["valid"].features["text"] for d in (first, second, original)]
    assert len({d.digest for d in (first, second, original)}) == 3
    assert not any(torch.equal(samples[0][:, :1], other[:, :1]) for other in samples[1:])
    fewer = data_of_draw("synthetic", "", replace(reading, train_size=50), 1)
    assert len(fewer.splits["train"]) == 50
    assert fewer.splits["train"].target.equal(first.splits["train"].target[:50])


def test_the_best_of_each_draw_are_compared_on_all(data: Path, tmp_path: Path) -> None:
    (plan,) = tuned(data, tmp_path, trials=4, draws=2)
    chosen = chosen_settings(plan)
    errors = [search.errors() for search in plan.searches]
    candidates = {FUSION, *(search.best() for search in plan.searches)}
    assert all(candidates <= of_draw.keys() for of_draw in errors)
    means = {name: np.mean([of_draw[name] for of_draw in errors]) for name in candidates}
    assert chosen.tuned == min(means, key=lambda name: means[name])
    assert chosen.default_errors == [of_draw[FUSION] for of_draw in errors]
    assert np.mean(chosen.tuned_errors) <= np.mean(chosen.default_errors)


def test_a_model_without_parameters_is_trained_once(data: Path, tmp_path: Path) -> None:
    (plan,) = tuned(data, tmp_path, MEAN)
    assert len(read_trials(plan.searches[0].path)) == 1
    assert plan.pending == 0
    assert not chosen_settings(plan).is_changed


def test_the_error_of_a_trial_is_the_one_that_chose_the_epoch() -> None:
    errors = (3.0, 1.0, 2.0, 0.5, 0.6, 0.7)
    config = TrainConfig(epochs=6, selection_window=2)
    trained = Trained((0.0,) * 6, errors, best_epoch(errors, 2), 0.0)
    data = synthetic()
    assert selected_error(trained, lambda: nn.Linear(1, 1), data, config) == pytest.approx(0.55)


def test_spaces_are_the_training_settings_width_and_dropout_of_a_model_and_what_it_declares(
    data: Path, tmp_path: Path
) -> None:
    fusion, moe = planned(data, tmp_path, FUSION, MOE)
    names = [dimension.name for dimension in fusion.searches[0].space]
    assert names == [*(dimension.name for dimension in TRAINING), "width factor", "dropout factor"]
    assert [dimension.name for dimension in moe.searches[0].space] == [*names, "k"]
    assert defaults_in(moe.searches[0].space) == {
        "train.learning_rate": 1e-3,
        "train.weight_decay": 1e-2,
        "train.batch_size": 64,
        "width factor": 1,
        "dropout factor": 1,
        "k": 3,
    }


def test_values_that_a_model_cannot_be_built_with_are_no_part_of_its_space(data: Path, tmp_path: Path) -> None:
    # Its two heads divide a width of 10 and 20, but not of 5.
    (plan,) = planned(data, tmp_path, f"tfr-net:{SHORT}")
    (width,) = (dimension for dimension in plan.searches[0].space if dimension.name == "width factor")
    assert width.values == (1, 2)


def test_choices_become_settings_with_two_digits(data: Path, tmp_path: Path) -> None:
    space = planned(data, tmp_path)[0].searches[0].space
    choices = {"train.learning_rate": 0.0031, "train.batch_size": 64, "width factor": 0.5, "dropout factor": 0.37}
    name = name_with_choices("late-fusion", False, space, choices)
    assert name == "late-fusion:train.learning_rate=0.0031,width=32,dropout=0.037,encoder_dropout=0.11"
    assert name_with_choices("a:k=2", True, space, {"train.batch_size": 16}) == "a:k=2,train.batch_size=16"
    assert not model_dimensions(object())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k = 3", "expected a table [k], got 3"),
        ("[k]\nvalues = [1]", "expected two or more numbers in 'values'"),
        ("[k]\nvalue = [1, 2]", "unknown key 'value'"),
        ("[k]\nlow = 2\nhigh = 1", "expected 'values', or numbers 'low' < 'high'"),
        ("[k]\nlow = 0\nhigh = 1\nlog = true", "above 0 with log = true"),
    ],
)
def test_a_malformed_search_space_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.search.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BenchError) as refusal:
        declared_dimensions(tmp_path / "mine.py")
    assert message in str(refusal.value)
    assert "search space mine.search.toml" in str(refusal.value)


def test_suggestions_depend_on_trials_and_seed_alone() -> None:
    trials: list[tuple[dict[str, float], float | None]] = []
    for number in range(12):
        trials.append((suggested(TRAINING, trials, ("a", number)), None if number == 3 else 1.0 + number % 5))
    assert suggested(TRAINING, trials, ("a", 1)) == suggested(TRAINING, trials, ("a", 1))
    assert suggested(TRAINING, trials, ("a", 1)) != suggested(TRAINING, trials, ("a", 2))
    for choices, _ in trials:
        assert all(dimension.contains(choices[dimension.name]) for dimension in TRAINING)


def command(bench_arguments: Sequence[object], capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> Done:
    return bench(("tune", *bench_arguments), capsys, patch)


def test_the_command_writes_a_study_that_tests_both_settings_and_reports_the_difference(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ("--data", data, "--model", FUSION, "--model", MEAN, "--trials", 4, "--draws", 1, "--device", "cpu")
    where = ("--protocol", "clean", "--seeds", "5,6", "--results", tmp_path)
    done = command((*common, *where), capsys, monkeypatch)
    assert done.code == 0, done.err
    assert "Validation errors" in done.out
    study = tmp_path / "tuning" / "tuned.toml"
    content = tomllib.loads(study.read_text(encoding="utf-8"))
    (grid,) = content["grid"]
    assert grid["models"][0] == FUSION
    assert grid["models"][1].startswith(f"{FUSION},")
    assert grid["models"][2:] == [MEAN]
    assert (grid["data"], grid["protocols"], grid["seeds"]) == ([str(data)], ["clean"], [5, 6])
    again = command((*common, *where), capsys, monkeypatch)
    assert again.out == done.out
    run = bench(("run", study, "--results", tmp_path, "--executor", "local"), capsys, monkeypatch)
    assert run.code == 0, run.err
    assert "What tuning is worth" in run.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--regime", "matched"), "expected the regime clean or spectrum, got 'matched'"),
        (("--model", "late-fusoin"), "unknown model 'late-fusoin'"),
    ],
)
def test_mistakes_are_one_line(
    options: tuple[str, ...],
    message: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = command(("--data", data, "--results", tmp_path, *options), capsys, monkeypatch)
    assert message in done.refusal()


def test_limits_alone_cannot_be_tuned(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="expected a model that is trained"):
        planned(Path("synthetic"), tmp_path, "oracle")


def test_without_optuna_one_line_says_how_to_install_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = command(("--data", data, "--model", FUSION, "--results", tmp_path), capsys, monkeypatch)
    assert "expected Optuna" in done.refusal()
    assert "pip install 'qamoe-bench[tune]'" in done.refusal()
    assert not [*tmp_path.iterdir()]


def test_trials_of_a_newer_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_text(json.dumps({"checksum": "", "schema": 2}) + "\n", encoding="utf-8")
    with pytest.raises(BenchError, match="newer qamoe-bench"):
        read_trials(path)
