"""Figures from made-up stores: the same bytes, fonts inside, names and units on all axes, nothing overlapping."""

import os
import re
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from fakestore import Answer, noisy, write_store
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from typer.testing import CliRunner

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.learning import Curves, LearningCurve
from qamoe_bench.cli.main import app
from qamoe_bench.errors import BenchError
from qamoe_bench.figures.direct_labels import spread_apart
from qamoe_bench.figures.drawing import TYPES, Drawing, content
from qamoe_bench.figures.forest import forest_figures
from qamoe_bench.figures.gallery import FIGURE_KINDS, Choice
from qamoe_bench.figures.landscape import diverging, sequential
from qamoe_bench.figures.learning import learning_figures
from qamoe_bench.figures.palette import styles
from qamoe_bench.figures.pareto import CostQuality, draw_pareto, front, pareto_figures
from qamoe_bench.figures.style import COLUMN_WIDTHS, styled, wrapped
from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.report.tables import analyses
from qamoe_bench.store.store import Store, StoredCell

LONG = "qa-moe:feature-nll,train.levels_per=batch"
MODELS: dict[str, Answer] = {
    "mean": lambda label, level, random: np.zeros(len(label)),
    "late-fusion": noisy(1.0),
    "good $_$ model": noisy(0.4),
    LONG: noisy(0.7),
    "oracle": noisy(0.1),
}
SWEEP: list[dict[str, Any]] = [{"name": f"eta={x:g}", "levels": {"eta": x}} for x in (0.0, 0.3, 0.6, 0.9)]
PLANE: list[dict[str, Any]] = [
    {"name": f"lambda={x:g},eta={y:g}", "levels": {"lambda": x, "eta": y}} for x in (0.0, 0.5) for y in (0.0, 0.5)
]
POINTS: list[dict[str, Any]] = [{"name": name, "levels": {}} for name in ("all", "text", "text+audio", "audio+vision")]
LAYOUTS = {
    "curves": SWEEP,
    "points": POINTS,
    "landscape": PLANE,
    "differences": SWEEP,
    "quality": SWEEP,
    "pareto": SWEEP,
    "value": SWEEP,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("store"), MODELS, levels=(0.0, 0.3, 0.6, 0.9), samples=40)


def analysed(store: Store, conditions: Sequence[Mapping[str, Any]], *metrics: str) -> Analysis:
    (analysis,) = analyses([_under(c, conditions) for c in store.cells()], DIALECTS["mmsa"], metrics)
    return analysis


def _under(cell: StoredCell, conditions: Sequence[Mapping[str, Any]]) -> StoredCell:
    parameters = {"mean": 0, "oracle": 0}.get(cell.cell.model, 1000 * len(cell.cell.model))
    return replace(cell, facts=replace(cell.facts, conditions=conditions, parameters=parameters))


@pytest.fixture(scope="module")
def by_kind(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Analysis]:
    layouts: dict[str, list[dict[str, Any]]] = {"sweep": SWEEP, "plane": PLANE, "points": POINTS}
    by_layout = {name: analysed(store, conditions, "mae", "corr") for name, conditions in layouts.items()}
    names = {id(conditions): name for name, conditions in layouts.items()}
    by_kind = {kind: by_layout[names[id(conditions)]] for kind, conditions in LAYOUTS.items()}
    limits = {"oracle": noisy(0.1), "oracle-inferring": noisy(0.2), "oracle-blind": noisy(0.3)}
    with_limits = write_store(tmp_path_factory.mktemp("limits"), limits, levels=(0.0, 0.3, 0.6, 0.9), samples=40)
    return {**by_kind, "value": analysed(with_limits, SWEEP, "mae", "corr")}


def drawn(analysis: Analysis, kind: str, width: str = "one") -> list[Drawing]:
    with styled():
        return list(FIGURE_KINDS[kind](analysis, COLUMN_WIDTHS[width]))


@pytest.mark.parametrize("kind", FIGURE_KINDS)
def test_equal_results_give_equal_bytes_without_a_date_and_with_their_fonts(
    kind: str, by_kind: dict[str, Analysis]
) -> None:
    with styled():
        once, again = (
            [content(next(FIGURE_KINDS[kind](by_kind[kind], 3.3)).figure, t) for t in TYPES] for _ in range(2)
        )
    assert once == again
    png, pdf, svg = once
    assert struct.unpack(">I", png[16:20]) == (990,)  # 3.3 inches at 300 pixels
    assert b"tEXt" not in png
    assert b"/FontFile2" in pdf  # TrueType
    assert b"/Type3" not in pdf
    assert b"Date" not in pdf
    assert b"dc:date" not in svg
    assert b"<text" not in svg  # paths, which need no font
    assert b'id="DejaVuSans-' in svg


