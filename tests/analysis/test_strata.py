"""Where a difference between two models comes from."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from fakestore import noisy, write_store

from qamoe_bench.analysis.section import sections
from qamoe_bench.analysis.strata import cluster_errors, error_profile

IDS = [f"v{i // 6}$_${i % 6}" for i in range(150)]
MODELS = {
    "late-fusion": noisy(0.5),
    # Wrong by 1 where the label is clearly positive, and as good as the control elsewhere.
    "one-sided": lambda label, level, random: noisy(0.5)(label, level, random) - (label >= 1.5),
    "third": noisy(0.6),
}


def test_differences_are_those_of_mean_errors_on_each_part(tmp_path: Path) -> None:
    (section,) = sections(write_store(tmp_path, MODELS, ids=IDS).cells())
    profile = error_profile(section)
    assert profile is not None
    assert profile.pairs == tuple(combinations(range(3), 2))
    names = [row.name for row in section.rows]
    labels = {s.name: k for k, s in enumerate(profile.strata) if s.kind == "label"}
    assert list(labels) == ["below -1.5", "-1.5 to -0.5", "-0.5 to 0.5", "0.5 to 1.5", "1.5 or more"]
    errors = [
        np.abs(row.column("prediction").astype(np.float64) - section.label).mean((0, 1, 2)) for row in section.rows
    ]
    inside = section.label >= 1.5
    pair = profile.pairs.index((names.index("late-fusion"), names.index("one-sided")))
    value = profile.differences.value[pair, labels["1.5 or more"]]
    assert value == pytest.approx((errors[pair] - errors[names.index("one-sided")])[inside].mean())
    # The difference arises on positive labels only, and the intervals say so.
    low, high = profile.differences.interval()
    excludes = (low[pair] > 0) | (high[pair] < 0)
    assert excludes[labels["1.5 or more"]]
    assert not excludes[labels["-0.5 to 0.5"]]
    # Parts of one kind are all predictions together.
    for kind in {s.kind for s in profile.strata}:
        assert sum(s.share for s in profile.strata if s.kind == kind) == pytest.approx(1, abs=0.01)


def test_clusters_have_mean_errors(tmp_path: Path) -> None:
    (section,) = sections(write_store(tmp_path / "a", MODELS, ids=IDS).cells())
    errors = cluster_errors(section)
    assert errors is not None
    assert errors.shape == (3, 25)
    whole = np.abs(section.rows[0].column("prediction").astype(np.float64) - section.label).mean()
    assert errors[0].mean() == pytest.approx(whole)  # clusters of equal size
    (section,) = sections(write_store(tmp_path / "b", MODELS).cells())
    assert cluster_errors(section) is None


def test_a_seed_that_a_row_lacks_and_a_single_row_are_no_error(tmp_path: Path) -> None:
    write_store(tmp_path, {"late-fusion": noisy(0.5)}, seeds=(1, 2, 3), ids=IDS)
    (section,) = sections(write_store(tmp_path, {"late-fusion": noisy(0.5)}, ids=IDS).cells())
    assert error_profile(section) is None
    store = write_store(tmp_path, {"x": noisy(0.5), "third": noisy(0.9)}, seeds=(1, 2), ids=IDS, run="second")
    (section,) = sections(store.cells())
    profile = error_profile(section)
    assert profile is not None
    assert np.isfinite(profile.differences.value).all()
