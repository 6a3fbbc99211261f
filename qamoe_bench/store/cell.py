"""What a store holds, as types: cells and the facts about them.

A cell is one model × seed × regime × protocol on one data set. Its key is a hash of everything that determines its
numbers, so equal keys mean equal predictions and a finished cell never has to be made again.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA = 1

ORACLE = "oracle"
"""The row of the Bayes-optimal predictor; it is not trained, and its regime says so."""

GIVEN = "given"
"""The regime of weights that the user brought."""


READABLE = 120
"""Characters of the readable part of a file's name; a name of more than 255 is refused by most file systems."""


def digest_of(content: object) -> str:
    """SHA-256 of the canonical JSON of plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        dataset: Name of the data set.
        data_digest: Digest of its content.
        protocol: Name of the protocol.
        protocol_digest: Digest of its meaning.
        model: Name of the model.
        regime: How it was trained; empty for the oracle.
        recipe: Digest of all else that determines predictions but the seed: code, settings, versions, device.
        seed: Of initialisation, training and corruption draws.
    """

    dataset: str
    data_digest: str
    protocol: str
    protocol_digest: str
    model: str
    regime: str
    recipe: str
    seed: int

    @property
    def key(self) -> str:
        """20 hexadecimal digits that determine the predictions."""
        return digest_of({**asdict(self), "schema": SCHEMA})[:20]

    @property
    def words(self) -> str:
        """How it is called in talk."""
        return " ".join(filter(None, (self.model, self.regime, str(self.seed), self.protocol)))

    @property
    def file_name(self) -> str:
        """Name of its file: readable in front, as far as file systems allow, the key behind."""
        words = (self.protocol, self.model, self.regime, str(self.seed))
        readable = "-".join(re.sub(r"[^\w.]+", "_", word) for word in words if word)
        return f"{readable[:READABLE]}-{self.key}.parquet"


@dataclass(frozen=True)
class CellFacts:
    """What is known of a finished cell beside its predictions.

    Attributes:
        conditions: Name and axis levels of each condition, in order.
        parameters: Number of trainable parameters.
        config: The model's configuration.
        training: Configuration and course of the training; empty for the oracle.
        experts: Per condition and modality, `load` and `weight` of each expert, where the model has experts.
        seconds_per_sample: Time of a whole forward pass, encoders and all, divided by the size of its batch: the median
            over the batches of the first condition, in which no encoding is reused; corruption is not in it. On the
            CPU it is the processor's, which other work moves less than the clock's. Comparable only with that of other
            cells of the same run. 0 for the oracle, and where it was not measured.
        encodings_asked: How often the encoding of a modality of a sample was needed, of a model that encodes
            modalities apart; else 0. The answers with other quality scores are given from those of the first answer.
        encodings_computed: How many of these were computed, and not taken from an equal input before.
        device: Kind of device that computed it; empty where it was not recorded.
        seconds_per_condition: Wall-clock time of evaluating one condition with one draw of the whole test split,
            corruption and all; 0 where it was not measured.
        peak_memory_mib: Largest resident memory of the process until the cell was finished; 0 where it was not
            measured.
    """

    conditions: Sequence[Mapping[str, Any]]
    parameters: int
    config: Mapping[str, Any]
    training: Mapping[str, Any]
    experts: Mapping[str, Any] = field(default_factory=dict)
    seconds_per_sample: float = 0.0
    encodings_asked: int = 0
    encodings_computed: int = 0
    device: str = ""
    seconds_per_condition: float = 0.0
    peak_memory_mib: float = 0.0
