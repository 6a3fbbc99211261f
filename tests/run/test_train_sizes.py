"""Learning curves from the command line: keys, resuming, tables, figures, and the sizes that are refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commandline import Done, bench
from fakestore import noisy, write_store
from smallstudy import SHORT

from qamoe_bench.analysis.learning import LearningCurve, learning_curves, learning_point
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.report.tables import analyses, chapters
from qamoe_bench.store.store import Store, StoredCell

Bench = Callable[..., Done]
MODELS = ("--model", f"late-fusion:{SHORT}", "--model", "mean", "--protocol", "random-missing", "--seeds", "1")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    return lambda *arguments: bench(arguments, capsys, monkeypatch)


def test_each_size_is_a_data_set_of_its_own_and_all_together_a_curve(
    run: Bench, write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    data = write_pickle()
    command = ("run", *MODELS, "--data", data, "--executor", "local", "--results", tmp_path / "r")
    done = run(*command, "--train-size", "10,20,40")
    assert done.code == 0, done.err
    cells = Store(tmp_path / "r").cells()
    by_name = {c.cell.dataset: c.facts.train_size for c in cells}
    assert set(by_name) == {"tiny", "tiny (n=10)", "tiny (n=20)"}
    assert {name: facts.get("samples") for name, facts in by_name.items()} == {
        "tiny": None,
        "tiny (n=10)": 10,
        "tiny (n=20)": 20,
    }
    assert len({c.cell.data_digest for c in cells}) == 3
    assert len({c.cell.key for c in cells}) == len(cells) == 6

    # Samples and corruption of the test split are the same, so the sizes can be compared.
    by_size = {c.cell.dataset: c for c in cells if c.cell.model == "mean"}
    missing = {name: c.column("missing_text") for name, c in by_size.items()}
    assert all(np.array_equal(values, missing["tiny"]) for values in missing.values())

    # All training samples are the data set itself: a run without the option finds its cells, and so does the same.
    assert "nothing to do: all 2 cells are stored" in run(*command).err
    assert "nothing to do: all 6 cells are stored" in run(*command, "--train-size", "10,20,40").err
    assert "nothing to do: all 2 cells are stored" in run(*command, "--train-size", "20").err

    assert "Learning curves: random-missing on tiny" in done.out
    assert "n=10" in done.out
    report = run("report", "--results", tmp_path / "r", "--format", "json")
    assert {record["dataset"] for record in json.loads(report.out)} == set(by_name)
    figures = run("figures", "--results", tmp_path / "r", "--output", tmp_path / "f", "--kind", "learning")
    assert [Path(line).name for line in figures.out.split()] == ["tiny-random_missing-learning-mae-one_column.png"]


def test_a_dry_run_counts_the_cells_of_each_size(run: Bench, tmp_path: Path) -> None:
    command = ("run", *MODELS, "--train-size", "300,2000", "--dry-run", "--results", tmp_path / "r")
    done = run(*command)
    assert done.code == 0, done.err
    assert "6 cells: 0 are stored, 6 are left to evaluate, after 4 trainings" in done.out
    assert done.out.count("synthetic (n=2000)") == 3
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ("0", "got 0"),
        ("1", "got 1"),
        ("-3", "got -3"),
        ("300,300", "got 300 twice"),
        ("300,0300", "got 300 twice"),
        ("1000000000", "got 1000000000"),
        ("many", "--train-size 'many': expected whole numbers"),
        ("", "--train-size '': expected whole numbers"),
        ("300,", "expected whole numbers"),
        ("1e3", "expected whole numbers"),
        ("3_00", "expected whole numbers"),
        ("9" * 5000, "expected whole numbers"),
        ("41", "expected at most the 40 training samples of 'tiny'"),
    ],
)
def test_sizes_that_no_training_can_use_are_refused(
    sizes: str, said: str, run: Bench, write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    data = write_pickle()
    done = run("run", *MODELS, "--data", data, "--train-size", sizes, "--results", tmp_path / "r", "--dry-run")
    assert said in done.refusal()


def test_a_checkpoint_is_not_trained_on_any_size(run: Bench, tmp_path: Path) -> None:
    command = ("run", "--protocol", "clean", "--model", "mean", "--checkpoint", tmp_path / "w", "--train-size", "300")
    assert "a checkpoint with sizes; leave one out" in run(*command).refusal()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[10, 20]", ""),
        ("[10, 10]", "'train_sizes': --train-size: expected"),
        ("[0]", "'train_sizes': --train-size: expected"),
        (f"[1{'0' * 30}]", "got one of many digits"),
        ("[true]", "'train_sizes': expected a list of whole numbers"),
        ('["10"]', "'train_sizes': expected a list of whole numbers"),
        ("10", "'train_sizes': expected a list of whole numbers"),
    ],
)
def test_a_study_names_sizes(
    value: str, said: str, run: Bench, write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    lines = ["schema = 1", f'data = ["{write_pickle()}"]', 'protocols = ["clean"]', 'models = ["mean"]']
    study = tmp_path / "study.toml"
    study.write_text("\n".join([*lines, f"train_sizes = {value}"]), encoding="utf-8")
    done = run("run", study, "--dry-run", "--results", tmp_path / "r")
    if said:
        assert said in done.refusal()
    else:
        assert "tiny (n=20)" in done.out


# Curves of made-up predictions.

SPREADS = {"late-fusion": 1.0, "better": 0.4, "mean": 2.0, "oracle": 0.1}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCell]:
    """Three sizes, of which the largest is the data set itself; one more model there, and less noise with more data."""
    cells: list[StoredCell] = []
    for size, factor in ((10, 2.0), (100, 1.5), (1000, 1.0)):
        models = {name: noisy(spread if name == "oracle" else factor * spread) for name, spread in SPREADS.items()}
        if size == 1000:
            models["alone"] = noisy(1.0)
        digest = "whole" if size == 1000 else f"part {size}"
        name = "made-up" if size == 1000 else f"made-up (n={size})"
        store = write_store(tmp_path_factory.mktemp("s"), models, samples=80, dataset=name, data_digest=digest)
        facts = {"samples": size, "base_samples": 1000, "base": "made-up", "base_digest": "whole"}
        for cell in store.cells():
            about = cell.facts if size == 1000 else replace(cell.facts, train_size=facts)
            cells.append(replace(cell, facts=about))
    return cells


def curves_of(cells: list[StoredCell]) -> list[LearningCurve]:
    points = []
    for analysis in analyses(cells, DIALECTS["mmsa"], ("mae",)):
        points.append(learning_point(analysis.section, analysis.headline, analysis.summaries["mae"]))
    return learning_curves(points)


def test_a_curve_joins_the_sizes_and_the_data_set_itself(parts: list[StoredCell]) -> None:
    (curve,) = curves_of(parts)
    assert curve.sizes == (10, 100, 1000)
    assert curve.names == ("better", "late-fusion", "mean", "oracle")
    assert (curve.oracles, curve.left_out, curve.seeds) == (("oracle",), ("alone",), (3,))
    assert (np.diff(curve.mean.value[:3]) < 0).all()  # less noise with more samples
    by_size = dict(zip(curve.sizes, curve.mean.value[1], strict=True))
    for analysis in analyses(parts, DIALECTS["mmsa"], ("mae",)):
        mean = analysis.summaries["mae"]["mean"].estimate().value
        size = analysis.section.train_size.get("samples", 1000)
        row = [row.name for row in analysis.section.rows].index("late-fusion")
        assert by_size[size] == mean[row]
    assert curve.reached is not None
    assert curve.reached.value[2:].tolist() == [[0, 0, 0], [1, 1, 1]]  # mean and oracle
    assert (curve.reached.low[:2] < curve.reached.value[:2]).all()


def test_sizes_of_other_data_and_single_sizes_make_no_curve(parts: list[StoredCell]) -> None:
    assert curves_of([c for c in parts if c.cell.data_digest == "whole"]) == []
    assert curves_of([c for c in parts if c.cell.data_digest == "part 10"]) == []
    # Data of the same name with another content are another curve.
    changed = []
    for c in parts:
        is_whole = c.cell.data_digest == "whole"
        changed.append(replace(c, cell=replace(c.cell, data_digest="other")) if is_whole else c)
    (curve,) = curves_of(changed)
    assert curve.sizes == (10, 100)


def test_the_report_compares_sizes_in_their_table_and_in_no_ranking(parts: list[StoredCell]) -> None:
    made = chapters(analyses(parts, DIALECTS["mmsa"], ("mae",)), [])
    headings = ["Learning curves: p on made-up", "p on made-up", "p on made-up (n=10)", "p on made-up (n=100)"]
    assert [chapter.heading for chapter in made] == headings  # and no overview, since one data set is whole
    values, shares = made[0].tables
    assert values.header == ("model", "n=10", "100", "1000")
    assert [row[0] for row in values.rows] == ["better", "late-fusion", "mean", "oracle"]
    assert values.notes == ("left out, with one number of training samples: alone",)
    assert values.rows[0][1].count("±") == 1
    assert [cell for row in shares.rows[2:] for cell in row[1:]] == ["0.0"] * 3 + ["100.0"] * 3
