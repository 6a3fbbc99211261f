"""The gate: significantly worse, missing or changed rows fail; rows that are equal, or equal up to chance, pass."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
import torch
from commandline import bench
from fakestore import Answer, noisy, write_store
from numpy.typing import NDArray
from storedcell import rewrite_cell
from typer.testing import CliRunner

from qamoe_bench.analysis.check.check import Expected, Verdict, compare_stores
from qamoe_bench.analysis.check.findings import Limits
from qamoe_bench.cli.main import app
from qamoe_bench.data.open import open_dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.choice import chosen
from qamoe_bench.registry import find_model
from qamoe_bench.report.verdict import annotations, junit, summary, verdict_table
from qamoe_bench.run.planner import plan
from qamoe_bench.run.presets import PRESETS
from qamoe_bench.run.request import Request
from qamoe_bench.run.runner import run_plan
from qamoe_bench.seeding import seeded
from qamoe_bench.store.store import Store
from qamoe_bench.training.checkpoint import save_weights
from qamoe_bench.training.exposure import SPECTRUM
from qamoe_bench.training.loop import train

METRICS = ("acc2_non0", "acc7", "mae", "corr")
MODELS: dict[str, Answer] = {"late-fusion": noisy(1.0), "ours": noisy(0.5), "oracle": noisy(0.1)}


def judged(reference: Store, results: Store, *seeds: int, **limits: float) -> Verdict:
    return compare_stores(reference, results, chosen("mmsa", METRICS), Limits(**limits), Expected(seeds))


def stores(tmp_path: Path, now: dict[str, Answer] | None = None, **changes: Any) -> tuple[Store, Store]:
    reference = write_store(tmp_path / "ref", MODELS, samples=300)
    return reference, write_store(tmp_path / "now", now or MODELS, samples=300, **changes)


def test_the_same_results_pass_without_a_finding(tmp_path: Path) -> None:
    verdict = judged(*stores(tmp_path))
    assert verdict.findings == ()
    assert verdict.numbers == 3 * 4 * 4  # rows, metrics, three levels and their mean
    assert summary(verdict) == "compared 3 rows (48 values): no regressions, 0 improvements"
    assert verdict_table(verdict) is None


def test_a_worse_model_fails_and_metric_and_level_are_named(tmp_path: Path) -> None:
    verdict = judged(*stores(tmp_path, {**MODELS, "ours": noisy(1.5)}))
    assert {f.name[2] for f in verdict.findings} == {"ours"}
    assert {f.kind for f in verdict.findings} == {"worse"}
    assert ("mae", "η=0") in {(f.what, f.where) for f in verdict.findings}
    assert ("acc7", "mean") in {(f.what, f.where) for f in verdict.findings}
    assert not any(
        f.is_regression
        for f in judged(*stores(tmp_path / "big", {**MODELS, "ours": noisy(1.5)}), tolerance=9.0).findings
    )


def test_a_better_model_passes_and_is_reported(tmp_path: Path) -> None:
    verdict = judged(*stores(tmp_path, {**MODELS, "late-fusion": noisy(0.3)}))
    assert verdict.regressions == ()
    assert {f.kind for f in verdict.findings} == {"better"}


def test_one_level_alone_is_found_and_no_other(tmp_path: Path) -> None:
    def dip(label: NDArray[np.float64], level: float, random: np.random.Generator) -> NDArray[np.float64]:
        good = noisy(0.5)(label, level, random)
        return good if level != 0.3 else good + 1.5 * random.standard_normal(len(label))

    verdict = judged(*stores(tmp_path, {**MODELS, "ours": dip}))
    assert {f.where for f in verdict.regressions} <= {"0.3", "mean"}
    assert ("mae", "0.3") in {(f.what, f.where) for f in verdict.regressions}


def test_chance_alone_hardly_ever_fails(tmp_path: Path) -> None:
    """The same models trained twenty times again: other errors of the same size."""

    def another(spread: float, trial: int) -> Answer:
        def predict(label: NDArray[np.float64], level: float, random: np.random.Generator) -> NDArray[np.float64]:
            own = np.random.default_rng([trial, int(random.integers(2**31))])
            return noisy(spread)(label, level, own)

        return predict

    reference = write_store(tmp_path / "ref", MODELS)
    for trial in range(20):
        now = write_store(
            tmp_path / f"{trial}",
            {"late-fusion": another(1.0, trial), "ours": another(0.5, trial), "oracle": MODELS["oracle"]},
        )
        assert judged(reference, now).regressions == ()


def test_lost_seeds_and_rows_fail_unless_they_are_not_expected(tmp_path: Path) -> None:
    reference, now = stores(tmp_path)
    for cell in now.cells():
        if cell.cell.seed == 3 or cell.cell.model == "oracle":
            cell.path.unlink()
    verdict = judged(reference, now)
    assert {(f.kind, f.name[2]) for f in verdict.findings} == {("lost", m) for m in MODELS}
    assert "seed 3" in next(f.detail for f in verdict.findings if f.name[2] == "ours")
    assert {f.name[2] for f in judged(reference, now, 1, 2).findings} == {"oracle"}


def test_only_the_protocols_and_models_that_are_expected_are_missed(tmp_path: Path) -> None:
    reference, now = stores(tmp_path, {**MODELS, "other": noisy(0.7)})
    write_store(reference.root, {"other": noisy(0.7)}, samples=300)
    write_store(reference.root, {"ours": noisy(0.5)}, samples=300, protocol="q")
    for cell in now.cells():
        if cell.cell.model == "other":
            cell.path.unlink()

    def missed(protocols: Sequence[str] = (), models: Sequence[str] = ()) -> set[tuple[str, str]]:
        verdict = compare_stores(reference, now, chosen("mmsa", METRICS), Limits(), Expected((), protocols, models))
        assert {f.kind for f in verdict.findings} <= {"lost"}
        return {(f.name[1], f.name[2]) for f in verdict.findings}

    assert missed() == {("p", "other"), ("q", "ours")}
    assert missed(protocols=["p"]) == {("p", "other")}
    assert missed(protocols=["p"], models=["ours"]) == set()
    with pytest.raises(BenchError, match="unknown protocol of this store 'pp'"):
        missed(protocols=["pp"])
    with pytest.raises(BenchError, match="unknown model of this store 'our'.*did you mean 'ours'"):
        missed(models=["our"])
    with pytest.raises(BenchError, match="select fewer"):
        missed(protocols=["q"], models=["other"])


@pytest.mark.parametrize(("field", "kind"), [("data_digest", "changed data"), ("protocol_digest", "changed protocol")])
def test_rows_with_a_changed_digest_are_not_compared_but_fail(tmp_path: Path, field: str, kind: str) -> None:
    verdict = judged(*stores(tmp_path, None, **{field: "other"}))
    assert {f.kind for f in verdict.findings} == {kind}
    assert verdict.compared == ()


def test_a_metric_that_became_undefined_fails(tmp_path: Path) -> None:
    constant: Answer = lambda label, level, random: np.zeros(len(label))  # noqa: E731
    verdict = judged(*stores(tmp_path, {**MODELS, "ours": constant}), tolerance=99.0)
    assert {(f.kind, f.what) for f in verdict.findings} == {("undefined", "corr")}


def rewrite(store: Store, model: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the facts of a model's cells."""
    for cell in store.cells():
        if cell.cell.model == model:
            rewrite_cell(cell.path, change=lambda about: change(about["facts"]))


