"""Options that several commands share, as types for their parameters.

An option that may be repeated is None if it is not given, because a list as a default value would be shared by all
calls of the function. Defaults are shown by typer, except for None and "", which the help text explains.
"""

import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.catalogue import DIALECT_NAMES

if TYPE_CHECKING:
    from qamoe_bench.data.options import ReadingOptions

# Where results are read from or written to. Commands that only read do not create the folder.
Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Results folder; runs are stored in DIR/runs.")]
SeveralResults = Annotated[
    list[Path] | None,
    typer.Option(
        "--results",
        metavar="DIR",
        help="Results folder. Repeatable: several are read as one, and nothing is copied. Default: results.",
    ),
]

# Which metrics are computed. The names are those of `qamoe-bench ls metrics`.
DialectName = Annotated[
    str,
    typer.Option(
        "--dialect",
        metavar="NAME",
        help=f"Definitions of the metrics: {', '.join(chain(*DIALECT_NAMES.values()))}. Default: the task's first.",
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="NAME", help="Metric to use. Repeatable. Default: the dialect's main metrics."),
]

# Which test samples are alike. `qamoe_bench.analysis.clusters` reads it.
Cluster = Annotated[
    str,
    typer.Option(
        "--cluster",
        metavar="auto|none|FILE.csv[:COLUMN]",
        help="Test samples that are alike and are resampled together: auto reads videos or dialogues from the samples' "
        "ids, a CSV file with a column id names them in another column, none takes all samples for independent.",
    ),
]

# Which cells are used. The oracle and both baselines are always kept, because the other models are judged by them.
OnlyProtocols = Annotated[
    list[str] | None,
    typer.Option("--protocol", metavar="NAME", help="Only these protocols; * matches any text. Repeatable."),
]
OnlyModels = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Only these models or groups such as @paper, in addition to late-fusion, mean and oracle; * matches any "
        "text. Repeatable.",
    ),
]

# How a data file is read; `qamoe_bench.data.options.ReadingOptions` holds these.
LabelRange = Annotated[
    tuple[float, float] | None,
    typer.Option(
        "--label-range",
        metavar="LOW HIGH",
        help="Scale of the file's labels, such as 1 7; they are centred. Default: -3 3, or -1 1 if none is outside.",
    ),
]
DropBadLabels = Annotated[
    bool,
    typer.Option(
        "--drop-bad-labels", help="Leave out samples whose label is missing, or outside of the scale or classes."
    ),
]
TaskKind = Annotated[
    str,
    typer.Option(
        "--task",
        metavar="KIND",
        help="What the labels say: regression, classes or multi-label. Default: what the file leaves no doubt of.",
    ),
]
ClassNames = Annotated[
    str,
    typer.Option(
        "--classes", metavar="NAME,NAME,...", help="Names of the classes or labels in the order of their index."
    ),
]
AcceptUnknownTokens = Annotated[
    bool,
    typer.Option(
        "--accept-unknown-tokens",
        help="Let a language model read token ids of an unknown vocabulary, or texts with many unknown tokens.",
    ),
]

# Where and how models compute. The names are checked by the modules that use them, which need torch.
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu or cuda.")]
PrecisionName = Annotated[
    str, typer.Option("--precision", metavar="NAME", help="Arithmetic of the model: float32 or bfloat16.")
]


def parse_classes(text: str) -> tuple[str, ...]:
    """Comma-separated names, as `--classes` takes them; `ReadingOptions` checks them."""
    return tuple(name.strip() for name in text.split(",")) if text else ()


def reading_options(
    label_range: tuple[float, float] | None, drop_bad_labels: bool, task: str, classes: str
) -> "ReadingOptions":
    """How a data file is read, from the options of a command.

    Raises:
        BenchError: If they exclude each other, or one of them is not valid.
    """
    from qamoe_bench.data.options import ReadingOptions

    return ReadingOptions(label_range, drop_bad_labels, task=task, classes=parse_classes(classes))


def parse_train_sizes(text: str | None) -> tuple[int, ...]:
    """Comma-separated numbers of training samples, as `--train-size` takes them; `Grid` checks them.

    Raises:
        BenchError: If a part is not a whole number.
    """
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    # int would also take 1_000, and digits of other scripts.
    if not all(re.fullmatch(r"-?[0-9]{1,18}", part) for part in parts):
        raise BenchError(
            f"--train-size {text!r:.80}: expected whole numbers with commas between, as in --train-size 300,600"
        )
    return tuple(map(int, parts))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Comma-separated seeds, as `--seeds` takes them.

    Raises:
        BenchError: If a part is not a whole number.
    """
    try:
        return tuple(int(part) for part in text.split(","))  # int ignores spaces around a number
    except ValueError as error:
        raise BenchError(f"--seeds {text!r}: expected whole numbers with commas between, as in 1111,1112") from error
