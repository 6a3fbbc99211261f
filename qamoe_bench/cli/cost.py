"""`qamoe-bench cost`: parameters, multiply-adds, time and memory of models; nothing is trained."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from qamoe_bench import __version__
from qamoe_bench.cli.characters import showable_table
from qamoe_bench.cli.console import log, print_json
from qamoe_bench.cli.options import (
    ClassNames,
    Device,
    DropBadLabels,
    LabelRange,
    PrecisionName,
    TaskKind,
    reading_options,
)
from qamoe_bench.data.embedded import DATA_CHOICES
from qamoe_bench.errors import BenchError

if TYPE_CHECKING:
    from torch import nn

    from qamoe_bench.cost.setting import Setting


# The models to measure, and the data set or the preset that gives their inputs.
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="NAME", help="As for `run`; with `paper` also text-encoder. Repeatable. Default: @paper."
    ),
]
Preset = Annotated[
    str, typer.Option("--preset", metavar="NAME", help="quick, or paper: 50 token ids through BERT base.")
]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="PATH", help=f"{DATA_CHOICES}; not with `paper`. Default: synthetic."),
]
BatchSizes = Annotated[
    str | None,
    typer.Option(
        "--batch",
        metavar="SIZES",
        help="Comma-separated batch sizes; 1 is always included. Default: 1,16,64,256, or 1,16 with `paper`.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs: a list of objects, one per model.")]


def print_costs(
    model: Models = None,
    preset: Preset = "quick",
    data: Data = None,
    label_range: LabelRange = None,
    drop_bad_labels: DropBadLabels = False,
    task: TaskKind = "",
    classes: ClassNames = "",
    device: Device = "auto",
    precision: PrecisionName = "float32",
    batch: BatchSizes = None,
    as_json: AsJson = False,
) -> None:
    """Count the operations of models and measure their speed on this machine; nothing is trained."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler logs to stderr by default
    log(f"qamoe-bench {__version__}: building models ...")  # before seconds of imports
    import torch

    from qamoe_bench.cost.cost import measure_costs
    from qamoe_bench.cost.setting import make_setting, sizes
    from qamoe_bench.cost.tables import cost_tables
    from qamoe_bench.evaluation.precision import find_precision
    from qamoe_bench.report.formats.terminal import print_table, stdout
    from qamoe_bench.run.planner import find_device

    torch_device = torch.device(find_device(device))
    arithmetic = find_precision(precision)
    setting = make_setting(preset, data, reading_options(label_range, drop_bad_labels, task, classes))
    batches = sizes(batch, preset)
    # Logs every step: measuring takes minutes, and standard output is for the results.
    measured = measure_costs(_build_models(setting, model or ()), setting, batches, arithmetic, torch_device, log)
    if as_json:
        print_json([c.record() for c in measured])
        return
    for table in cost_tables(measured, preset):
        print_table(showable_table(table), stdout())


def _build_models(setting: "Setting", names: Sequence[str]) -> "dict[str, nn.Module]":
    """The models with these names; without names, those of the default group that accept the data.

    A message names the others.
    """
    from qamoe_bench.registry import DEFAULT_GROUP, expand_groups

    if names:
        return {name: setting.build(name) for name in expand_groups(names)}
    models = {}
    for name in (*setting.extra, *expand_groups([DEFAULT_GROUP])):
        try:
            models[name] = setting.build(name)
        except BenchError as error:  # such as a model of features, for data of token ids
            log(f"without {name}: {error}")
    return models
