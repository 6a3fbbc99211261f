"""`qamoe-bench data`: look at data files, convert them, get them."""

import json
from pathlib import Path
from typing import Annotated

import typer

from qamoe_bench.cli.report import talk

app = typer.Typer(help="Look at data files, convert them, get them.", no_args_is_help=True)

DataPath = Annotated[Path, typer.Argument(help="A data file or folder in any format that is read.", metavar="FILE")]


@app.command()
def inspect(
    file: DataPath,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one object.")] = False,
) -> None:
    """Print what is in a data file, what reading mends in it, and what it leaves as it is."""
    talk.print(f"reading {file} ...", highlight=False, markup=False, soft_wrap=True)
    from qamoe_bench.curation.audit import audit
    from qamoe_bench.curation.audit_tables import audit_chapter
    from qamoe_bench.report.formats.plain import plain_text
    from qamoe_bench.report.formats.terminal import print_chapters, stdout

    found = audit(file)
    if as_json:
        print(json.dumps(found.record(), indent=2, ensure_ascii=False))
    elif stdout().is_terminal:
        print_chapters([audit_chapter(found)], stdout())
    else:
        print(plain_text([audit_chapter(found)]), end="")


@app.command()
def convert(
    file: DataPath,
    folder: Annotated[Path, typer.Argument(help="Where to write; nothing may be there yet.", metavar="DIR")],
) -> None:
    """Write a data set as a folder of arrays that are mapped and not loaded, for sets larger than memory."""
    talk.print(f"reading {file} ...", highlight=False, markup=False, soft_wrap=True)
    from qamoe_bench.curation.convert import blocks_in, check_place, write
    from qamoe_bench.data.open import as_dataset, format_of, read
    from qamoe_bench.progress import showing

    check_place(folder)
    found = read(file)
    data, source = as_dataset(found), {"format": format_of(found), "file": file.name}
    with showing(talk, "blocks")(blocks_in(data)) as tick:
        write(data, folder, source, tick)
    for note in data.notes:
        talk.print(f"reading: {note}", highlight=False, markup=False, soft_wrap=True)
    samples = sum(map(len, data.splits.values()))
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    talk.print(f"wrote {folder}: {samples} samples, {size:.1f} MB", highlight=False, markup=False, soft_wrap=True)


@app.command()
def encode(
    file: DataPath,
    encoder: Annotated[
        str, typer.Option("--encoder", help="A language model on this machine, by folder or name.", metavar="NAME|DIR")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", help="Where to write. Default: ./<data>-<encoder>.", metavar="DIR")
    ] = None,
    frames: Annotated[int, typer.Option("--frames", min=3, help="States that are kept of a text at most.")] = 50,
    tokens: Annotated[
        int | None,
        typer.Option("--tokens", min=3, help="Tokens that are read of a text at most. Default: all that fit."),
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="float32 or bfloat16.")] = "float32",
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Where finished parts are kept. Default: the user's cache folder.")
    ] = None,
) -> None:
    """Write a data set with the states of a language model in place of its text, as a folder like convert's."""
    talk.print(f"reading {file} and {encoder} ...", highlight=False, markup=False, soft_wrap=True)
    from qamoe_bench.curation.convert import check_place, write
    from qamoe_bench.curation.encode import chunks_in, default_cache, encode_text
    from qamoe_bench.data.open import as_dataset, read
    from qamoe_bench.data.text.language_model import find_language_model
    from qamoe_bench.evaluation.precision import find_precision
    from qamoe_bench.progress import showing

    language, exact = find_language_model(encoder), find_precision(precision)
    data = as_dataset(read(file))
    folder = output or Path(f"{data.name}-{language.name}")
    check_place(folder)
    with showing(talk, "chunks of texts")(chunks_in(data)) as tick:
        encoded = encode_text(data, language, cache or default_cache(), frames, tokens, exact, tick)
    write(encoded, folder, {"file": file.name, "encoder": language.name, "encoder digest": language.digest})
    talk.print(encoded.notes[-1], highlight=False, markup=False, soft_wrap=True)
    talk.print(f"wrote {folder}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="As 'qamoe-bench ls datasets' lists it.", metavar="NAME")],
    source: Annotated[
        str, typer.Option("--from", help="A file that you have, or an address that you may take it from.")
    ] = "",
    to: Annotated[Path, typer.Option("--to", help="Folder for a download.")] = Path(),
) -> None:
    """Get one of the files that papers use, or say how to; it is what it should be, or there is none."""
    from qamoe_bench.curation.fetch import fetch_dataset
    from qamoe_bench.progress import bytes_coming

    with bytes_coming(talk) as tick:
        path = fetch_dataset(name, source, to, tick)
    talk.print(f"{path} is {name}, as its SHA-256 says", highlight=False, markup=False, soft_wrap=True)
    print(path)
