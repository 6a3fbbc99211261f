"""The names and manifests in a results folder, for callers that read no predictions.

Nothing here needs numpy or Arrow, which take longer to load than a folder takes to list.

`qamoe_bench.store.store` describes what lies in such a folder.
"""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from qamoe_bench.errors import BenchError
from qamoe_bench.store.access import cannot_list, cannot_read, no_permission
from qamoe_bench.store.cell import key_in
from qamoe_bench.store.identity import Damage, check_schema


class ResultsFolder:
    """A results folder as far as the names of its files and the manifests of its runs tell.

    Args:
        root: The folder; it need not exist.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.runs = self.root / "runs"
        self._prepared: set[str] = set()  # runs that this process writes to

    def manifests(self, run_ids: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """The manifest of every run, in order of run ids, or of these runs; empty if the store does not exist.

        Raises:
            BenchError: If a manifest cannot be read or is of a newer schema.
        """
        manifests: dict[str, dict[str, Any]] = {}
        for run_id in self.run_ids() if run_ids is None else run_ids:
            path = self.runs / run_id / "run.json"
            if _exists(path):
                manifest = _read_manifest(path)
                manifests.setdefault(manifest.get("run", run_id), manifest)  # once, if a folder was copied
        return list(manifests.values())

    def finished(self) -> set[str]:
        """The keys of the finished cells, taken from file names without opening any file."""
        keys = set()
        for folder in self.prediction_folders():
            keys |= {key_in(name) for name in file_names(folder, is_cell_file)}
        return keys

    def ignored(self) -> list[Path]:
        """Parquet files among the predictions that have no name of a cell, such as copies that a cloud made."""
        paths = []
        for folder in self.prediction_folders():
            paths += [folder / name for name in file_names(folder, _is_misnamed)]
        return paths

    def run_ids(self) -> list[str]:
        """Names of the folders of all runs, sorted.

        Raises:
            BenchError: If the folder cannot be read, as where another user does not let this one.
        """
        try:
            with os.scandir(self.runs) as entries:
                names = {entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()}
        except (FileNotFoundError, NotADirectoryError):
            names = set()
        except OSError as error:  # a circle of links, a name that is too long, a network that is gone
            raise cannot_list(self.runs, error) from error
        # A listing on a network file system may not show a new folder yet.
        return sorted(names | {run_id for run_id in self._prepared if _exists(self.runs / run_id)})

    def prediction_folders(self) -> list[Path]:
        """The folder of every run for the files of its cells, whether or not it exists."""
        return [self.runs / run_id / "predictions" for run_id in self.run_ids()]


def file_names(folder: Path, is_wanted: Callable[[str], object]) -> list[str]:
    """Sorted names of the wanted files; empty if the folder does not exist.

    Raises:
        BenchError: If the folder cannot be read, as where another user does not let this one.
    """
    try:
        with os.scandir(folder) as entries:  # several times faster than Path.glob in large folders
            return sorted(entry.name for entry in entries if is_wanted(entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise cannot_list(folder, error) from error


def json_bytes(content: object) -> bytes:
    """Readable JSON in UTF-8; parts of names that are no valid text become escapes, which JSON reads back."""
    return json.dumps(content, indent=2, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def is_cell_file(name: str) -> bool:
    """Whether a file of this name among predictions is one of a cell."""
    return name.endswith(".parquet") and bool(key_in(name))


def _is_misnamed(name: str) -> bool:
    return name.endswith(".parquet") and not name.startswith(".") and not key_in(name)


def _exists(path: Path) -> bool:
    """Whether a path exists.

    Raises:
        BenchError: If another user does not let this one look.
    """
    try:
        return path.exists()
    except PermissionError as error:
        raise no_permission("results folder", path.parent) from error


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        # From bytes, so that a byte-order mark and line ends of Windows are read as well.
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        schema = manifest.get("schema")
        run = manifest.get("run", "")
    except (OSError, ValueError, AttributeError, RecursionError) as error:  # AttributeError if it is no object
        raise cannot_read("run manifest", path, error, "cannot be read ({reason}); remove that run's folder") from error
    try:
        check_schema(path, schema)
        if not isinstance(run, str):
            raise Damage("the name of its run is no text")
    except Damage as error:
        raise BenchError(f"run manifest {path}: cannot be read ({error}); remove that run's folder") from error
    return manifest
