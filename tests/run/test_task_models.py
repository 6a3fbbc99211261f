"""Models that cannot do the task of the data: left out of a group, refused where the user named them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tinydata import CLASSES, LABELS, make_dataset

from qamoe_bench.errors import BenchError
from qamoe_bench.registry import ModelCard, ModelRef, models_for_task
from qamoe_bench.run.grid import Grid
from qamoe_bench.run.plan import Plan
from qamoe_bench.run.planner import plan_all
from qamoe_bench.vocabulary import REGRESSION, TASK_KINDS, Task

STRANGER = "tinydata:make_dataset"  # any function will do, since nothing is built here


@pytest.fixture(autouse=True)
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the models declare here: `mean` numbers, `text-only` all tasks, the others nothing."""
    known = {"mean": ModelCard(groups=("quick",), tasks=("regression",))}
    known["text-only"] = ModelCard(groups=("quick",), tasks=TASK_KINDS)
    monkeypatch.setattr(ModelRef, "card", lambda ref: known.get(ref.base, ModelCard()))
    monkeypatch.setattr("qamoe_bench.run.planner._check_recipe", lambda recipe, data: None)


def planned(monkeypatch: pytest.MonkeyPatch, task: Task, models: Sequence[str], **options: Any) -> Plan:
    monkeypatch.setattr("qamoe_bench.run.planner.open_dataset", lambda *_: make_dataset(task=task))
    grid = Grid(protocols=("clean",), models=tuple(models), data=("tiny",), seeds=(1,), device="cpu")
    (plan,) = plan_all(replace(grid, **options).expand())
    return plan


def models_of(plan: Plan) -> list[str]:
    return sorted({cell.model for cell in plan.cells})


@pytest.mark.parametrize(("task", "what"), [(CLASSES, "3 classes"), (LABELS, "4 labels per sample")])
def test_a_group_stands_for_the_models_that_can_do_the_task(
    monkeypatch: pytest.MonkeyPatch, task: Task, what: str
) -> None:
    plan = planned(monkeypatch, task, ["@quick"])
    assert models_of(plan) == ["text-only"]
    assert plan.notes == (f"data 'tiny' has {what}: left out mean, which cannot predict them",)
    assert planned(monkeypatch, REGRESSION, ["@quick"]).notes == ()


def test_settings_and_configs_follow_the_models_of_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(monkeypatch, CLASSES, ["@quick:train.epochs=20"], configs=("", "train.batch_size=8"))
    assert models_of(plan) == ["text-only:train.epochs=20", "text-only:train.epochs=20,train.batch_size=8"]
    assert "left out mean:train.epochs=20, mean:train.epochs=20,train.batch_size=8, which" in plan.notes[0]


@pytest.mark.parametrize("models", [["mean"], ["@quick", "mean"], ["text-only", "mean:train.epochs=20"]])
def test_a_named_model_that_cannot_is_refused_with_the_names_of_others(
    monkeypatch: pytest.MonkeyPatch, models: list[str]
) -> None:
    words = "model 'mean.*': expected a model for classes, got one for regression; data 'tiny' has 3 classes, so choose"
    with pytest.raises(BenchError, match=words) as raised:
        planned(monkeypatch, CLASSES, models)
    advised = str(raised.value).partition("choose among ")[2].split(", ")
    assert advised == models_for_task("classes") == ["text-only"]
    assert models_of(planned(monkeypatch, CLASSES, advised)) == advised


def test_a_group_without_any_such_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    only = ModelCard(groups=("quick",), tasks=("regression",))
    monkeypatch.setattr(ModelRef, "card", lambda ref: only if ref.base == "mean" else ModelCard())
    words = "models: expected one for classes, got none among mean; data 'tiny' has 3 classes, so bring a model"
    with pytest.raises(BenchError, match=words):
        planned(monkeypatch, CLASSES, ["@quick"])


def test_a_model_without_a_declaration_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert models_of(planned(monkeypatch, CLASSES, [STRANGER])) == [STRANGER]


def test_several_grids_on_one_data_set_tell_once_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qamoe_bench.run.planner.open_dataset", lambda *_: make_dataset(task=CLASSES))
    grid = Grid(protocols=("clean",), models=("@quick",), data=("tiny",), seeds=(1,), device="cpu")
    (plan,) = plan_all([*grid.expand(), *replace(grid, regimes=("clean",)).expand()])
    assert len(plan.notes) == 1
