"""Stability of comparisons: made-up stores in which one choice changes the conclusion."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakestore import Answer, noisy, write_store

from qamoe_bench.analysis.section import Section, sections
from qamoe_bench.analysis.stability import Stability, stability
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.store.memory import MemoryCell
from qamoe_bench.store.store import Store, StoredCell

MMSA = DIALECTS["mmsa"]


def section_of(cells: Sequence[StoredCell]) -> Section:
    (section,) = sections(cells)
    return section


def steady(error: float) -> Answer:
    """Predicts the label with the same error for every sample, up to a little noise."""
    return lambda label, level, random: label + error + 0.01 * random.standard_normal(len(label))


def worse_at_last(label: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Errors of .1 at all levels but the last, where they are 3."""
    return steady(3.0 if level == 0.6 else 0.1)(label, level, random)


def changed(result: Stability) -> dict[str, tuple[int, int]]:
    """Numbers of changed verdicts and orders, by every choice that changes any."""
    counts = {c.name: (len(result.changed_verdicts(c)), len(result.changed_orders(c))) for c in result.choices}
    return {name: count for name, count in counts.items() if any(count)}


def test_a_conclusion_that_rests_on_one_level_is_named(tmp_path: Path) -> None:
    store = write_store(tmp_path, {"late-fusion": steady(0.5), "mine": worse_at_last})
    result = stability(section_of(store.cells()), MMSA, "mae", dialects=())
    assert changed(result) == {"without level η=0.6": (1, 1)}
    assert [*result.sentences()] == [
        "late-fusion is significantly better than mine in mae; mine is significantly better than late-fusion without "
        "level η=0.6; the ranking of the two flips without level η=0.6"
    ]
    assert [choice.name for choice in result.choices] == [
        "without seed 1", "without seed 2", "without seed 3",
        "without level η=0", "without level η=0.3", "without level η=0.6",
    ]  # fmt: skip


def test_a_conclusion_that_rests_on_one_seed_is_named(tmp_path: Path) -> None:
    write_store(tmp_path, {"late-fusion": steady(0.5), "mine": steady(0.4)}, seeds=(1, 2), run="usual")
    write_store(tmp_path, {"late-fusion": steady(0.5), "mine": steady(2.0)}, seeds=(3,), run="unlucky")
    result = stability(section_of(Store(tmp_path).cells()), MMSA, "mae", dialects=())
    assert changed(result)["without seed 3"] == (1, 1)
    (sentence,) = result.sentences()
    assert sentence.startswith("late-fusion is ahead of mine in mae, not significantly; ")
    assert "mine is significantly better than late-fusion without seed 3" in sentence
    assert "the ranking of the two flips without seed 3" in sentence


def test_a_conclusion_that_depends_on_the_dialect_is_named(tmp_path: Path) -> None:
    # 0 is negative in mmsa's Non0 and positive in mai's.
    def zero(label: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
        return np.where(label < 0, 0.0, 1.0)

    store = write_store(tmp_path, {"late-fusion": noisy(1.0), "zero": zero}, samples=400)
    result = stability(section_of(store.cells()), MMSA, "acc2_non0")
    assert changed(result) == {"in dialect mai": (1, 1)}
    assert "late-fusion is significantly better than zero in dialect mai" in next(result.sentences())
    assert not any("mult" in choice.name for choice in result.choices)  # it defines the metric as mmsa does


def test_a_conclusion_that_rests_on_one_draw_is_named(tmp_path: Path) -> None:
    usual = write_store(tmp_path / "0", {"late-fusion": steady(0.5), "mine": steady(0.4)})
    other = write_store(tmp_path / "1", {"late-fusion": steady(0.5), "mine": steady(2.0)})
    cells = []
    for first, second in zip(usual.cells(), other.cells(), strict=True):
        assert first.cell == second.cell
        frames = [cell.predictions.assign(draw=draw) for draw, cell in enumerate((first, second))]
        columns = {name: np.concatenate([frame[name].to_numpy() for frame in frames]) for name in map(str, frames[0])}
        cells.append(MemoryCell.from_columns(first.cell, first.facts, columns))
    result = stability(section_of(cells), MMSA, "mae", dialects=())
    assert changed(result) == {"without draw 1": (1, 1)}
    assert "mine is significantly better than late-fusion without draw 1" in next(result.sentences())


def test_what_no_choice_changes_needs_no_sentence(tmp_path: Path) -> None:
    store = write_store(tmp_path, {"late-fusion": steady(0.5), "mine": steady(0.1), "twin": steady(0.1)})
    result = stability(section_of(store.cells()), MMSA, "mae")
    pairs = {(result.rows[i], result.rows[j]): c.verdict for (i, j), c in result.reported.items()}
    assert pairs["late-fusion", "mine"] == -1
    assert not [sentence for sentence in result.sentences() if "late-fusion" in sentence]


def test_nothing_is_left_out_of_one_seed_and_one_level(tmp_path: Path) -> None:
    store = write_store(tmp_path, {"late-fusion": steady(0.5), "mine": steady(0.1)}, seeds=(1,), levels=(0.0,))
    assert not stability(section_of(store.cells()), MMSA, "mae", dialects=()).choices


def test_whether_clustered_samples_are_independent_is_a_choice(tmp_path: Path) -> None:
    def by_video(label: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
        return label + 0.3 + 0.8 * np.repeat(np.random.default_rng(7).standard_normal(12), 10)

    ids = [f"v{video}[{segment}]" for video in range(12) for segment in range(10)]
    store = write_store(tmp_path, {"late-fusion": by_video, "mine": steady(0.5)}, ids=ids)
    result = stability(section_of(store.cells()), MMSA, "mae", dialects=())
    assert "if samples of one video were independent" in [choice.name for choice in result.choices]


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_a_row_without_the_seed_that_is_left_is_left_out(seeds: tuple[int, ...], tmp_path: Path) -> None:
    write_store(tmp_path, {"late-fusion": steady(0.5), "mine": steady(0.1)}, seeds=(1, 2), run="both")
    write_store(tmp_path, {"late-fusion": steady(0.5), "mine": steady(0.1), "new": steady(0.3)}, seeds=seeds, run="one")
    result = stability(section_of(Store(tmp_path).cells()), MMSA, "mae", dialects=())
    pairs = {choice.name: len(choice.comparisons) for choice in result.choices if "seed" in choice.name}
    assert pairs == {"without seed 1": 3 if 2 in seeds else 1, "without seed 2": 3}
