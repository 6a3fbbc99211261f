"""Where numbers come from: command, data, code, versions and machine of every run, and the key of every cell."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from qamoe_bench.report.table import Table
from qamoe_bench.store.store import StoredCell

Manifest = Mapping[str, Any]
HASH = 12  # digits of a hash that are shown


def run_facts(manifest: Manifest) -> list[tuple[str, str]]:
    """What a manifest says, by name."""
    data, engine, machine = (manifest.get(key, {}) for key in ("data", "engine", "machine"))
    samples = ", ".join(f"{n} {split}" for split, n in data.get("samples", {}).items())
    versions = ", ".join(f"{name} {of}" for name, of in engine.get("versions", {}).items() if of != "not installed")
    facts = {
        "command": command(manifest.get("request", {})),
        "data": " · ".join(filter(None, (data.get("name", ""), samples, data.get("digest", "")))),
        "mended in the data": " ".join(data.get("notes", ())),
        "engine's source, SHA-256": engine.get("engine", ""),
        "commit": manifest.get("commit", ""),
        "versions": versions,
        "device": engine.get("device", ""),
        "machine": " · ".join(
            filter(None, (machine.get("processor", ""), _cores(machine.get("cores")), machine.get("system", "")))
        ),
    }
    return [(name, value) for name, value in facts.items() if value]


def command(request: Manifest) -> str:
    """The command line that asks for the same again."""
    if not request:
        return ""
    words = ["qamoe-bench", "run"]
    for option, key in (("--protocol", "protocols"), ("--model", "models"), ("--regime", "regimes")):
        words += [word for value in request.get(key, ()) for word in (option, str(value))]
    words += ["--seeds", ",".join(map(str, request.get("seeds", ())))]
    for key in ("data", "preset", "device", "checkpoint"):
        words += [f"--{key}", str(request[key])] if request.get(key) else []
    return shlex.join(words)


def _cores(count: object) -> str:
    return f"{count} cores" if count else ""


def cell_table(cells: Sequence[StoredCell]) -> Table:
    """Every cell by its key."""
    head = ("cell", "data set", "protocol", "model", "regime", "seed", "data", "protocol's meaning", "recipe", "run")
    rows = tuple(
        (
            c.cell.key, c.cell.dataset, c.cell.protocol, c.cell.model, c.cell.regime or "–", str(c.cell.seed),
            c.cell.data_digest[:HASH], c.cell.protocol_digest[:HASH], c.cell.recipe[:HASH], c.path.parent.parent.name,
        )
        for c in sorted(cells, key=_place)
    )  # fmt: skip
    return Table("Every cell, with the hashes of all that determines it", head, rows)


def _place(stored: StoredCell) -> tuple[str, str, str, str, int]:
    cell = stored.cell
    return cell.dataset, cell.protocol, cell.model, cell.regime, cell.seed