def set_speed(store: Store, model: str, seconds: float) -> None:
    rewrite(store, model, lambda facts: facts.update(seconds_per_sample=seconds))


def test_speed_is_judged_as_a_ratio_to_the_control_of_the_same_run(tmp_path: Path) -> None:
    reference, now = stores(tmp_path)
    for store, factor in ((reference, 1), (now, 10)):  # all ten times slower: another machine
        set_speed(store, "late-fusion", 0.001 * factor)
        set_speed(store, "ours", 0.002 * factor)
    assert judged(reference, now).findings == ()
    set_speed(now, "ours", 0.05)
    (finding,) = judged(reference, now).findings
    assert (finding.kind, finding.name[2]) == ("slower", "ours")
    assert "2.00 times the control's time became 5.00" in finding.detail
    assert judged(reference, now, slowdown=3.0).findings == ()


def test_two_versions_in_the_results_are_noted_and_in_a_reference_refused(tmp_path: Path) -> None:
    reference, now = stores(tmp_path)
    write_store(tmp_path / "now", {"late-fusion": noisy(1.0)}, samples=300, recipe="other")
    assert any("several versions" in note for note in judged(reference, now).notes)
    with pytest.raises(BenchError, match="two versions of made-up p late-fusion"):
        judged(now, reference)


