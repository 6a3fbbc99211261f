"""Requests: a product of models, protocols, regimes and seeds on one data set, and its place in a study file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from qamoe_bench.data.options import DEFAULT_READING, ReadingOptions
from qamoe_bench.errors import BenchError

MAX_CELLS = 500_000
"""Most cells of a command, all of which are planned in memory."""


@dataclass(frozen=True)
class Request:
    """The product of some protocols, models, regimes and seeds on one data set; names as on the command line.

    Attributes:
        protocols: Names, or paths of TOML files.
        models: Names as of `qamoe_bench.registry.find_model`, settings included.
        from_groups: Those of `models` that the user did not name; they are left out where they cannot do the data's
            task.
        data: `synthetic`, or the path of a data file or folder.
        seeds: Of everything random, one training per seed.
        regimes: Training regimes, see `qamoe_bench.training.exposure`; ignored with a checkpoint.
        preset: Name of the settings of training.
        device: `auto`, `cpu` or `cuda`.
        checkpoint: Safetensors file with the weights of the only model; empty where the models are trained.
        fine_tune: Language model that is trained with the rest, by folder or name; empty for none.
        reading: How the data file is read.
    """

    protocols: tuple[str, ...]
    models: tuple[str, ...]
    data: str = "synthetic"
    seeds: tuple[int, ...] = (1111, 1112, 1113)
    regimes: tuple[str, ...] = ("spectrum",)
    preset: str = "quick"
    device: str = "auto"
    checkpoint: str = ""
    fine_tune: str = ""
    reading: ReadingOptions = DEFAULT_READING
    from_groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class LocatedRequest:
    """A request and the place that its errors name.

    Attributes:
        location: Such as `study s.toml, grid 2`; empty for the command line.
        request: The request.
    """

    location: str
    request: Request


def too_many_cells(cells: int) -> BenchError:
    """The error for more than `MAX_CELLS`."""
    return BenchError(f"expected at most {MAX_CELLS} cells, got {cells}; divide them among several commands")


@contextmanager
def error_location(location: str, key: str = "") -> Iterator[None]:
    """Prefix the message of a `BenchError` with a place in a study file, and the key that is wrong there.

    Args:
        location: See `LocatedRequest`; an empty one leaves the error as it is.
        key: Key of the study file; empty where the error concerns several keys.
    """
    try:
        yield
    except BenchError as error:
        if not location:  # messages of the command line name the option themselves
            raise
        prefix = f"{location}, {key!r}" if key else location
        raise BenchError(f"{prefix}: {error}") from error
