"""Which models of a request can do the task of its data, as far as their cards say.

Without this, a model for numbers would be built and trained on the indices of classes before anything noticed.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.registry import models_for_task
from qamoe_bench.run.plan import Recipe
from qamoe_bench.vocabulary import Task


class AbleModels(NamedTuple):
    """The models that remain, and a sentence about the others.

    Attributes:
        recipes: Recipes of models whose card does not exclude the task.
        notes: Names what was left out; empty where nothing was.
    """

    recipes: list[Recipe]
    notes: tuple[str, ...]


def able_models(recipes: Sequence[Recipe], from_groups: Collection[str], data: Dataset) -> AbleModels:
    """The recipes of models that can do the task; a model whose card declares no tasks is tried.

    Args:
        recipes: The recipes of the request.
        from_groups: Names of models that a group stands for.
        data: The data set.

    Raises:
        BenchError: If the user named a model that cannot do the task, no model is left, or a setting is for classes and
            the labels are numbers.
    """
    for recipe in recipes:
        if data.task.is_regression and recipe.training.class_weights != "none":
            raise BenchError(
                f"model {recipe.model.name!r}: expected no train.class_weights for labels on a scale, got "
                f"{recipe.training.class_weights!r}; leave that setting out"
            )
    unable = {r.model.name: r.model.card().tasks for r in recipes if r.model.card().excludes(data.task.kind)}
    for name, tasks in unable.items():
        if name not in from_groups:
            raise BenchError(
                f"model {name!r}: expected a model for {data.task.kind}, got one for {' and '.join(tasks)}; "
                f"{_labels_of(data)}, so {_remedy(data.task)}"
            )
    if not unable:
        return AbleModels(list(recipes), ())
    able = [recipe for recipe in recipes if recipe.model.name not in unable]
    if not able:
        raise BenchError(
            f"models: expected one for {data.task.kind}, got none among {', '.join(unable)}; "
            f"{_labels_of(data)}, so {_remedy(data.task)}"
        )
    return AbleModels(able, (f"{_labels_of(data)}: left out {', '.join(unable)}, which cannot predict them",))


def _labels_of(data: Dataset) -> str:
    if data.task.is_regression:
        return f"data {data.name!r} has labels on a scale"
    what = "classes" if data.task.kind == "classes" else "labels per sample"
    return f"data {data.name!r} has {data.task.outputs} {what}"


def _remedy(task: Task) -> str:
    names = models_for_task(task.kind)
    if not names:
        return "bring a model for this task (docs/your-model.md)"
    return f"choose among {', '.join(names)}"
