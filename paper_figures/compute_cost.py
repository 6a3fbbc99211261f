"""The cost of a prediction: multiply-adds and speed."""

import json
from typing import Any

from beside import BROAD, SOURCE, Evidence, Exhibit, main
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from published_marks import LOOK

from qamoe_bench.errors import BenchError
from qamoe_bench.figures.palette import Style, styles
from qamoe_bench.figures.style import MARKER_CODES, blank
from qamoe_bench.report.table import Table

FLOPS, SPEED = 4.33, 1510
"""What is printed as GFLOPs per sample and as samples per second of QA-MoE [secondary]."""
BATCH = "16"
COSTS = "costs-paper.json"
"""In the store's folder: what `qamoe-bench cost --preset paper --json` printed."""


def make(evidence: Evidence) -> Exhibit:
    """The exhibit."""
    path = evidence.root / COSTS
    if not path.is_file():
        raise BenchError(f"{path}: expected what 'qamoe-bench cost --preset paper --json' prints; write it there")
    costs = [c for c in json.loads(path.read_text(encoding="utf-8")) if c["gmacs"]]  # `mean` computes nothing
    own = {c["model"]: c for c in costs}
    bert = own["text-encoder"]["gmacs"]
    first = costs[0]
    return Exhibit(
        "compute_cost",
        "Cost of a prediction",
        "Left: multiply-adds of a sample, 50 token ids through BERT base and 50 frames of audio and vision, counted "
        f"operation by operation. Right: samples per second at batch {BATCH} here. Hollow: as printed.",
        (_ours(costs), _theirs()),
        (
            f"The unit: {FLOPS} [secondary] is printed as GFLOPs. BERT base alone needs {bert:.3f} G multiply-adds, "
            f"which are {2 * bert:.2f} GFLOPs at two per multiply-add, so the number is read as multiply-adds "
            f"[inferred]; ours needs {own['qa-moe']['gmacs']:.3f}.",
            f"The machine: ours is measured on {first['device']}, {first['threads']} thread(s), {first['precision']}; "
            f"the {SPEED} samples/s [secondary] on one of several GPUs that are named, at a batch size that is not "
            "stated. The two say nothing about each other.",
            "The code: widths of experts and fusion are not stated in print; they are a thousandth of what BERT needs.",
        ),
        _figure(own),
        always=(),
    )


def _figure(own: dict[str, dict[str, Any]]) -> Figure:
    names, looks = list(own), styles(own)
    figure = blank(BROAD, 0.9 + 0.2 * (len(names) + 1))
    left, right = figure.subplots(1, 2, sharey=True)
    _dots(left, [c["gmacs"] for c in own.values()], FLOPS, names, looks)
    left.set_xlabel("G multiply-adds per sample (10⁹)")
    _dots(right, [c["samples_per_second"][BATCH] for c in own.values()], SPEED, names, looks)
    right.set_xlabel("samples per second (1/s, log scale)")
    right.set_xscale("log")
    right.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    right.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    right.xaxis.set_minor_formatter(NullFormatter())
    left.set_yticks(range(len(names) + 1), [*names, "QA-MoE, published [secondary]"])
    left.set_ylim(len(names) + 0.5, -0.5)
    left.set_ylabel("model")
    return figure


def _dots(axes: Axes, values: list[float], printed: float, names: list[str], looks: dict[str, Style]) -> None:
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        axes.plot(value, place, MARKER_CODES[looks[name].marker], color=looks[name].colour, markersize=4.5)
    axes.plot(printed, len(names), **LOOK)
    axes.tick_params(axis="y", length=0)


def _ours(costs: list[dict[str, Any]]) -> Table:
    rows = tuple(
        (
            c["model"],
            f"{c['parameters'] / 1e6:.1f}",
            f"{c['gmacs']:.3f}",
            f"{c['gflops']:.3f}",
            f"{c['samples_per_second'][BATCH]:.3g}",
        )
        for c in costs
    )
    head = ("model", "parameters M", "G multiply-adds", "GFLOPs", f"samples/s at batch {BATCH}")
    return Table("Ours, measured", head, rows, ("GFLOPs are two per multiply-add",))


def _theirs() -> Table:
    row = ("QA-MoE", f"{FLOPS} [secondary]", f"{SPEED} [secondary]")
    return Table("Published", ("method", "as printed: GFLOPs", "samples/s"), (row,), (f"source: {SOURCE}",))


if __name__ == "__main__":
    main(make, __doc__)
