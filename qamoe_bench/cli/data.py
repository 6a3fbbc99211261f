"""`qamoe-bench data`: inspect, convert, encode and fetch data files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qamoe_bench.cli.console import log, print_chapters_as, print_json, stderr
from qamoe_bench.cli.options import (
    AcceptUnknownTokens,
    ClassNames,
    DropBadLabels,
    LabelRange,
    PrecisionName,
    TaskKind,
    reading_options,
)
from qamoe_bench.errors import BenchError

if TYPE_CHECKING:
    from qamoe_bench.data.dataset import Dataset

app = typer.Typer(help="Inspect, convert, encode and fetch data files.", no_args_is_help=True)

# Not `Path`, which would turn `./synthetic` into the name of embedded data.
DataPath = Annotated[
    str, typer.Argument(help="A data file or folder in any supported format, or embedded data.", metavar="FILE")
]


@app.command("inspect")
def inspect_data(
    file: DataPath,
    label_range: LabelRange = None,
    drop_bad_labels: DropBadLabels = False,
    task: TaskKind = "",
    classes: ClassNames = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs: one object.")] = False,
) -> None:
    """Print the content of a data file, the defects that are repaired on reading, and those that are not."""
    log(f"reading {file} ...")
    from qamoe_bench.curation.audit import audit
    from qamoe_bench.curation.audit_tables import audit_chapter

    findings = audit(file, reading_options(label_range, drop_bad_labels, task, classes))
    if as_json:
        print_json(findings.record())
    else:
        print_chapters_as([audit_chapter(findings)], "terminal", None)
    if findings.defect:  # every other command refuses the file
        raise BenchError(findings.defect)


@app.command("convert")
def convert_data(
    file: DataPath,
    folder: Annotated[Path, typer.Argument(help="Folder to write; it must be empty or not exist yet.", metavar="DIR")],
    label_range: LabelRange = None,
    drop_bad_labels: DropBadLabels = False,
    task: TaskKind = "",
    classes: ClassNames = "",
) -> None:
    """Write a data set as a folder of memory-mapped arrays, for data larger than memory."""
    log(f"reading {file} ...")
    from qamoe_bench.curation.convert import blocks_in, write
    from qamoe_bench.data.open import as_dataset, format_of, read
    from qamoe_bench.run.progress import progress_display
    from qamoe_bench.store.new_folder import check_place

    check_place(folder)  # before the data are read, which may take minutes
    options = reading_options(label_range, drop_bad_labels, task, classes)
    content = read(file)
    data = as_dataset(content, options)
    # Recorded in the folder's manifest; the path itself is left out because it differs between machines.
    source = {"format": format_of(content), "file": Path(file).name}
    with progress_display(stderr, "blocks")(blocks_in(data)) as tick:
        write(data, folder, source, tick)
    _log_written(folder, data)


def _log_written(folder: Path, data: "Dataset") -> None:
    """Log what was decided about the data, and the size of the folder that now holds them."""
    for note in data.notes:
        log(f"reading: {note}")
    samples = sum(len(split) for split in data.splits.values())
    megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    log(f"wrote {folder}: {samples} samples, {megabytes:.1f} MB")


# The encoder, and how much of each text it reads and keeps.
Encoder = Annotated[
    str, typer.Option("--encoder", help="Language model on this machine, by folder or name.", metavar="NAME|DIR")
]
Frames = Annotated[int, typer.Option("--frames", min=3, help="Largest number of hidden states to keep per text.")]
Tokens = Annotated[
    int | None,
    typer.Option("--tokens", min=3, help="Largest number of tokens to read per text. Default: the model's limit."),
]

# Where results are written. The cache lets an interrupted encoding continue.
OutputFolder = Annotated[
    Path | None, typer.Option("--output", help="Folder to write. Default: ./<data>-<encoder>.", metavar="DIR")
]
CacheFolder = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Folder for finished parts. Default: the user's cache folder."),
]


@app.command("encode")
def encode_data(
    file: DataPath,
    encoder: Encoder,
    label_range: LabelRange = None,
    drop_bad_labels: DropBadLabels = False,
    task: TaskKind = "",
    classes: ClassNames = "",
    accept_unknown_tokens: AcceptUnknownTokens = False,
    output: OutputFolder = None,
    frames: Frames = 50,
    tokens: Tokens = None,
    precision: PrecisionName = "float32",
    cache: CacheFolder = None,
) -> None:
    """Replace the text of a data set by hidden states of a language model; writes a folder as `convert` does."""
    log(f"reading {file} and {encoder} ...")
    from qamoe_bench.curation.convert import write
    from qamoe_bench.curation.encode import chunks_in, default_cache, encode_text
    from qamoe_bench.data.open import as_dataset, read
    from qamoe_bench.data.text.language_model import find_language_model
    from qamoe_bench.evaluation.precision import find_precision
    from qamoe_bench.run.progress import progress_display
    from qamoe_bench.store.new_folder import check_place

    language = find_language_model(encoder)
    arithmetic = find_precision(precision)
    data = as_dataset(read(file), reading_options(label_range, drop_bad_labels, task, classes))
    folder = output or Path(f"{data.name}-{language.name}")
    check_place(folder)  # before hours of encoding
    with progress_display(stderr, "chunks of texts")(chunks_in(data)) as tick:
        encoded = encode_text(
            data, language, cache or default_cache(), frames, tokens, arithmetic, tick,
            accept_unknown=accept_unknown_tokens,
        )  # fmt: skip
    write(encoded, folder, {"file": Path(file).name, "encoder": language.name, "encoder digest": language.digest})
    for note in encoded.notes:
        log(f"note: {note}")
    log(f"wrote {folder}")


@app.command("fetch")
def fetch_data(
    name: Annotated[str, typer.Argument(help="A name that `qamoe-bench ls datasets` lists.", metavar="NAME")],
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="FILE|URL", help="A file that you have, or a URL that you are allowed to download from."
        ),
    ] = "",
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder for the download.")] = Path(),
) -> None:
    """Download or verify a published data file by its SHA-256; without --from, print where to get it."""
    from qamoe_bench.curation.fetch import fetch_dataset, find_known, how_to_get, is_there
    from qamoe_bench.run.progress import download_display

    if not source and not is_there(name, to):
        # On standard error: scripts read a path from standard output, and there is none.
        log(f"{name} is not here; {how_to_get(find_known(name))}")
        return
    with download_display(stderr) as tick:
        path = fetch_dataset(name, source, to, tick)
    log(f"{path} is {name}, as its SHA-256 says")
    print(path)  # for scripts: --data "$(qamoe-bench data fetch ...)"