@pytest.mark.parametrize("width", COLUMN_WIDTHS)
@pytest.mark.parametrize("kind", FIGURE_KINDS)
def test_axes_have_names_and_units_and_nothing_overlaps(kind: str, width: str, by_kind: dict[str, Analysis]) -> None:
    drawings = drawn(by_kind[kind], kind, width)
    assert drawings
    for drawing in drawings:
        figure = drawing.figure
        assert figure.get_figwidth() == COLUMN_WIDTHS[width]
        with styled():
            check_labels(figure)
            check_places(figure)
        assert drawing.caption.endswith(".")


def check_labels(figure: Figure) -> None:
    for axes in figure.axes:
        if axes.get_label() == "<colorbar>":
            assert "(" in axes.get_xlabel()
            continue
        assert any("(" in other.get_xlabel() for other in axes.get_shared_x_axes().get_siblings(axes))
        siblings = axes.get_shared_y_axes().get_siblings(axes)
        names = [other.get_ylabel() for other in siblings]
        words = [t for other in siblings for t in other.get_yticklabels() if re.search(r"[a-z]", t.get_text())]
        # Names of rows and of conditions speak for themselves.
        assert words or any("(" in name for name in names)


def check_places(figure: Figure) -> None:
    """Legends and titles lie inside the figure, and on no panel."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    whole = figure.bbox.padded(1)
    panels = [box for axes in figure.axes if (box := axes.get_tightbbox(renderer)) is not None]
    for box in panels:
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1
        assert whole.y0 <= box.y0
        assert box.y1 <= whole.y1
    for legend in figure.legends:
        box = legend.get_window_extent(renderer)
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1
        assert whole.y0 <= box.y0
        assert box.y1 <= whole.y1
        assert not any(box.overlaps(panel) for panel in panels)
    for i, one in enumerate(panels):
        for other in panels[:i]:
            shared = min(one.x1, other.x1) - max(one.x0, other.x0), min(one.y1, other.y1) - max(one.y0, other.y0)
            assert min(shared) < 2  # pixels


@pytest.mark.parametrize("kind", ["curves", "points", "pareto"])
def test_the_legend_has_every_row_that_is_drawn_and_no_other(kind: str, by_kind: dict[str, Analysis]) -> None:
    for drawing, metric in zip(drawn(by_kind[kind], kind), ("mae", "corr"), strict=True):
        (legend,) = drawing.figure.legends
        names = [t.get_text().replace("\n", "") for t in legend.get_texts()]
        there = {n for n in MODELS if not (n == "mean" and (metric == "corr" or kind != "points"))}
        expected = {wrapped(n).replace("\n", "") for n in there}
        if kind == "pareto":
            expected = expected - {"oracle"} | {"oracle (no cost)", "Pareto front"}
        assert set(names) == expected
        assert len(names) == len(expected)


def test_curves_are_the_means_and_bands_the_intervals(by_kind: dict[str, Analysis]) -> None:
    mae = by_kind["curves"].scores[0]
    axes = drawn(by_kind["curves"], "curves")[0].figure.axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    for i, row in enumerate(by_kind["curves"].section.rows):
        if row.name != "mean":
            np.testing.assert_allclose(np.asarray(lines[row.name].get_ydata(), np.float64), mae.values[i].mean(0))
    assert len(axes.collections) == len(lines) == len(MODELS) - 1


def test_of_many_curves_the_best_model_the_control_and_the_oracle_have_bands(tmp_path: Path) -> None:
    models = {**MODELS, "best": noisy(0.2), "other": noisy(0.9)}
    analysis = analysed(write_store(tmp_path, models, levels=(0.0, 0.3, 0.6, 0.9), samples=40), SWEEP, "mae")
    drawing = drawn(analysis, "curves")[0]
    axes = drawing.figure.axes[0]
    assert {line.get_label() for line in axes.get_lines()} == models.keys() - {"mean"}
    assert len(axes.collections) == 3
    colours = styles(row.name for row in analysis.section.rows)
    with_band = {to_hex(np.asarray(band.get_facecolor())[0]) for band in axes.collections}
    assert with_band == {to_hex(colours[name].colour) for name in ("best", "late-fusion", "oracle")}
    assert "the bands of the best model, late-fusion and the oracle are 95 % intervals" in drawing.caption
    assert "mean is left out because it is far worse." in drawing.caption


def test_limits_without_a_model_have_bands_all(tmp_path: Path) -> None:
    limits = dict.fromkeys(
        ("oracle", "oracle-inferring", "oracle-blind", "oracle-assumes-clean", "plug-in"), noisy(0.3)
    )
    models: dict[str, Answer] = {"mean": MODELS["mean"], **limits}
    analysis = analysed(write_store(tmp_path, models, levels=(0.0, 0.3, 0.6, 0.9), samples=40), SWEEP, "mae")
    drawing = drawn(analysis, "curves")[0]
    assert len(drawing.figure.axes[0].collections) == len(limits)
    assert "best model" not in drawing.caption


@pytest.mark.parametrize("width", COLUMN_WIDTHS)
def test_learning_curves_fit_their_figure(width: str) -> None:
    curves = Curves(*np.array([[[0.5, 0.75], [1.0, 1.0]], [[0.25, 0.5], [1.0, 1.0]], [[0.75, 1.0], [1.0, 1.0]]]))
    curve = LearningCurve(
        "synthetic", "random-missing", METRICS["mae"], (300, 20_000), ("late-fusion", "oracle"), ("oracle",), (),
        curves, curves, (1,),
    )  # fmt: skip
    with styled():
        drawings = list(learning_figures(curve, COLUMN_WIDTHS[width]))
        for drawing in drawings:
            check_labels(drawing.figure)
            check_places(drawing.figure)
    assert [drawing.name for drawing in drawings] == ["mae", "reached"]


def test_significant_differences_are_filled_and_others_hollow(by_kind: dict[str, Analysis]) -> None:
    with styled():
        figure = next(forest_figures(by_kind["differences"], 3.3)).figure
    fills = {line.get_markerfacecolor() for line in figure.axes[0].get_lines() if line.get_marker() not in ("None", "")}
    assert "white" in fills or len(fills) > 0
    sure = [d.is_significant for i, d in by_kind["differences"].differences["mae"].items()
            if by_kind["differences"].section.rows[i].model != "mean"]  # fmt: skip
    hollow = [line for line in figure.axes[0].get_lines() if line.get_markerfacecolor() == "white"]
    assert len(hollow) == sure.count(False)


def test_the_front_is_what_nothing_cheaper_equals() -> None:
    deals = {
        n: CostQuality(c, v, v, v)
        for n, c, v in (("a", 1, 5.0), ("b", 2, 6.0), ("c", 3, 4.0), ("d", 3, 3.0), ("o", 0, 0.0))
    }
    assert front(deals, METRICS["mae"]) == ["a", "d"]
    assert front(deals, METRICS["corr"]) == ["a", "b"]


def test_twenty_rows_of_long_names_still_fit(tmp_path: Path) -> None:
    models = {f"{LONG},experts={i}": noisy(0.3 + i / 20) for i in range(18)} | {"late-fusion": noisy(1.0)}
    store = write_store(tmp_path, models, seeds=(1, 2), levels=(0.0, 0.3, 0.6, 0.9), samples=20)
    analysis = analysed(store, SWEEP, "mae")
    for kind in ("curves", "differences", "pareto"):
        (drawing,) = drawn(analysis, kind)
        with styled():
            check_places(drawing.figure)


def test_names_at_the_ends_of_curves_do_not_cover_each_other() -> None:
    places = spread_apart([0.0, 0.1, 0.11, 0.9, 1.0], 0.2, 0.0, 1.0)
    assert places == sorted(places)
    assert min(np.diff(places)) >= 0.2 - 1e-12
    assert max(places) <= 1.0
    assert spread_apart([0.2, 0.8], 0.1, 0.0, 1.0) == [0.2, 0.8]  # where there is room, names stay
    assert spread_apart([], 0.1, 0.0, 1.0) == []


def test_curves_of_short_names_are_named_at_their_ends_and_need_no_legend(tmp_path: Path) -> None:
    models = {"late-fusion": noisy(1.0), "best": noisy(0.2), "oracle": noisy(0.1)}
    analysis = analysed(write_store(tmp_path, models, levels=(0.0, 0.3, 0.6, 0.9), samples=40), SWEEP, "mae")
    (drawing,) = drawn(analysis, "curves")
    assert not drawing.figure.legends
    axes = drawing.figure.axes[0]
    assert {text.get_text() for text in axes.texts} == set(models)
    with styled():
        check_places(drawing.figure)


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_the_better_end_of_a_colour_map_is_light_and_blue(better: str) -> None:
    metric = next(m for m in METRICS.values() if m.better == better)
    end = 0.0 if better == "lower" else 1.0
    light = mpl.colormaps[sequential(metric)]
    assert sum(light(end)[:3]) > sum(light(1 - end)[:3])
    assert to_hex(diverging(metric)(end)) == "#0072b2"


def test_of_many_rows_under_named_conditions_three_have_intervals(tmp_path: Path) -> None:
    models = {**MODELS, "best": noisy(0.2), "other": noisy(0.9)}
    store = write_store(tmp_path, models, levels=[i / 10 for i in range(len(POINTS))], samples=40)
    analysis = analysed(store, POINTS, "mae")
    drawing = drawn(analysis, "points")[0]
    axes = drawing.figure.axes[0]
    assert len([c for c in axes.collections if isinstance(c, LineCollection)]) == 3
    assert "bars, of best, late-fusion, oracle only, are 95 % intervals" in drawing.caption


# The command


def test_the_command_writes_what_it_prints_each_with_a_caption(store: Store, tmp_path: Path) -> None:
    arguments = ["figures", "--results", str(store.root), "--output", str(tmp_path / "f"), "--metric", "mae"]
    done = CliRunner().invoke(app, [*arguments, "--kind", "curves", "--type", "svg", "--type", "pdf", "--width", "two"])
    assert done.exit_code == 0, done.output
    names = [f"made_up-p-curves-mae-two_column.{type}" for type in ("svg", "pdf")]
    assert done.stdout.split() == [str(tmp_path / "f" / name) for name in names]
    assert sorted(p.name for p in (tmp_path / "f").iterdir()) == sorted([*names, "made_up-p-curves-mae-two_column.txt"])


def test_another_process_without_torch_draws_the_same_bytes(store: Store, tmp_path: Path) -> None:
    forbid = (
        "import sys; sys.modules['torch'] = None; import qamoe_bench.cli.main as cli; sys.argv[0] = 'q'; cli.main()"
    )
    common = ["figures", "--results", str(store.root), "--metric", "mae", "--kind", "curves", "--kind", "pareto"]
    types = [word for type in TYPES for word in ("--type", type)]
    done = subprocess.run(
        [sys.executable, "-c", forbid, *common, *types, "--output", str(tmp_path / "a")],
        env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert CliRunner().invoke(app, [*common, *types, "--output", str(tmp_path / "b")]).exit_code == 0
    files = {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    assert files == {p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()}
    assert len(files) > len(TYPES)


def test_a_front_of_one_row_is_seen() -> None:
    axes = Figure().add_subplot()
    deals = {"good": CostQuality(1, 0.5, 0.4, 0.6), "bad": CostQuality(10, 0.9, 0.8, 1.0)}
    draw_pareto(axes, deals, METRICS["mae"], styles(deals), "cost (number)")
    (line,) = [line for line in axes.get_lines() if line.get_label() == "Pareto front"]
    assert np.ptp(np.asarray(line.get_xdata())) > 0


def test_counted_costs_take_the_place_of_parameters(by_kind: dict[str, Analysis]) -> None:
    with styled():
        (drawing, _) = pareto_figures(by_kind["pareto"], 3.3, {"late-fusion": 0.2, LONG: 0.4})
    axes = drawing.figure.axes[0]
    assert "multiply-adds" in axes.get_xlabel()
    assert "multiply-adds" in drawing.caption
    marked = [line for line in axes.get_lines() if line.get_marker() not in ("None", "")]
    assert {float(x) for line in marked for x in np.asarray(line.get_xdata())} == {0.2, 0.4}  # no cost known, no dot


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--kind", "curvs"], "did you mean 'curves'"),
        (["--type", "jpg"], "unknown type of file 'jpg'"),
        (["--width", "three"], "unknown width"),
        (["--protocol", "q"], "unknown protocol of this store"),
        (["--kind", "landscape"], "nothing to draw"),
        (["--costs", "nowhere.json"], "--costs nowhere.json: expected the output of 'qamoe-bench cost --json'"),
    ],
)
def test_mistakes_are_said_in_one_line(store: Store, tmp_path: Path, wrong: list[str], said: str) -> None:
    arguments = ["figures", "--results", str(store.root), "--output", str(tmp_path), "--metric", "mae", *wrong]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, BenchError)
    assert said in str(done.exception)
    with pytest.raises(BenchError):
        Choice(kinds=["curvs"])
