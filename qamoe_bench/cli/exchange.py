"""`qamoe-bench export` and `import`: corrupted samples for other programs, and the predictions that they made."""

from pathlib import Path
from typing import Annotated

import typer

from qamoe_bench.cli.console import log, stderr
from qamoe_bench.cli.options import (
    ClassNames,
    DropBadLabels,
    LabelRange,
    Results,
    TaskKind,
    parse_classes,
    parse_seeds,
)
from qamoe_bench.data.embedded import DATA_CHOICES

# What is exported.
ProtocolName = Annotated[str, typer.Option("--protocol", metavar="NAME", help="Name, or path of a TOML file.")]
Data = Annotated[str, typer.Option("--data", metavar="PATH", help=f"{DATA_CHOICES}.")]
Output = Annotated[
    Path, typer.Option("--output", metavar="DIR", help="Folder to write; it must be empty or not exist yet.")
]
Seeds = Annotated[str, typer.Option("--seeds", help="Comma-separated seeds of the corruption.")]
SplitName = Annotated[
    str, typer.Option("--split", metavar="NAME", help="train, valid or test; predictions can be imported for test.")
]
LayoutName = Annotated[
    str,
    typer.Option(
        "--as",
        metavar="mmsa|npz|masks",
        help="mmsa: pickles of all splits in MMSA's layout; npz: archives of the split alone; masks: only what is "
        "erased, and noise.",
    ),
]

# What is imported.
Predictions = Annotated[
    Path,
    typer.Argument(
        metavar="PREDICTIONS", help="CSV, Parquet or npz with columns seed, draw, condition, id and prediction."
    ),
]
ManifestFolder = Annotated[
    Path, typer.Option("--manifest", metavar="DIR", help="Folder of the export that the predictions are of.")
]
ModelName = Annotated[str, typer.Option("--model", metavar="NAME", help="Name of the row in tables.")]
Tool = Annotated[str, typer.Option("--tool", metavar="TEXT", help="What made the predictions, with its version.")]
Commit = Annotated[str, typer.Option("--commit", metavar="TEXT", help="Version of its code.")]
Parameters = Annotated[
    int, typer.Option("--parameters", min=0, metavar="N", help="Number of trained parameters; 0 if unknown.")
]


def export_protocol(
    protocol: ProtocolName,
    output: Output,
    data: Data = "synthetic",
    label_range: LabelRange = None,
    drop_bad_labels: DropBadLabels = False,
    task: TaskKind = "",
    classes: ClassNames = "",
    seeds: Seeds = "1111,1112,1113",
    split: SplitName = "test",
    layout: LayoutName = "mmsa",
) -> None:
    """Write the corrupted samples of every condition as files for other programs, with a loader."""
    log(f"reading {data} ...")
    from qamoe_bench.api.data import load_data
    from qamoe_bench.exchange.export import cases_in, export_samples
    from qamoe_bench.exchange.layouts import find_layout
    from qamoe_bench.protocol.parse import load_protocol
    from qamoe_bench.run.progress import progress_display
    from qamoe_bench.store.new_folder import check_place

    # Before the data are read, which may take minutes.
    check_place(output)
    find_layout(layout)
    sweep = load_protocol(protocol)
    numbers = parse_seeds(seeds)
    dataset = load_data(data, label_range, drop_bad_labels, task, parse_classes(classes))
    with progress_display(stderr, "cases")(cases_in(sweep, numbers)) as tick:
        manifest = export_samples(output, sweep, dataset, numbers, split, layout, tick)
    for note in dataset.notes:
        log(f"note: data {dataset.name}: {note}")
    if manifest["reading"] and layout == "mmsa":
        log(f"note: to read these files as data, add {manifest['reading']}")
    megabytes = sum(file["bytes"] for file in manifest["files"].values()) / 1e6
    log(f"wrote {output}: {len(manifest['cases'])} cases of {manifest['samples']} samples, {megabytes:.1f} MB")


def import_file(
    predictions: Predictions,
    manifest: ManifestFolder,
    model: ModelName,
    tool: Tool = "",
    commit: Commit = "",
    parameters: Parameters = 0,
    results: Results = Path("results"),
) -> None:
    """Check predictions that another program made from an export, and store them like those of a run."""
    from qamoe_bench.exchange.imports import import_predictions, incomparable_models
    from qamoe_bench.report.table import counted
    from qamoe_bench.store.store import Store

    before = Store(results).finished()
    store = import_predictions(predictions, manifest, model, results, tool, commit, parameters)
    new = len(store.finished() - before)
    if new:
        log(f"stored {counted(new, 'cell')} of {model!r} in {store.runs}; 'qamoe-bench report' compares them")
    else:
        log(f"nothing to do: these predictions of {model!r} are stored already in {store.runs}")
    others = incomparable_models(store, manifest)
    if others:
        log(f"note: not in the same table as {', '.join(others)}, whose data or protocol of this name differ")