def touched(store: Store, order: int) -> Store:
    """The store with times of files that rise or fall with their names, or that are equal."""
    for place, path in enumerate(sorted(store.root.rglob("*"))):
        os.utime(path, (0, 1e9 + order * place))
    return store


@pytest.mark.parametrize("order", [-1, 0, 1])
@pytest.mark.parametrize("recorded", [True, False])
def test_which_version_is_judged_is_the_same_whatever_the_times_of_files(
    tmp_path: Path, order: int, recorded: bool
) -> None:
    reference, now = stores(tmp_path, finished="2026-01-01T00:00:00.000+00:00" if recorded else "")
    later = "2026-01-02T00:00:00.000+00:00" if recorded else ""
    write_store(now.root, {"ours": noisy(1.5)}, samples=300, run="a", recipe="beef", finished=later)
    cells = [c for c in now.cells() if c.cell.model == "ours"]
    verdict = judged(touched(reference, order), touched(now, order))
    (note,) = [note for note in verdict.notes if "several versions" in note]
    if recorded:
        assert {f.name[2] for f in verdict.regressions} == {"ours"}
        assert note == "ours under p is stored in several versions, the newest: compared #beef (seed 1, 2, 3)"
    else:  # an older version of this package recorded no time: the last key of each seed is judged, and it is said
        last = [max((c for c in cells if c.cell.seed == seed), key=lambda c: c.cell.key) for seed in (1, 2, 3)]
        assert "so that keys decided" in note
        for cell in last:
            assert f"#{cell.cell.recipe[:4]}" in note
    copy = Store(shutil.copytree(now.root, tmp_path / "copy"))
    assert judged(reference, copy).findings == verdict.findings
    assert judged(reference, copy).notes == verdict.notes


def test_two_versions_of_a_protocol_are_noted_and_the_newest_is_judged(tmp_path: Path) -> None:
    reference, now = stores(tmp_path, finished="2026-01-02")
    write_store(now.root, MODELS, samples=300, run="a", protocol_digest="older", finished="2026-01-01")
    verdict = judged(reference, now)
    assert verdict.findings == ()
    assert len(verdict.notes) == 3
    with pytest.raises(BenchError, match="two versions of made-up p late-fusion"):
        judged(now, reference)


