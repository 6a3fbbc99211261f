"""The order of models as far as the pairwise tests support it."""

from pathlib import Path

import numpy as np
from fakestore import noisy, write_store

from qamoe_bench.analysis.comparisons import pairwise_differences, ranking
from qamoe_bench.analysis.scores import over_conditions, score
from qamoe_bench.analysis.section import sections
from qamoe_bench.analysis.standing import standing
from qamoe_bench.metrics.dialects import DIALECTS

MODELS = {
    "late-fusion": noisy(1.0),
    "mean": lambda label, level, random: np.zeros(len(label)),
    "best": noisy(0.2),
    "twin": noisy(0.2),
    "worst": noisy(2.0),
    "oracle": noisy(0.1),
}


def test_leaders_are_not_distinguishable_and_yardsticks_are_not_counted(tmp_path: Path) -> None:
    (section,) = sections(write_store(tmp_path, MODELS, samples=120).cells())
    scores = score(section, DIALECTS["mmsa"], "mae")
    pairs = pairwise_differences(section, scores)
    names = [row.name for row in section.rows]
    means = scores.means(over_conditions)

    order = standing(section, scores.metric, means, pairs, range(len(names)))
    assert {names[i] for i in order.leaders} == {"best", "twin"}
    assert {names[i] for i in order.models} == {"best", "twin", "late-fusion", "worst"}
    assert means[list(order.models)].tolist() == sorted(means[list(order.models)])
    assert (order.pairs, order.significant) == (6, 5)  # all but best and twin
    # Of all rows, the ranks are those of the tables.
    report = ranking(section, scores)
    assert order.ranks == {i: (report.best[i, -1], report.worst[i, -1]) for i in order.ranks}
    assert names.index("oracle") not in order.ranks

    few = standing(section, scores.metric, means, pairs, [names.index("late-fusion"), names.index("worst")])
    assert [names[i] for i in few.leaders] == ["late-fusion"]
    assert few.ranks == {names.index("late-fusion"): (1, 1), names.index("worst"): (2, 2)}
    alone = standing(section, scores.metric, means, pairs, [names.index("mean")])
    assert (alone.models, alone.pairs) == ((names.index("mean"),), 0)
