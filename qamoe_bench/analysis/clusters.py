"""Clusters of test samples: segments of one video, or utterances of one dialogue, whose errors are alike.

Intervals and tests that take such samples for independent are too narrow: on MOSI's 686 segments of 31 videos, by a
factor of 1.1 to 1.8. Whole clusters are resampled instead, see `qamoe_bench.statistics.resampling`. The clusters are
read from the ids of the samples, or from a file.

Dimension legend: N samples, G clusters.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.errors import BenchError
from qamoe_bench.shapes import Int
from qamoe_bench.store.access import cannot_read

AUTO = "auto"
NONE = "none"

FORMS: Mapping[str, re.Pattern[str]] = {
    "video$_$segment": re.compile(r"(?P<cluster>.+)\$_\$[^$]+"),
    "video[segment]": re.compile(r"(?P<cluster>.+)\[[^\[\]]+\]"),
    "dialogue_utterance": re.compile(r"(?P<cluster>dia\d+)_utt\d+|(?P<session>Ses\d\d[FM]_.+)_[FM]\d+"),
    "video_segment": re.compile(r"(?P<cluster>.+)_\d+"),
}
"""Forms of the ids that the field's files use; MELD and IEMOCAP have the third one."""


@dataclass(frozen=True)
class Clusters:
    """The clusters of the samples of a section.

    Attributes:
        codes: The cluster of each sample, from 0 to G − 1, (N).
        kind: What a cluster is, such as `video`.
        source: Where they were read, in words.
    """

    codes: Int[NDArray[np.int64], " N"]
    kind: str
    source: str

    @cached_property
    def sizes(self) -> Int[NDArray[np.int64], " G"]:
        """The number of samples of each cluster."""
        return np.bincount(self.codes)

    @property
    def count(self) -> int:
        """G."""
        return len(self.sizes)


@dataclass(frozen=True)
class ClusterRule:
    """How samples are assigned to clusters.

    Attributes:
        source: `auto` reads the ids, `none` takes all samples for independent; anything else names a file.
        kind: What a cluster of the file is: the name of the column.
        of_id: The cluster of each sample by its id, as the file has it.
    """

    source: str = AUTO
    kind: str = ""
    of_id: Mapping[str, str] = field(default_factory=dict, hash=False)

    def clusters(self, ids: Sequence[str]) -> Clusters | None:
        """The clusters of samples with these ids; None if the samples are independent.

        Raises:
            BenchError: If the rule's file lacks a sample.
        """
        if self.source == NONE:
            return None
        if self.source == AUTO:
            return _clusters_in_ids(ids)
        if lacking := [name for name in ids if name not in self.of_id]:
            raise BenchError(
                f"--cluster {self.source}: expected a line for every test sample, got none for {len(lacking)} of "
                f"{len(ids)}, such as {lacking[0]!r}; add them, or use --cluster none"
            )
        return _numbered([self.of_id[name] for name in ids], self.kind, f"column {self.kind} of {self.source}")


BY_IDS = ClusterRule()
"""Clusters are read from the ids of the samples."""


def cluster_rule(text: str) -> ClusterRule:
    """The rule that `--cluster` describes: `auto`, `none`, `FILE.csv` or `FILE.csv:COLUMN`.

    A file has a column `id` and one that names the cluster; with several others, the column must be named.

    Raises:
        BenchError: If the file cannot be read, or does not have these columns.
    """
    if text in (AUTO, NONE):
        return ClusterRule(text)
    name, colon, column = text.rpartition(":")
    # A path may hold a colon itself, as C:\ids.csv does.
    path, column = (Path(name), column) if colon and not Path(text).exists() else (Path(text), "")
    if not path.exists():
        raise BenchError(f"--cluster {text}: expected auto, none or a CSV file with a column id, got no such file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            head = list(reader.fieldnames or ())
            lines = list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise cannot_read("clusters", path, error, "expected CSV in UTF-8 ({reason})") from error
    kind = column or next((other for other in head if other != "id"), "")
    if "id" not in head or kind not in head or (not column and len(head) > 2):
        raise BenchError(
            f"--cluster {text}: expected a column id and one of clusters, got {', '.join(head) or 'an empty file'}; "
            f"name the column, as in {path}:{kind or 'video'}"
        )
    return ClusterRule(str(path), kind, {line["id"]: line[kind] for line in lines})


def _clusters_in_ids(ids: Sequence[str]) -> Clusters | None:
    for form, pattern in FORMS.items():
        matches = [pattern.fullmatch(name) for name in ids]
        if not all(matches):
            continue
        names = [next(group for group in match.groups() if group) for match in matches if match]
        return _numbered(names, re.split(r"\W|_", form)[0], f"ids of the form {form}")
    return None


def _numbered(names: Sequence[str], kind: str, source: str) -> Clusters | None:
    """Clusters by their names; None for a single cluster, or if every sample has its own."""
    distinct, codes = np.unique(np.array(names, dtype=str), return_inverse=True)
    if not 1 < len(distinct) < len(names):
        return None
    return Clusters(codes.astype(np.int64).reshape(-1), kind, source)
