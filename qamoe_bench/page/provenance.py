"""Provenance: command, data, code, versions and machine of every run, and the key of every cell."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from qamoe_bench.report.table import Table
from qamoe_bench.store.store import StoredCell

# The content of a run's `run.json`.
Manifest = Mapping[str, Any]
# Hexadecimal digits of a hash that the table shows
SHOWN_DIGITS = 12


def run_facts(manifest: Manifest) -> list[tuple[str, str]]:
    """The facts of a manifest that are known, by name."""
    # Manifests of older versions lack some keys.
    data = manifest.get("data", {})
    engine = manifest.get("engine", {})
    facts = {
        "command": command(manifest.get("request", {})),
        "imported": _imported(manifest.get("imported", {})),
        "data": _data(data),
        "repaired in the data": " ".join(data.get("notes", ())),
        "engine's code, SHA-256": engine.get("engine", ""),
        "commit": manifest.get("commit", ""),
        "versions": _versions(engine),
        "device": engine.get("device", ""),
        "machine": _machine(manifest.get("machine", {})),
    }
    return [(name, value) for name, value in facts.items() if value]


def command(request: Manifest) -> str:
    """The command line that repeats a request; empty for an empty request."""
    if not request:
        return ""
    words = ["qamoe-bench", "run"]
    for option, key in (("--protocol", "protocols"), ("--model", "models"), ("--regime", "regimes")):
        for value in request.get(key, ()):
            words += [option, str(value)]
    words += ["--seeds", ",".join(str(seed) for seed in request.get("seeds", ()))]
    # Options that were left at their defaults are not repeated.
    for key in ("data", "fine_tune", "preset", "device", "checkpoint"):
        if request.get(key):
            words += [f"--{key.replace('_', '-')}", str(request[key])]
    reading = request.get("reading", {})
    if reading.get("label_range"):
        words += ["--label-range", *(f"{limit:g}" for limit in reading["label_range"])]
    for key in ("drop_bad_labels", "accept_unknown_tokens"):
        if reading.get(key):
            words.append(f"--{key.replace('_', '-')}")
    if reading.get("task"):
        words += ["--task", str(reading["task"])]
    if reading.get("classes"):
        words += ["--classes", ",".join(map(str, reading["classes"]))]
    return shlex.join(words)  # quotes what the shell would interpret


def _imported(origin: Manifest) -> str:
    """Name, tool and version of predictions that another program made."""
    commit = f"commit {origin['commit']}" if origin.get("commit") else ""
    return _joined(origin.get("model", ""), origin.get("tool", ""), commit)


def _data(data: Manifest) -> str:
    samples = ", ".join(f"{count} {split}" for split, count in data.get("samples", {}).items())
    return _joined(data.get("name", ""), samples, data.get("digest", ""))


def _versions(engine: Manifest) -> str:
    versions = engine.get("versions", {}).items()
    return ", ".join(f"{name} {version}" for name, version in versions if version != "not installed")


def _machine(machine: Manifest) -> str:
    cores = f"{machine['cores']} cores" if machine.get("cores") else ""
    return _joined(machine.get("processor", ""), cores, machine.get("system", ""))


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def cell_table(cells: Sequence[StoredCell]) -> Table:
    """Every cell by its key."""
    head = ("cell", "data set", "protocol", "model", "regime", "seed", "data", "protocol digest", "recipe", "run")
    rows = tuple(
        (
            c.cell.key, c.cell.dataset, c.cell.protocol, c.cell.model, c.cell.regime or "–", str(c.cell.seed),
            c.cell.data_digest[:SHOWN_DIGITS], c.cell.protocol_digest[:SHOWN_DIGITS], c.cell.recipe[:SHOWN_DIGITS],
            c.path.parent.parent.name,
        )
        for c in sorted(cells, key=_order)
    )  # fmt: skip
    return Table("Cells, with the hashes of everything that determines them", head, rows)


def _order(stored: StoredCell) -> tuple[str, str, str, str, int]:
    cell = stored.cell
    return cell.dataset, cell.protocol, cell.model, cell.regime, cell.seed