NOTHING: dict[str, tuple[dict[str, Any], str]] = {
    "other seeds": ({"seeds": (7, 8)}, "expected seed 1, 2, 3, got 7, 8"),
    "another protocol": ({"protocol": "q"}, "expected protocol p, got q"),
    "other data": ({"dataset": "mosi"}, "expected dataset made-up, got mosi"),
    "another model": ({"models": {"theirs": noisy(1.0)}}, "expected model late-fusion, oracle, ours, got theirs"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_where_nothing_can_be_compared_it_is_a_mistake_and_no_verdict(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options, words = NOTHING[case]
    reference = write_store(tmp_path / "ref", MODELS)
    now = write_store(tmp_path / "now", **{"models": MODELS, **options})
    line = bench(("check", "--reference", reference.root, "--results", now.root), capsys, monkeypatch).refusal()
    assert "nothing to compare" in line
    assert words in line


def test_an_empty_store_or_one_named_too_deep_is_a_mistake_with_a_true_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_store(tmp_path / "ref", MODELS)
    (tmp_path / "empty" / "runs").mkdir(parents=True)

    def refusal(reference: Path, results: Path, *more: str) -> str:
        return bench(("check", "--reference", reference, "--results", results, *more), capsys, monkeypatch).refusal()

    assert "expected results to check" in refusal(store.root, tmp_path / "empty")
    assert "expected a reference" in refusal(tmp_path / "empty", store.root)
    assert "got seeds 1, 2, 3; name some of these" in refusal(store.root, store.root, "--seeds", "42")
    for deeper in ("runs", "runs/made-up"):
        assert refusal(store.root / deeper, store.root).endswith(f"expected a reference; name {store.root}")
        assert refusal(store.root, store.root / deeper).endswith(f"expected results to check; name {store.root}")


def test_other_versions_of_packages_are_noted(tmp_path: Path) -> None:
    reference, now = stores(tmp_path)
    for store, version in ((reference, "2.6"), (now, "2.13")):
        engine = {"versions": {"torch": version, "numpy": "2.4"}}
        store.prepare("another")
        store.write_manifest("another", {"data": {"name": "d"}, "protocols": {}, "cells": [], "engine": engine})
    assert judged(reference, now).notes == ("torch 2.6 became 2.13",)


def test_seeds_run_by_different_code_are_one_row(tmp_path: Path) -> None:
    reference, now = stores(tmp_path)
    for cell in now.cells():
        if cell.cell.seed == 2:
            cell.path.unlink()
    write_store(tmp_path / "now", {**MODELS, "ours": noisy(1.5)}, seeds=(2,), samples=300, recipe="other")
    verdict = judged(reference, now)
    assert not [f for f in verdict.findings if f.kind == "lost"]
    assert {f.name[2] for f in verdict.regressions} <= {"ours"}
    assert {name[2] for name in verdict.compared} == set(MODELS)


def test_tables_junit_and_github_report_the_same(tmp_path: Path) -> None:
    verdict = judged(*stores(tmp_path, {**MODELS, "ours": noisy(1.5)}))
    table = verdict_table(verdict)
    assert table is not None
    assert len(table.rows) == min(len(verdict.findings), 20)
    suite = ElementTree.fromstring(junit(verdict))
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    (failure,) = suite.iter("failure")
    assert (failure.text or "").count("worse in") == len(verdict.regressions)
    (line,) = annotations(verdict)
    assert line.startswith("::error title=qamoe-bench worse::ours (spectrum) under p on made-up: worse in ")


def test_the_command_gives_its_verdict_as_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    reference, now = stores(tmp_path, {**MODELS, "ours": noisy(1.5)})
    call = ["check", "--reference", str(reference.root), "--results"]
    same = CliRunner().invoke(app, [*call, str(reference.root)])
    assert same.exit_code == 0
    assert "no regressions" in same.stdout
    worse = CliRunner().invoke(app, [*call, str(now.root), "--junit", str(tmp_path / "j.xml")])
    assert worse.exit_code == 1
    assert "ours (spectrum)" in worse.stdout
    assert "::error" not in worse.stdout
    assert ElementTree.parse(tmp_path / "j.xml").getroot().get("failures") == "1"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert "::error title" in CliRunner().invoke(app, [*call, str(now.root)]).stdout
    shutil.rmtree(now.root)
    nothing = CliRunner().invoke(app, [*call, str(now.root)])
    assert isinstance(nothing.exception, BenchError)  # `main` makes it one line and exit status 2
    assert "expected results to check" in str(nothing.exception)


def test_perturbed_weights_fail_and_an_unchanged_rerun_passes(tmp_path: Path) -> None:
    """From end to end: a trained model, its weights disturbed, under real corruption."""
    data = open_dataset("synthetic")
    with seeded("start"):  # otherwise the weights depend on the tests that ran before
        model = find_model("late-fusion").builder()(data.spec)
    short = replace(PRESETS["quick"].training, epochs=12, selection_window=1)
    train(model, data, SPECTRUM, 1, short, torch.device("cpu"))

    def results(name: str, model: torch.nn.Module) -> Store:
        weights = tmp_path / f"{name}.safetensors"
        save_weights(model, {}, weights)
        request = Request(("random-missing",), ("late-fusion",), "synthetic", (1, 2), checkpoint=str(weights))
        store = Store(tmp_path / name)
        run_plan(plan(request), store, jobs=1)
        return store

    reference = results("good", model)
    assert judged(reference, results("again", model)).findings == ()
    with torch.no_grad(), seeded("perturbed"):
        for parameter in model.parameters():
            parameter += parameter.std(correction=0) * torch.randn_like(parameter)
    regressions = judged(reference, results("perturbed", model)).regressions
    assert ("mae", "η=0") in {(f.what, f.where) for f in regressions}
    assert {f.kind for f in regressions} == {"worse"}


def test_a_perturbed_model_fails_though_its_change_is_small_against_the_spread_of_samples(tmp_path: Path) -> None:
    """A paired test detects what two separate intervals would not."""

    def moved(table: pa.Table) -> pa.Table:
        prediction = pa.array((table.column("prediction").to_numpy() * 0.85).astype(np.float32))
        return table.set_column(table.schema.get_field_index("prediction"), "prediction", prediction)

    reference, now = stores(tmp_path)
    for cell in now.cells():
        if cell.cell.model == "ours":
            rewrite_cell(cell.path, moved)
    verdict = judged(reference, now)
    assert {(f.kind, f.what) for f in verdict.findings} >= {("worse", "mae")}
