"""Reports of large stores: a part of one, an overview, sections in threads, families of tests without p-values."""

import json
import threading

import numpy as np
import pytest
from fakestore import noisy, write_store
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from qamoe_bench.analysis import parallel as threads
from qamoe_bench.analysis.parallel import map_in_order
from qamoe_bench.analysis.selection import select
from qamoe_bench.cli import console
from qamoe_bench.cli.main import app
from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.choice import chosen
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.report.overview import overviews
from qamoe_bench.report.records import as_json, records
from qamoe_bench.report.table import Chapter
from qamoe_bench.report.tables import analyses
from qamoe_bench.statistics.multiple_testing import rejected, step_down
from qamoe_bench.store.store import Store

MODELS = {
    "mean": lambda label, level, random: np.zeros(len(label)),
    "late-fusion": noisy(1.0),
    "good": noisy(0.4),
    "good:-half": noisy(1.0),
    "bad": noisy(2.0),
    "oracle": noisy(0.1),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("store")
    for protocol in ("missing", "noise-text", "noise-audio"):
        write_store(root, MODELS, run=protocol, protocol=protocol)
    return Store(root)


def names(store: Store, **wanted: list[str]) -> set[tuple[str, str]]:
    return {(c.cell.protocol, c.cell.model) for c in select(store.cells(), **wanted)}


def test_a_selection_keeps_what_matches_and_the_rows_that_numbers_refer_to(store: Store) -> None:
    points = {"mean", "late-fusion", "oracle"}
    assert {p for p, _ in names(store, protocols=["noise-*"])} == {"noise-text", "noise-audio"}
    assert {m for _, m in names(store, models=["good"])} == {*points, "good"}
    assert {m for _, m in names(store, models=["good*"])} == {*points, "good", "good:-half"}
    assert names(store, protocols=["missing"], models=["bad"]) == {("missing", m) for m in {*points, "bad"}}
    assert len(names(store)) == 3 * len(MODELS)


def test_a_pattern_that_nothing_matches_names_the_nearest(store: Store) -> None:
    with pytest.raises(BenchError, match="unknown protocol of this store 'noise-txt'.*did you mean 'noise-text'"):
        select(store.cells(), ["missing", "noise-txt"])
    with pytest.raises(BenchError, match="unknown model of this store"):
        select(store.cells(), models=["x*"])


def test_a_protocol_reads_the_same_alone_as_among_others(store: Store) -> None:
    alone = list(records(analyses(select(store.cells(), ["missing"]), DIALECTS["mmsa"], ["mae"])))
    among = list(records(analyses(store.cells(), DIALECTS["mmsa"], ["mae"])))
    assert alone == [r for r in among if r["protocol"] == "missing"]
    assert len(among) == 3 * len(alone)


def lines(chapter: Chapter, table: int) -> dict[str, dict[str, str]]:
    shown = chapter.tables[table]
    return {row[0]: dict(zip(shown.header[1:], row[1:], strict=True)) for row in shown.rows}


def test_an_overview_says_what_the_report_of_each_protocol_says(store: Store) -> None:
    (chapter,) = overviews(store.cells(), chosen("mmsa", ["mae"]))
    whole = list(records(analyses(store.cells(), DIALECTS["mmsa"], ["mae"])))
    mean = {(r["protocol"], r["row"]): r["value"] for r in whole if r["statistic"] == "mean"}
    for protocol, line in lines(chapter, 0).items():
        assert line["best or tied"] == "good"
        assert line["mae"] == f"{mean[protocol, 'good']:.3f}"
        assert (line["rows"], line["seeds"], line["samples"]) == ("6", "3", "60")
    models = lines(chapter, 1)
    assert next(iter(models)) == "good"
    assert models["good"] == dict(zip(models["good"], ("3", "3", "1.0", "3", "0", "0"), strict=True))
    assert [models["bad"][k] for k in ("better", "undecided", "worse")] == ["0", "0", "3"]
    assert [models["good:-half"][k] for k in ("better", "undecided", "worse")] == ["0", "3", "0"]
    assert [models["late-fusion"][k] for k in ("better", "undecided", "worse")] == ["–"] * 3
    assert models["oracle"]["mean rank"] == "–"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--overview", "--format", "json"], "unknown format 'json'"),
        (["--overview", "--metric", "mae", "--metric", "corr"], "shows one metric, got --metric mae, corr"),
        (["--overview", "--metric", "mea"], "did you mean 'mae'"),
        (["--model", "goood"], "did you mean 'good'"),
    ],
)
def test_what_cannot_be_shown_is_refused(store: Store, arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(app, ["report", "--results", str(store.root), *arguments])
    assert isinstance(done.exception, BenchError)
    assert words in str(done.exception)


def test_the_command_shows_the_part_that_is_asked_for(store: Store) -> None:
    asked = ["report", "--results", str(store.root), "--metric", "mae"]
    out = CliRunner().invoke(app, [*asked, "--protocol", "noise-*", "--model", "good"]).stdout
    assert "noise-audio on made-up" in out
    assert "noise-text on made-up" in out
    assert "missing on made-up" not in out
    assert " late-fusion " in out
    assert " bad " not in out
    page = CliRunner().invoke(app, [*asked, "--overview"]).stdout
    assert "Overview of 3 protocols" in page


def test_a_report_that_nobody_reads_to_its_end_says_first_how_to_see_less(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["report", "--results", str(store.root), "--metric", "mae"]
    assert "lines of tables follow" not in CliRunner().invoke(app, asked).stderr
    monkeypatch.setattr(console, "LONG", 20)
    done = CliRunner().invoke(app, asked)
    assert "note: 4 chapters with" in done.stderr
    assert "--overview has one line per protocol" in done.stderr
    monkeypatch.undo()
    assert done.stdout == CliRunner().invoke(app, asked).stdout


def test_threads_keep_the_order_pass_on_what_fails_and_do_not_run_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: 3)
    began, both = list[int](), threading.Barrier(2, timeout=20)

    def work(item: int) -> int:
        began.append(item)
        if item in (0, 1):
            both.wait()  # two at a time, or this never ends
        if item == 5:
            raise ValueError("five")
        return 10 * item

    results = map_in_order(work, range(10))
    assert began == []
    assert next(results) == 0
    assert max(began) < 4
    assert [next(results) for _ in range(4)] == [10, 20, 30, 40]
    with pytest.raises(ValueError, match="five"):
        next(results)
    assert 9 not in began


def test_one_core_or_one_section_needs_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: 1)
    assert set(map_in_order(lambda _: threading.current_thread(), range(3))) == {threading.main_thread()}
    monkeypatch.setattr(threads, "usable_cores", lambda: 8)
    assert set(map_in_order(lambda _: threading.current_thread(), [0])) == {threading.main_thread()}


def test_json_is_laid_out_as_the_standard_encoder_does(store: Store) -> None:
    text = as_json(analyses(select(store.cells(), ["missing"]), DIALECTS["mmsa"], ["corr"]))
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"


@given(st.lists(st.one_of(st.floats(0, 0.1), st.just(float("nan"))), min_size=2, max_size=24))
def test_holm_by_levels_rejects_what_holm_by_p_values_does(values: list[float]) -> None:
    p = np.array(values[: len(values) // 2 * 2]).reshape(-1, 2)
    stepped = step_down(lambda alpha: p <= alpha, np.isfinite(p).sum(0))
    np.testing.assert_array_equal(stepped, np.stack([rejected(of) for of in p.T], axis=1))
