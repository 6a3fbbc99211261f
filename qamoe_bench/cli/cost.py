"""`qamoe-bench cost`: parameters, multiply-adds, time and memory of models; nothing is trained."""

import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from qamoe_bench import __version__
from qamoe_bench.errors import BenchError
from qamoe_bench.registry import expand_groups, model_refs

if TYPE_CHECKING:
    from torch import nn

    from qamoe_bench.cost.setting import Setting


def cost(
    model: Annotated[
        list[str],
        typer.Option("--model", help="As for `run`; with `paper` also text-encoder. Repeatable. Default: all."),
    ] = [],  # noqa: B006
    preset: Annotated[str, typer.Option("--preset", help="quick, or paper: 50 token ids through BERT base.")] = "quick",
    data: Annotated[
        str | None, typer.Option("--data", help="`synthetic` (the default) or a data file; not with `paper`.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="float32 or bfloat16.")] = "float32",
    batch: Annotated[
        str | None,
        typer.Option("--batch", help="Comma-separated; 1 is added. Default: 1,16,64,256; with `paper` 1,16."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list of objects, one per model.")] = False,
) -> None:
    """Count what models compute and measure how fast they do it here; nothing is trained."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler talks otherwise
    typer.echo(f"qamoe-bench {__version__}: building models ...", err=True)
    import torch

    from qamoe_bench.cost.cost import measure_costs
    from qamoe_bench.cost.setting import make_setting, sizes
    from qamoe_bench.cost.tables import cost_tables
    from qamoe_bench.evaluation.precision import find_precision
    from qamoe_bench.report.formats.terminal import print_table, stdout
    from qamoe_bench.run.planner import find_device

    where, exact = torch.device(find_device(device)), find_precision(precision)
    setting = make_setting(preset, data)
    batches = sizes(batch, preset)
    found = measure_costs(
        _built(setting, model), setting, batches, exact, where, lambda step: typer.echo(step, err=True)
    )
    if as_json:
        typer.echo(json.dumps([c.record() for c in found], indent=2, ensure_ascii=False))
        return
    for table in cost_tables(found, preset):
        print_table(table, stdout())


def _built(setting: "Setting", names: list[str]) -> "dict[str, nn.Module]":
    """The models that were asked for; or all that take the data, with a word about those that do not."""
    if names:
        return {name: setting.build(name) for name in expand_groups(names)}
    built = {}
    for name in (*setting.extra, *model_refs()):
        try:
            built[name] = setting.build(name)
        except BenchError as error:
            typer.echo(f"without {name}: {error}", err=True)
    return built
