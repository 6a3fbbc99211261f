"""The unit of storage: a cell and the facts that are recorded with it.

A cell is one model × seed × regime × protocol on one data set. Its key is a hash of everything that determines its
numbers, so equal keys mean equal predictions and a finished cell is never computed twice.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

SCHEMA = 1
"""Version of the stored files; readers refuse a higher one."""

ORACLE = "oracle"
"""Model name of the Bayes-optimal predictor, which is not trained: its regime is empty."""

GIVEN = "given"
"""Regime of weights that the user supplied."""

IMPORTED = "imported"
"""Regime of predictions that another program made; how its model was trained is not known."""

READABLE_LENGTH = 110
"""Longest readable part of a file name, in bytes. Encrypted file systems such as eCryptfs refuse names of more than 143
bytes, most others of more than 255; the key and the ending take 29."""

CELL_FILE = re.compile(r"[^.].*-(?P<key>[0-9a-f]{20})\.(parquet|json)", re.DOTALL)
"""Matches names of files of a cell. It matches neither hidden files nor the names that file managers and clouds give to
copies, such as `x (1).parquet`, `x copy.parquet` and `x-PC's conflicted copy.parquet`."""


def key_in(file_name: str) -> str:
    """The key in the name of a file of a cell; empty for any other name."""
    match = CELL_FILE.fullmatch(file_name)
    return match["key"] if match else ""


def digest_of(content: object) -> str:
    """SHA-256 of the canonical JSON of plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def run_name(dataset: str, keys: Sequence[str]) -> str:
    """The name of the folder of a run: the data set in characters that make no path, then a digest of the cells."""
    # The name may come from the manifest of a folder, which anybody can have written.
    readable = re.sub(r"[^\w.-]+", "_", dataset).lstrip(".-")
    prefix = readable.encode(errors="replace")[:READABLE_LENGTH].decode(errors="ignore")
    return f"{prefix or 'data'}-{digest_of(list(keys))[:12]}"


@dataclass(frozen=True)
class Cell:
    """The identity of one cell.

    Attributes:
        dataset: Name of the data set.
        data_digest: Digest of its content.
        protocol: Name of the protocol.
        protocol_digest: Digest of its meaning.
        model: Name of the model.
        regime: The conditions that it was trained under; empty for the oracle.
        recipe: Digest of everything else that determines predictions, except the seed: code, settings, versions,
            device.
        seed: Seed of initialisation, training and corruption draws.
    """

    dataset: str
    data_digest: str
    protocol: str
    protocol_digest: str
    model: str
    regime: str
    recipe: str
    seed: int

    @cached_property
    def key(self) -> str:
        """20 hexadecimal digits that identify the predictions."""
        # Plain values: asdict would copy each of them. The key itself is not among them until it is cached.
        return digest_of({**vars(self), "schema": SCHEMA})[:20]

    @property
    def label(self) -> str:
        """A readable name for messages, such as `qa-moe spectrum 1111 clean`."""
        parts = (self.model, self.regime, str(self.seed), self.protocol)
        return " ".join(part for part in parts if part)

    @property
    def file_name(self) -> str:
        """Name of the cell's file: a readable prefix of at most `READABLE_LENGTH` bytes, then the key."""
        parts = (self.protocol, self.model, self.regime, str(self.seed))
        # Names of models hold colons, slashes and commas, which some file systems refuse.
        readable = "-".join(re.sub(r"[^\w.]+", "_", part) for part in parts if part)
        # Cut in bytes, because a Chinese character has three; a character that was cut through is dropped.
        # A leading dot would hide the file.
        prefix = readable.lstrip(".").encode(errors="replace")[:READABLE_LENGTH].decode(errors="ignore")
        return f"{prefix}-{self.key}.parquet"


@dataclass(frozen=True)
class CellFacts:
    """The facts that are stored with a finished cell, in addition to its predictions.

    Attributes:
        conditions: Name and axis levels of each condition, in order.
        parameters: Number of trainable parameters.
        config: The model's configuration.
        training: Configuration and history of the training; empty for the oracle.
        experts: Per condition and modality, `load` and `weight` of each expert, if the model has experts.
        seconds_per_sample: Time of a complete forward pass, encoders included and corruption excluded, divided by the
            batch size: the median over the batches of the first condition, in which no encoding is reused. On the CPU
            this is processor time, which other processes disturb less than wall-clock time. Only values of the same
            run are comparable. 0 for the oracle and if not measured.
        encodings_asked: How often the sweep needed the encoding of one modality of one sample, for a model that
            encodes modalities separately, else 0. Predictions with other quality scores reuse the same encodings and
            are not counted.
        encodings_computed: How many of these were computed instead of reused from an equal input.
        permutations: Per metric of `qamoe_bench.evaluation.permutation_test`, its mean over conditions and draws with
            the model's own quality scores, and then under each permutation of them among the samples that have the
            modality; empty if none was tried.
        device: Kind of device that computed the cell; empty if not recorded.
        seconds_per_condition: Wall-clock time to evaluate one condition with one draw on the whole test split,
            corruption included; 0 if not measured.
        peak_memory_mib: Peak resident memory of the process until the cell was finished, in MiB; 0 if not measured.
        finished: Time at which the cell was finished, in UTC as ISO 8601, so that later times sort last; empty if not
            recorded. No number depends on it. It says which of two versions of a row is the newer, which the times of
            files do not: a checkout or a copy changes them.
        trained_on: What the weights were trained on and what of the protocol they have not seen, see
            `qamoe_bench.training.coverage.training_facts`; empty for given weights, the oracle, and if not recorded.
        train_size: Of data with another number of training samples than they are read with, that number (`samples`);
            of the data as they are read, the number (`base_samples`), name (`base`) and digest (`base_digest`). Empty
            for all other data.
        task: Of data whose labels are not numbers on a scale, `kind` and `names` of `qamoe_bench.vocabulary.Task`.
        imported: Of predictions that another program made, its name (`tool`), version (`commit`) and the digest of the
            `export` that they are of; empty for all others. Parameters of 0 are then unknown.
    """

    conditions: Sequence[Mapping[str, Any]]
    parameters: int
    config: Mapping[str, Any]
    training: Mapping[str, Any]
    experts: Mapping[str, Any] = field(default_factory=dict)
    seconds_per_sample: float = 0.0
    encodings_asked: int = 0
    encodings_computed: int = 0
    permutations: Mapping[str, Sequence[float]] = field(default_factory=dict)
    device: str = ""
    seconds_per_condition: float = 0.0
    peak_memory_mib: float = 0.0
    finished: str = ""
    trained_on: Mapping[str, Any] = field(default_factory=dict)
    imported: Mapping[str, str] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    train_size: Mapping[str, Any] = field(default_factory=dict)
