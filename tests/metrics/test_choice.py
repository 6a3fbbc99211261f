"""Dialect and metrics that a user asks for, over results of several tasks."""

import pytest

from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.choice import MetricChoice, chosen, headline
from qamoe_bench.vocabulary import REGRESSION, Task

EMOTION = Task("classes", ("happy", "sad", "angry"))
SEVERAL = Task("multi-label", ("happy", "sad"))


def test_a_choice_is_taken_where_it_fits_and_the_default_elsewhere() -> None:
    choice = chosen("gcnet", ["f1_weighted", "mae"])
    choice.check([REGRESSION, EMOTION])
    assert [choice.dialect_for(task).name for task in (REGRESSION, EMOTION)] == ["mmsa", "gcnet"]
    assert choice.metrics_for(choice.dialect_for(EMOTION)) == ("f1_weighted",)
    assert choice.metrics_for(choice.dialect_for(REGRESSION)) == ("mae",)
    # Without any of the chosen metrics, a task shows its own.
    of_several = choice.dialect_for(SEVERAL)
    assert of_several.name == "scikit-learn-labels"
    assert chosen("", ["mae"]).metrics_for(of_several) == of_several.shown
    assert MetricChoice() == chosen("")


@pytest.mark.parametrize(
    ("dialect", "metrics", "message"),
    [
        ("mult", [], "dialect 'mult': expected one for classes, of which the results have 3 (scikit-learn, gcnet"),
        ("", ["mae"], "unknown metric of dialect scikit-learn 'mae'"),
        ("", ["ua", "accuracy"], "unknown metric of dialect scikit-learn 'accuracy'"),
    ],
)
def test_what_fits_no_result_is_refused(dialect: str, metrics: list[str], message: str) -> None:
    with pytest.raises(BenchError) as refused:
        chosen(dialect, metrics).check([EMOTION])
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)
    chosen(dialect, metrics).check([])


def test_the_metric_that_decides_the_order_is_the_first_of_its_task() -> None:
    assert headline(["acc7", "mae"]) == "mae"
    assert headline(["nll", "wa"]) == "wa"
    assert headline(["corr", "acc7"]) == "corr"
