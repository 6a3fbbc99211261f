"""The first screen's data: ranking, answers in words, and numbers in 16 bits."""

import base64
from pathlib import Path

import numpy as np
from fakestore import Answer, noisy, write_store

from qamoe_bench.analysis.analyse import Analysis, analyse_section
from qamoe_bench.analysis.comparisons import pairwise_differences
from qamoe_bench.analysis.section import sections
from qamoe_bench.figures.palette import styles
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.page.answers import rounded_count
from qamoe_bench.page.board import base_model, board, row_facts, short_name
from qamoe_bench.page.packing import UNDEFINED, packed
from qamoe_bench.page.sentences import regimes_of


def analysis_of(folder: Path, models: dict[str, Answer], seeds: tuple[int, ...] = (1, 2)) -> Analysis:
    (section,) = sections(write_store(folder, models, seeds=seeds, samples=120).cells())
    return analyse_section(section, DIALECTS["mmsa"], ["mae"])


def answers(analysis: Analysis, regime: str = "") -> list[list[str]]:
    scores = analysis.scores[0]
    mean = analysis.summaries["mae"]["mean"].estimate()
    made = board(analysis.section, scores.metric, mean, pairwise_differences(analysis.section, scores))
    return [*made["answers"][regime]]


def test_one_leader_is_named_with_its_lead(tmp_path: Path) -> None:
    models = {"best": noisy(0.2), "late-fusion": noisy(1.0), "worst": noisy(2.0), "oracle": noisy(0.05)}
    robust, trust, cost = answers(analysis_of(tmp_path, models))
    assert robust[0] == "best leads"
    assert "(lower is better); the oracle has " in robust[1]
    assert trust == [
        "At the top, yes",
        "best is significantly better than every other model; 3 of 3 pairs of models differ significantly.",
    ]
    assert cost[0] == "10 parameters"


def test_leaders_that_are_not_distinguishable_are_named_together(tmp_path: Path) -> None:
    models = {"best": noisy(0.2), "twin": noisy(0.2), "late-fusion": noisy(1.0)}
    robust, trust, _ = answers(analysis_of(tmp_path, models))
    assert robust[0] in ("best and twin lead", "twin and best lead")
    assert trust[0] == "Not among the top two"
    assert trust[1].endswith("lead; they are not distinguishable. 2 of 3 pairs of models differ significantly.")


def test_without_a_significant_pair_the_order_is_not_to_be_trusted(tmp_path: Path) -> None:
    models = {name: noisy(0.5) for name in ("a", "b", "c", "d", "late-fusion")}
    robust, trust, _ = answers(analysis_of(tmp_path, models, seeds=(1,)))
    assert robust[0].endswith(", just ahead of a close field")
    assert trust[0] == "No"
    assert trust[1] == (
        "No two of the 5 models differ significantly. One seed: how much trainings vary is not covered."
    )


def test_each_regime_has_its_own_ranking(tmp_path: Path) -> None:
    write_store(tmp_path, {"m": noisy(0.2), "late-fusion": noisy(1.0)}, samples=120, regime="clean", run="clean")
    (section,) = sections(write_store(tmp_path, {"m": noisy(0.9), "late-fusion": noisy(0.3)}, samples=120).cells())
    assert regimes_of(section) == ["spectrum", "clean"]
    analysis = analyse_section(section, DIALECTS["mmsa"], ["mae"])
    assert answers(analysis, "clean")[0][0] == "m leads"
    assert answers(analysis, "spectrum")[0][0] == "late-fusion leads"
    assert [f["short"] for f in row_facts(section)] == ["late-fusion", "late-fusion", "m", "m"]
    assert short_name("m (clean)", "spectrum") == "m (clean)"


def test_variants_belong_to_a_model_that_is_there() -> None:
    known = {"qa-moe": "", "mine:build": ""}
    assert base_model("qa-moe:k=1", known) == "qa-moe"
    assert base_model("mine:build:x=1", known) == "mine:build"
    assert base_model("mine:other", known) == "mine:other"
    assert base_model("other:k=1", known) == "other:k=1"


def test_variants_have_the_colour_of_their_model_and_no_two_rows_one_style() -> None:
    names = ["qa-moe", "qa-moe:k=1", "qa-moe:k=2", "a:b", "a:c", "a:b:x=1", *(f"m{i}" for i in range(20)), "oracle"]
    looks = styles(names)
    assert looks["qa-moe"].colour == looks["qa-moe:k=1"].colour == looks["qa-moe:k=2"].colour
    assert looks["a:b"].colour == looks["a:b:x=1"].colour != looks["a:c"].colour
    assert looks["qa-moe"].colour != looks["m0"].colour
    assert len(set(looks.values())) == len(names)
    regimes = styles(["m (clean)", "m (spectrum)"])
    assert regimes["m (clean)"].colour == regimes["m (spectrum)"].colour
    assert regimes["m (spectrum)"].dash == ()  # the regime that is shown first has the solid line


def test_numbers_survive_packing_to_half_a_step() -> None:
    values = np.array([[0.5, np.nan, -3.25], [7.0, 0.123456, 0.0]])
    pack = packed(values)
    codes = np.frombuffer(base64.b64decode(pack["codes"]), "<u2")
    shown = np.where(codes == UNDEFINED, np.nan, pack["low"] + codes * pack["step"])
    assert np.array_equal(np.isnan(shown), np.isnan(values.ravel()))
    assert np.nanmax(np.abs(shown - values.ravel())) <= 10.25 / UNDEFINED / 2 * 1.01
    assert packed([2.0, 2.0])["step"] == 0
    assert packed([np.nan])["codes"] == base64.b64encode(b"\xff\xff").decode()


def test_large_numbers_are_short() -> None:
    assert [rounded_count(n) for n in (7, 54_721, 1_250_000, 3e9)] == ["7", "54.7 k", "1.25 M", "3 G"]
