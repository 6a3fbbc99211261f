"""The summary of a report: its verdict is what the tests support, and the best row comes first in every table."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from commandline import bench
from fakestore import Answer, noisy, write_store

from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.report.formats.choice import BY_SUFFIX, format_by_ending
from qamoe_bench.report.formats.latex import latex
from qamoe_bench.report.table import Chapter, Table, fitted, sorted_by
from qamoe_bench.report.tables import analyses, chapters


def guess(label: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    return np.full(len(label), 0.1)


def summarised(
    root: Path, models: Mapping[str, Answer], metrics: Sequence[str] = ("mae",), seeds: Sequence[int] = (1, 2, 3)
) -> Chapter:
    store = write_store(root, models, seeds=seeds)
    results = analyses(store.cells(), DIALECTS["mmsa"], metrics, audits=False)
    (chapter,) = chapters(results, store.manifests(), complete=False)
    return chapter


def test_one_leader_two_leaders_and_none(tmp_path: Path) -> None:
    base = {"mean": guess, "late-fusion": noisy(1.0), "oracle": noisy(0.05)}
    one = summarised(tmp_path / "1", {**base, "good": noisy(0.3)}).verdict
    assert one.startswith("good leads: its mae is significantly better than that of every other model; 1 of 1 pair of")
    assert "The best mean, of good, closes" in one
    two = summarised(tmp_path / "2", {**base, "good": noisy(0.3), "fine": noisy(0.3)}).verdict
    assert "lead in mae and do not differ significantly; 2 of 3 pairs of models differ significantly." in two
    assert two.split(" lead in ")[0] in ("good and fine", "fine and good")
    assert "Of these, good has the fewest parameters (40)." in two
    none = summarised(tmp_path / "3", {**base, "a": noisy(1.0), "b": noisy(1.0)}).verdict
    assert none.startswith("No model leads: the 3 models do not differ significantly in mae.")


def test_many_leaders_are_counted_and_the_model_without_inputs_is_no_leader(tmp_path: Path) -> None:
    same = {name: noisy(0.3) for name in "abcde"}
    many = summarised(tmp_path / "1", {"mean": guess, "late-fusion": noisy(2.0), **same}).verdict
    assert many.startswith("No single model leads in mae: ")
    assert " and 2 more do not differ significantly; 5 of 15 pairs" in many
    worse = {"mean": guess, "late-fusion": lambda label, level, random: -3 * label, "b": noisy(40.0)}
    beaten = summarised(tmp_path / "2", worse).verdict
    assert beaten.startswith("mean, which ignores its inputs, is significantly better than every model; ")
    equal = {"mean": guess, "late-fusion": guess, "b": noisy(9.0)}
    tied = summarised(tmp_path / "3", equal).verdict
    assert "None of them is significantly better than mean, which ignores its inputs." in tied


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    alone = summarised(tmp_path / "1", {"mean": guess, "late-fusion": noisy(1.0)}).verdict
    assert alone == "Fewer than two models have a mean mae over all levels: there is nothing to compare."
    constant = summarised(tmp_path / "2", {"a": guess, "b": guess}, ["corr"]).verdict
    assert constant == "Fewer than two models have a mean corr over all levels: there is nothing to compare."
    seed = summarised(tmp_path / "3", {"a": noisy(0.3), "b": noisy(2.0)}, seeds=(7,)).verdict
    assert seed.endswith("With one seed, the variation between trainings is not covered.")


def test_the_best_row_is_first_and_the_oracle_last_in_every_table(tmp_path: Path) -> None:
    models = {"mean": guess, "late-fusion": noisy(1.0), "good": noisy(0.3), "oracle": noisy(0.05)}
    chapter = summarised(tmp_path, models, ["acc7", "mae", "corr"])
    assert [table.title.split(",")[0] for table in chapter.tables] == [
        "Ranking by mae", "mae (lower is better): mean absolute error", "Other metrics",
    ]  # fmt: skip
    for table in chapter.tables:
        assert [row[0] for row in table.rows] == ["good", "late-fusion", "mean", "oracle"]
    ranking = chapter.tables[0]
    assert ranking.best == {(0, 1)}
    assert ranking.header == ("model", "mae ±", "rank", "clean", "worst", "gap %", "parameters")  # no measured time
    assert "% of modalities missing" in " ".join(chapter.lines)
    text = latex([chapter])
    assert "\\textbf{good leads: " in text


def test_rows_and_columns_are_sorted_with_what_belongs_to_them() -> None:
    table = Table(
        "t", ("", "x", "y"), (("b", "1", "2"), ("a", "3", "4")), best=frozenset({(0, 2)}), trends=((1,), (3,))
    )
    by_rows = sorted_by(["a", "b", "c"], table)
    assert by_rows.rows[0] == ("a", "3", "4")
    assert by_rows.best == {(1, 2)}
    assert by_rows.trends == ((3,), (1,))
    by_columns = sorted_by(["y", "x"], table)
    assert by_columns.header == ("", "y", "x")
    assert by_columns.rows[0] == ("b", "2", "1")
    assert by_columns.best == {(0, 1)}
    assert sorted_by(["q"], table) == table
    wide = Table("t", ("m", *["a long head"] * 9), tuple((name, *map(str, range(9))) for name in "ab"))
    assert sorted_by(["b", "a"], fitted(wide)).header == ("", "b", "a")


@pytest.mark.parametrize(("suffix", "format"), BY_SUFFIX.items())
def test_the_ending_of_a_file_decides_its_format(suffix: str, format: str) -> None:
    assert format_by_ending(Path(f"r{suffix}")) == format_by_ending(Path(f"R{suffix.upper()}")) == format
    assert format_by_ending(Path(f"r{suffix}"), format) == format


def test_two_formats_or_none_are_refused() -> None:
    with pytest.raises(BenchError, match=r"--format latex with --output r.html: expected one format, got latex and ht"):
        format_by_ending(Path("r.html"), "latex")
    for name in ("r.pdf", "r.html.gz", "r.htlm"):
        with pytest.raises(BenchError, match=r"expected a name that ends in .*; rename the file, or add --format"):
            format_by_ending(Path(name))
        assert format_by_ending(Path(name), "html") == "html"
    assert format_by_ending(None) == format_by_ending(Path("report")) == "terminal"


def test_depths_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_store(tmp_path, {"late-fusion": noisy(1.0), "good": noisy(0.3)}, audits="new")
    call = ("report", "--results", tmp_path, "--metric", "mae")
    short = bench(call, capsys, monkeypatch)
    long = bench((*call, "--all"), capsys, monkeypatch)
    assert "Do the quality scores matter?" in long.out
    assert "Do the quality scores matter?" not in short.out
    assert short.out.count("good leads: ") == long.out.count("good leads: ") == 1
    assert "--all (all tables)" in short.err
    assert "--all" not in long.err
    for name, words in (
        ("r.md", "**mae: summary over all levels**"),
        ("r.json", '"metric": "mae"'),
        ("r.csv", ",mae,"),
    ):
        assert bench((*call, "--output", tmp_path / name), capsys, monkeypatch).code == 0
        assert words in (tmp_path / name).read_text(encoding="utf-8")
    for options, words in (
        (("--all", "--overview"), "leave out one"),
        (("--pager", "--output", tmp_path / "r.txt"), "leave out --pager"),
        (("--pager", "--format", "json"), "leave out --pager"),
        (("--overview", "--output", tmp_path / "o.json"), "unknown format 'json'"),
    ):
        assert words in bench((*call, *options), capsys, monkeypatch).refusal()
