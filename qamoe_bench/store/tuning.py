"""Trials of tuning studies and the settings that they chose, apart from the runs of a results folder.

    tuning/<dataset>-<digest>/<model>-<regime>-draw<n>-<key>.jsonl   one line per trial, in order
                              <model>-<regime>-<key>.json            the chosen settings, see `TunedModel`

Every line has a checksum of its content. A file is read up to the first line that is not intact, because each later
trial depends on all before it. Nothing is locked: files are written whole and renamed, and what two commands write
under one name differs in the recorded times only.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qamoe_bench.errors import BenchError
from qamoe_bench.store.access import cannot_read, cannot_write
from qamoe_bench.store.atomic import write_atomic
from qamoe_bench.store.cell import READABLE_LENGTH, run_name
from qamoe_bench.store.stored_cell import StoredCell

FOLDER = "tuning"
SCHEMA = 1
"""Version of these files; readers refuse a higher one."""
SEARCH = "search"
CONFIRMATION = "confirmation"
"""Purposes of a training: a trial of the search, or the comparison of the settings that several searches chose."""


@dataclass(frozen=True)
class TrialRecord:
    """One training of a tuning study.

    Attributes:
        purpose: `SEARCH` or `CONFIRMATION`.
        model: Name of the model with the settings of the trial, as `qamoe-bench run` takes it.
        choices: What the search chose, by dimension of its space; empty for the defaults and confirmations.
        error: Error on the validation split, in label units, or the negative log-likelihood; None if training failed.
        best_epoch: The epoch that the error is of, from 1; 0 for a model that is not trained.
        key: Identifies everything that determines the error; empty if the model could not be built.
        seconds: Wall-clock time.
        failure: Why the training failed, in one line.
    """

    purpose: str
    model: str
    choices: Mapping[str, float]
    error: float | None
    best_epoch: int = 0
    key: str = ""
    seconds: float = 0.0
    failure: str = ""


@dataclass(frozen=True)
class TunedModel:
    """The settings that a tuning study chose for a model.

    Attributes:
        model: Name of the model before tuning.
        regime: Training regime.
        tuned: Its name with the chosen settings; the same name where the defaults were best.
        default_errors: Validation error of the defaults, by draw.
        tuned_errors: Validation error of the chosen settings, by draw.
        trials: Number of trials of each draw, the defaults included.
        space: Dimensions of the search, each as a phrase.
    """

    model: str
    regime: str
    tuned: str
    default_errors: Sequence[float]
    tuned_errors: Sequence[float]
    trials: int
    space: Sequence[str] = field(default=())

    @property
    def is_changed(self) -> bool:
        """Whether other settings than the defaults were chosen."""
        return self.tuned != self.model


def tuning_folder(root: Path, dataset: str, digest: str) -> Path:
    """The folder for the trials on a data set in a results folder."""
    return root / FOLDER / run_name(dataset, [digest])


def readable_name(*parts: str) -> str:
    """A name for a file from names of models and others, which may hold any character; the last part is kept whole."""
    *cut, last = (re.sub(r"[^\w.]+", "_", part).lstrip(".") for part in parts)
    prefix = "-".join(cut).encode(errors="replace")[: READABLE_LENGTH - len(last)].decode(errors="ignore")
    return f"{prefix}-{last}"


def write_trials(path: Path, records: Sequence[TrialRecord]) -> None:
    """Write all trials of a file.

    Raises:
        BenchError: If it cannot be written.
    """
    _make_folder(path.parent)
    lines = []
    for record in records:
        content = json.dumps(asdict(record))
        lines.append(json.dumps({"checksum": _checksum(content), "schema": SCHEMA, **asdict(record)}))
    write_atomic(path, "".join(f"{line}\n" for line in lines).encode())


def read_trials(path: Path) -> list[TrialRecord]:
    """The trials of a file up to the first that is damaged; none without a file.

    Raises:
        BenchError: If the file may not be read or is of a newer schema.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        remedy = "cannot be read ({reason}); remove it, and the same command repeats its trials"
        raise cannot_read("trials", path, error, remedy) from error
    records = []
    for line in lines:
        record = _intact(path, line)
        if record is None:
            break
        records.append(record)
    return records


def _intact(path: Path, line: str) -> TrialRecord | None:
    """The trial of a line; None if it is not as it was written."""
    try:
        content = json.loads(line)
        checksum = content.pop("checksum")
        schema = content.pop("schema")
        is_newer = schema > SCHEMA
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if is_newer:
        raise BenchError(
            f"trials {path}: expected schema {SCHEMA}, got {schema}; a newer qamoe-bench wrote them, so update it"
        )
    if checksum != _checksum(json.dumps(content)):
        return None
    return TrialRecord(**content)


def _checksum(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def write_tuned(folder: Path, key: str, tuned: TunedModel) -> None:
    """Write the chosen settings of a model.

    Args:
        folder: See `tuning_folder`.
        key: Identifies the model, its regime and the preset.
        tuned: The settings.

    Raises:
        BenchError: If they cannot be written.
    """
    _make_folder(folder)
    content = {"schema": SCHEMA, **asdict(tuned)}
    path = folder / f"{readable_name(tuned.model, tuned.regime, key)}.json"
    write_atomic(path, (json.dumps(content, indent=2) + "\n").encode())


def tuned_models(stored: StoredCell) -> list[TunedModel]:
    """The models that were tuned on the data of a stored cell, in its results folder.

    Raises:
        BenchError: If a file cannot be read or is of a newer schema.
    """
    if not stored.path.name:  # a cell in memory
        return []
    # A cell lies in <root>/runs/<run-id>/predictions.
    folder = tuning_folder(stored.path.absolute().parents[3], stored.cell.dataset, stored.cell.data_digest)
    return [_read_tuned(path) for path in sorted(folder.glob("[!.]*.json"))]


def _read_tuned(path: Path) -> TunedModel:
    remedy = "not a file of 'qamoe-bench tune' ({reason}); remove it and tune again"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("schema") > SCHEMA:
            raise BenchError(f"tuned settings {path}: a newer qamoe-bench wrote them; update it")
        return TunedModel(**content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise cannot_read("tuned settings", path, error, remedy) from error


def _make_folder(folder: Path) -> None:
    with suppress(FileExistsError):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
