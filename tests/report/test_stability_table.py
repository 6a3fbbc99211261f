"""The table of `report --stability`, and what it cannot be combined with."""

import re
from pathlib import Path

import numpy as np
import pytest
from commandline import bench
from fakestore import noisy, write_store


def flipping(label: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Nearly right, but at the last level far off."""
    return label + (3.0 if level == 0.6 else 0.1)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    write_store(root, {"late-fusion": noisy(0.5), "mine": flipping}, seeds=(1, 2))
    return root


def test_the_table_counts_changes_and_names_the_ranking_that_flips(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("report", "--results", results, "--metric", "mae", "--format", "markdown")
    done = bench((*arguments, "--stability"), capsys, monkeypatch)
    assert done.code == 0
    assert "Stability of the comparisons in mae" in done.out
    (line,) = [line for line in done.out.splitlines() if line.startswith("| without level η=0.6")]
    assert [cell.strip() for cell in line.strip("|").split("|")][1:] == ["1", "1", "1"]
    assert re.search(r"the ranking of the two flips .*without level η=0\.6", done.out)
    assert "intervals do not cover the variance between trainings" in done.out
    assert "Stability" not in bench(arguments, capsys, monkeypatch).out


@pytest.mark.parametrize("other", [("--format", "json"), ("--format", "csv"), ("--format", "html"), ("--overview",)])
def test_it_is_refused_where_no_tables_of_sections_are_printed_and_the_advice_works(
    other: tuple[str, ...], results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("report", "--results", results, "--stability", "--metric", "mae")
    error = bench((*arguments, *other), capsys, monkeypatch).refusal()
    assert error.endswith(f"leave out {' '.join(other)}")
    assert bench(arguments, capsys, monkeypatch).code == 0
