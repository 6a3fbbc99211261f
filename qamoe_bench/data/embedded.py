"""The embedded data sets by name. Nothing here needs torch until one of them is drawn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qamoe_bench.data.dataset import Dataset


def _sentiment() -> "Dataset":
    from qamoe_bench.data.synthetic.synthetic import synthetic

    return synthetic()


def _emotion() -> "Dataset":
    from qamoe_bench.data.synthetic.emotion import synthetic_emotion

    return synthetic_emotion()


@dataclass(frozen=True)
class EmbeddedData:
    """A data set that is part of the package.

    Attributes:
        summary: What it is, in a line.
        draw: Makes the data set, in about a second.
    """

    summary: str
    draw: Callable[[], "Dataset"]


# The sizes are written out, because counting the samples would need torch.
EMBEDDED: Mapping[str, EmbeddedData] = {
    "synthetic": EmbeddedData("embedded synthetic data: 1284/229/686 samples, with a Bayes-optimal oracle", _sentiment),
    "synthetic-emotion": EmbeddedData(
        "embedded synthetic data of six emotions: 1284/229/686 samples, with a Bayes-optimal oracle", _emotion
    ),
}
"""By the name that stands in place of a path; the first is what commands use by default."""

DATA_CHOICES = f"{', '.join(f'`{name}`' for name in EMBEDDED)}, a data file or a folder"
"""What can be given as data, for help texts."""

EXPECTED_DATA = f"{', '.join(map(repr, EMBEDDED))} or the path of a data file or folder"
"""The same for error messages."""
