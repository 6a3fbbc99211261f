"""The cost of a prediction: multiply-adds and throughput."""

import json
from typing import Any

from exhibit import PAGE_WIDTH, SOURCE, Evidence, Exhibit, main
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from published_marks import PUBLISHED_LOOK

from qamoe_bench.errors import BenchError
from qamoe_bench.figures.palette import styles
from qamoe_bench.figures.style import MARKER_CODES, blank
from qamoe_bench.report.table import Table

# Published for QA-MoE [secondary].
PUBLISHED_GFLOPS = 4.33  # per sample
PUBLISHED_SPEED = 1510  # samples per second
SPEED_BATCH_SIZE = "16"  # a key of the JSON file
COSTS = "costs-paper.json"
"""In the folder of the store: the output of `qamoe-bench cost --preset paper --json`."""


def make(evidence: Evidence) -> Exhibit:
    """Make the exhibit."""
    path = evidence.root / COSTS
    if not path.is_file():
        raise BenchError(f"{path}: expected what 'qamoe-bench cost --preset paper --json' prints; write it there")
    costs = [c for c in json.loads(path.read_text(encoding="utf-8")) if c["gmacs"]]  # `mean` computes nothing
    by_model = {c["model"]: c for c in costs}
    bert = by_model["text-encoder"]["gmacs"]  # a row of its own, since all models share it
    first = costs[0]  # all rows are measured on one machine
    return Exhibit(
        "compute_cost",
        "Cost of a prediction",
        "Left: multiply-adds of a sample, 50 token ids through BERT base and 50 frames of audio and vision, counted "
        f"operation by operation. Right: samples per second at batch size {SPEED_BATCH_SIZE} here. Hollow: published.",
        (_measured_table(costs), _published_table()),
        (
            f"The unit: {PUBLISHED_GFLOPS} [secondary] is printed as GFLOPs. BERT base alone needs {bert:.3f} G "
            f"multiply-adds, which are {2 * bert:.2f} GFLOPs at two per multiply-add, so the number is read as "
            f"multiply-adds [inferred]; ours needs {by_model['qa-moe']['gmacs']:.3f}.",
            f"The machine: ours is measured on {first['device']}, {first['threads']} thread(s), {first['precision']}; "
            f"the {PUBLISHED_SPEED} samples/s [secondary] on one of several named GPUs, at an unstated batch size. The "
            "two cannot be compared.",
            "The code: widths of experts and fusion are not published; their cost is a thousandth of BERT's.",
        ),
        _figure(by_model),
        always=(),  # they concern accuracy
    )


def _figure(by_model: dict[str, dict[str, Any]]) -> Figure:
    names = list(by_model)
    figure = blank(PAGE_WIDTH, 0.9 + 0.2 * (len(names) + 1))  # inches: .2 per row
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_dots(left, {name: c["gmacs"] for name, c in by_model.items()}, PUBLISHED_GFLOPS)
    left.set_xlabel("G multiply-adds per sample (10⁹)")
    _draw_dots(
        right, {name: c["samples_per_second"][SPEED_BATCH_SIZE] for name, c in by_model.items()}, PUBLISHED_SPEED
    )
    right.set_xlabel("samples per second (1/s, log scale)")
    right.set_xscale("log")
    right.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))  # 1, 3, 10, 30, …
    right.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    right.xaxis.set_minor_formatter(NullFormatter())
    left.set_yticks(range(len(names) + 1), [*names, "QA-MoE, published [secondary]"])
    left.set_ylim(len(names) + 0.5, -0.5)  # the published row is last
    left.set_ylabel("model")
    return figure


def _draw_dots(axes: Axes, values: dict[str, float], published: float) -> None:
    looks = styles(values)
    for height, (name, value) in enumerate(values.items()):
        axes.plot(value, height, MARKER_CODES[looks[name].marker], color=looks[name].colour, markersize=4.5)
    axes.plot(published, len(values), **PUBLISHED_LOOK)  # below the measured rows
    axes.tick_params(axis="y", length=0)


def _measured_table(costs: list[dict[str, Any]]) -> Table:
    rows = []
    for c in costs:
        speed = c["samples_per_second"][SPEED_BATCH_SIZE]
        numbers = (f"{c['parameters'] / 1e6:.1f}", f"{c['gmacs']:.3f}", f"{c['gflops']:.3f}", f"{speed:.3g}")
        rows.append((c["model"], *numbers))
    head = ("model", "parameters M", "G multiply-adds", "GFLOPs", f"samples/s at batch size {SPEED_BATCH_SIZE}")
    return Table("Ours, measured", head, tuple(rows), ("one multiply-add counts as two FLOPs",))


def _published_table() -> Table:
    row = ("QA-MoE", f"{PUBLISHED_GFLOPS} [secondary]", f"{PUBLISHED_SPEED} [secondary]")
    return Table("Published", ("method", "GFLOPs, as printed", "samples/s"), (row,), (f"source: {SOURCE}",))


if __name__ == "__main__":
    main(make, __doc__)
