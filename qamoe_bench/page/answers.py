"""The three questions of the first screen, answered in words: the leaders, whether the order is certain, the cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qamoe_bench.analysis.section import MEAN, Section
from qamoe_bench.analysis.standing import Standing
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.cost import parameter_count
from qamoe_bench.page.figure import comma_list
from qamoe_bench.report.metric_tables import value_with_interval
from qamoe_bench.report.table import counted
from qamoe_bench.statistics.intervals import Estimate
from qamoe_bench.vocabulary import metric_label

# Leading models up to which all are named
NAMED_LEADERS = 3
NUMBER_WORDS = ("no", "one", "two", "three")


@dataclass(frozen=True)
class Answer:
    """An answer to one of the questions: a few words, and a sentence or two of detail."""

    short: str
    detail: str


def three_answers(
    section: Section, metric: Metric, mean: Estimate, standing: Standing, show: Callable[[int], str]
) -> tuple[Answer, Answer, Answer]:
    """Which model is most robust, whether the order can be trusted, and what the leaders cost.

    Args:
        section: Gives the rows with their costs.
        metric: The metric.
        mean: Its mean over the sweep, by row.
        standing: The order of the rows that are shown.
        show: The name of a row by its index.
    """
    if not standing.models:
        nothing = Answer("No answer yet", f"Fewer than two models have a value of {metric_label(metric.name)}.")
        return nothing, Answer("Nothing to rank", "There is one row, so there is nothing to compare."), Answer("–", "")
    names = [show(i) for i in standing.leaders]
    return (
        _most_robust(section, metric, mean, standing, names),
        _trust(section, standing, names),
        _cost(section, standing, show),
    )


def _most_robust(
    section: Section, metric: Metric, mean: Estimate, standing: Standing, names: Sequence[str]
) -> Answer:  # fmt: skip
    if len(names) > NAMED_LEADERS:
        short = f"{names[0]}, just ahead of a close field"
    else:
        short = f"{comma_list(names)} {'leads' if len(names) == 1 else 'lead'}"
    shown = standing.leaders[:1] if len(names) > NAMED_LEADERS else standing.leaders
    values = [value_with_interval(metric, mean, i).replace("±", " ± ") for i in shown]
    unit = " %" if metric.unit == "%" else ""
    detail = f"Mean {metric_label(metric.name)} over the sweep: {comma_list(values)}{unit} ({metric.better} is better)"
    return Answer(short, f"{detail}{_yardsticks(section, metric, mean)}.")


def _yardsticks(section: Section, metric: Metric, mean: Estimate) -> str:
    """The values of the oracle and of the model that ignores its inputs, where there are such rows."""
    parts = []
    for i, row in enumerate(section.rows):
        if row.is_oracle and np.isfinite(mean.value[i]):
            parts.append(f"the oracle has {metric.show(float(mean.value[i]))}")
    floor = section.find(MEAN)
    if floor is not None and np.isfinite(mean.value[floor]):
        what = "guessing the mean label" if section.task.is_regression else "guessing without looking"
        parts.append(f"{what} {metric.show(float(mean.value[floor]))}")
    return f"; {', '.join(parts)}" if parts else ""


def _trust(section: Section, standing: Standing, names: Sequence[str]) -> Answer:
    pairs = f"{standing.significant} of {counted(standing.pairs, 'pair')} of models differ significantly"
    if len(standing.models) == 1:
        answer = Answer("Nothing to rank", "There is only one model to look at.")
    elif not standing.significant:
        both = "The two models do not differ significantly."
        several = f"No two of the {len(standing.models)} models differ significantly."
        answer = Answer("No", both if len(standing.models) == 2 else several)
    elif len(names) == 1:
        answer = Answer("At the top, yes", f"{names[0]} is significantly better than every other model; {pairs}.")
    elif len(names) <= NAMED_LEADERS:
        number = NUMBER_WORDS[len(names)]
        answer = Answer(
            f"Not among the top {number}", f"{comma_list(names)} lead; they are not distinguishable. {_upper(pairs)}."
        )
    else:
        detail = f"{len(names)} of {len(standing.models)} models may be the best; {pairs}."
        answer = Answer("Not at the top", detail)
    if len(section.seeds) == 1:
        return Answer(answer.short, f"{answer.detail} One seed: how much trainings vary is not covered.")
    return answer


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cost(section: Section, standing: Standing, show: Callable[[int], str]) -> Answer:
    leaders = standing.leaders[:NAMED_LEADERS] if len(standing.leaders) <= NAMED_LEADERS else standing.leaders[:1]
    known = [i for i in leaders if cost_in_words(section, i)]
    if not known:
        return Answer("Not measured", "The store holds neither times nor sizes of the leading models.")
    # The cheapest first; models without a measured time come last.
    known.sort(key=lambda i: (section.rows[i].microseconds_per_sample or np.inf, parameter_count(section.rows[i])))
    cheapest = known[0]
    others = [f"{show(i)} takes {cost_in_words(section, i)}" for i in known[1:]]
    subject = f"Per sample, with {show(cheapest)}"
    fastest = _fastest(section, standing)
    if others:
        detail = f"{subject}, the cheapest of the leaders; {comma_list(others)}."
    elif fastest is None:
        detail = f"The size of {show(cheapest)}; its time was not measured."
    elif fastest == cheapest:
        detail = f"{subject}; no model is faster."
    else:
        time = section.rows[fastest].microseconds_per_sample
        detail = f"{subject}. The fastest model, {show(fastest)}, takes {time:.3g} µs."
    return Answer(cost_in_words(section, cheapest), detail)


def _fastest(section: Section, standing: Standing) -> int | None:
    """The model with the shortest time; None if no time was measured."""
    times = {i: section.rows[i].microseconds_per_sample for i in standing.models}
    measured = {i: time for i, time in times.items() if time}
    return min(measured, key=lambda i: measured[i]) if measured else None


def cost_in_words(section: Section, i: int) -> str:
    """Time per sample and size of a row, such as `77 µs, 280 k parameters`; empty if both are unknown."""
    time = section.rows[i].microseconds_per_sample
    size = parameter_count(section.rows[i])
    parts = []
    if time:
        parts.append(f"{time:.3g} µs")
    if size:
        parts.append(f"{rounded_count(size)} parameters")
    return ", ".join(parts)


def rounded_count(number: float) -> str:
    """A large number in three digits, such as `280 k` or `1.25 M`."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor:
            return f"{number / factor:.3g} {letter}"
    return f"{number:g}"
