"""The manifest of an export: what its files hold, which samples they are, and how they were corrupted.

format, schema        FORMAT and a version; later versions are refused
digest                SHA-256 of everything else in the manifest, so that an edit is noticed
layout                name of the layout, see `qamoe_bench.exchange.layouts`
protocol              name, digest, title, source, definition, draws
data                  name, digest, label_range, samples of each split, widths, notes
split, samples        the exported split and its number of samples
seeds, conditions     in the order of the cases; of each condition its name and the levels of its axes
cases                 seed, draw, condition, file, noise_file, realised shares of missing frames, realised noise
files                 SHA-256 and size of every other file, by name
reading               options that read a file of this folder as it was read before; empty for none
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.errors import BenchError
from qamoe_bench.store.cell import digest_of

FORMAT = "qamoe-bench export"
EXPORT_SCHEMA = 1
MANIFEST_FILE = "manifest.json"
SAMPLES_FILE = "samples.npz"
"""Ids, labels and numbers of valid frames of the samples."""
FACTS_FILE = "facts.npz"
"""What a store records of the samples and their corruption; only of the test split."""
TEST = "test"
"""The split that predictions can be imported for."""
AGAIN = "restore it, or export again with 'qamoe-bench export'"
_MAX_BYTES = 2**28
# What every manifest has, with the type of each part.
_PARTS: Mapping[str, type] = {
    "layout": str, "protocol": dict, "data": dict, "split": str, "samples": int, "seeds": list, "conditions": list,
    "cases": list, "files": dict,
}  # fmt: skip


@dataclass(frozen=True)
class ExportManifest:
    """A checked manifest.

    Attributes:
        folder: The folder that it describes.
        content: The parsed JSON.
    """

    folder: Path
    content: Mapping[str, Any]

    @property
    def protocol(self) -> Mapping[str, Any]:
        """Name, digest and prose of the protocol."""
        return dict(self.content["protocol"])

    @property
    def data(self) -> Mapping[str, Any]:
        """Name, digest and facts of the data set."""
        return dict(self.content["data"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the corruption, in order."""
        return tuple(self.content["seeds"])

    @property
    def draws(self) -> int:
        """Independent draws of each condition."""
        return int(self.protocol["draws"])

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions, in order."""
        return tuple(condition["name"] for condition in self.content["conditions"])

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """The arrays of one of the archives, after its hash was checked.

        Raises:
            BenchError: The file is missing or differs from the manifest.
        """
        path = self.folder / name
        expected = self.content["files"].get(name, {}).get("sha256")
        try:
            with path.open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
                if actual != expected:
                    raise _wrong(path, "the SHA-256 in the manifest", "another")
                with np.load(path, allow_pickle=False) as archive:
                    return dict(archive)
        except OSError as error:
            raise _wrong(path, "a readable file", error.strerror or str(error)) from error


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest with format, schema and the digest of its content."""
    whole = {"format": FORMAT, "schema": EXPORT_SCHEMA, **content}
    return {**whole, "digest": digest_of(whole)}


def read_export(folder: Path | str) -> ExportManifest:
    """The manifest in a folder that `qamoe-bench export` wrote; its path is accepted too.

    Raises:
        BenchError: There is none, or it is of a newer format, damaged or edited.
    """
    place = Path(folder)
    place = place.parent if place.name == MANIFEST_FILE else place
    path = place / MANIFEST_FILE
    content = _parsed(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _wrong(path, f"the manifest of an export (format {FORMAT!r})", "another file", "name an export's folder")
    schema = content.get("schema")
    if type(schema) is not int or schema > EXPORT_SCHEMA:
        raise _wrong(path, f"schema {EXPORT_SCHEMA} or older", f"{schema!r:.20}", "update qamoe-bench to read it")
    unsealed = {key: value for key, value in content.items() if key != "digest"}
    lacking = [name for name, kind in _PARTS.items() if not isinstance(content.get(name), kind)]
    # Whoever edits a manifest changes what predictions are of, so every part is covered.
    if lacking or content.get("digest") != digest_of(unsealed):
        raise _wrong(path, "the manifest as it was written", "an edited or damaged one")
    return ExportManifest(place, content)


def _parsed(path: Path) -> object:
    try:
        with path.open("rb") as file:
            return json.loads(file.read(_MAX_BYTES))
    except FileNotFoundError as error:
        remedy = "name the folder that 'qamoe-bench export --output' wrote"
        raise _wrong(path, "the manifest of an export", "no such file", remedy) from error
    except OSError as error:
        remedy = "name the folder that 'qamoe-bench export --output' wrote"
        raise _wrong(path, "a readable file", error.strerror or str(error), remedy) from error
    except (ValueError, RecursionError) as error:
        raise _wrong(path, "JSON", "something else or a part of it") from error


def _wrong(path: Path, expected: str, got: str, remedy: str = AGAIN) -> BenchError:
    return BenchError(f"{path}: expected {expected}, got {got}; {remedy}")
