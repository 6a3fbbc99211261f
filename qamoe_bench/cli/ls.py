"""`qamoe-bench ls`: the names of models, protocols, data sets, metrics and runs. Nothing here needs torch."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qamoe_bench.cli.console import log, name_damaged, name_ignored, print_json
from qamoe_bench.cli.options import Results
from qamoe_bench.errors import unknown_name
from qamoe_bench.vocabulary import TASK_KINDS

if TYPE_CHECKING:
    from qamoe_bench.store.folder import ResultsFolder

Entry = dict[str, Any]
"""One line of a list: its columns by name, the first of them `name`."""


def list_names(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="models, protocols, datasets, metrics or runs.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for programs: a list of objects with `name`.")
    ] = False,
    results: Results = Path("results"),
) -> None:
    """List the available models, protocols, data sets or metrics, or the stored runs."""
    listings: dict[str, Callable[[], list[Entry]]] = {
        "models": _models,
        "protocols": _protocols,
        "datasets": _datasets,
        "metrics": _metrics,
        "runs": lambda: _runs(results),  # the only list that depends on an option
    }
    if kind not in listings:
        raise unknown_name("list", kind, listings)
    entries = listings[kind]()
    if as_json:
        print_json(entries)
    else:
        _print_entries(kind, entries)


def _print_entries(kind: str, entries: Sequence[Entry]) -> None:
    if not entries:
        log(f"no {kind} yet")
        return
    from qamoe_bench.report.formats.terminal import print_rows

    print_rows(entries)


def _models() -> list[Entry]:
    from qamoe_bench.registry import model_refs

    # Summaries, variants and cards are read from source files; no model is imported.
    entries = []
    for name, ref in model_refs().items():
        card = ref.card()
        entry: Entry = {"name": name, "groups": ", ".join(card.groups), "tasks": _tasks(card.tasks)}
        entry["year"] = card.year or ""
        entry["parameters"] = "" if card.parameters is None else card.parameters
        entry |= {"needs": ", ".join(card.requires) or "any", "summary": ref.summary()}
        entries.append({**entry, "variants": ", ".join(ref.variants()), "builder": ref.target})
    return entries


def _tasks(tasks: Sequence[str]) -> str:
    """The tasks of a card in few words; empty where it declares none."""
    return "all" if set(tasks) == set(TASK_KINDS) else ", ".join(tasks)


def _protocols() -> list[Entry]:
    from qamoe_bench.protocol.parse import load_protocol, protocol_names

    entries = []
    for name in protocol_names():
        protocol = load_protocol(name)
        digest = protocol.digest[:12]  # enough to distinguish two versions
        entries.append(
            {"name": name, "title": protocol.title, "conditions": len(protocol.conditions), "digest": digest}
        )
    return entries


def _datasets() -> list[Entry]:
    from qamoe_bench.data.embedded import EMBEDDED
    from qamoe_bench.data.known import KNOWN

    entries: list[Entry] = []
    for name, embedded in EMBEDDED.items():
        entries.append({"name": name, "here": "yes", "summary": embedded.summary})
    for known in KNOWN:
        summary = f"{known.title}; 'qamoe-bench data fetch {known.name}' says how to get it"
        entries.append({"name": known.name, "here": "no", "summary": summary})
    return entries


def _metrics() -> list[Entry]:
    from qamoe_bench.metrics.catalogue import METRICS
    from qamoe_bench.metrics.dialects import DIALECTS

    entries = []
    for metric in METRICS.values():
        dialects = [dialect for dialect in DIALECTS.values() if metric.name in dialect.definitions]
        entries.append(
            {
                "name": metric.name,
                "task": ", ".join(dict.fromkeys(dialect.task for dialect in dialects)),
                "better": metric.better,
                "unit": metric.unit,
                "title": metric.title,
                "dialects": ", ".join(dialect.name for dialect in dialects),
            }
        )
    return entries


def _runs(results: Path) -> list[Entry]:
    from qamoe_bench.store.failures import failed_keys
    from qamoe_bench.store.folder import ResultsFolder

    folder = ResultsFolder(results)
    name_ignored(folder)
    finished, damaged = _finished_and_damaged(folder)
    entries = []
    for run in folder.manifests():
        cells = run["cells"]
        done = finished.intersection(cells)
        # Another run may have finished a cell that failed here.
        failed = failed_keys(folder, run["run"]) - finished
        entries.append(
            {
                "name": run["run"],
                "data": run["data"]["name"],
                "protocols": ", ".join(run["protocols"]),
                "cells": f"{len(done)}/{len(cells)}",
                "failed": len(failed),
                "damaged": damaged[run["run"]],
            }
        )
    return entries


def _finished_and_damaged(folder: "ResultsFolder") -> tuple[set[str], Counter[str]]:
    """The keys of the finished cells, and the number of damaged files by run; these are logged."""
    from qamoe_bench.store.intact import intact_keys

    keys = intact_keys(folder)
    if keys is not None:
        return keys, Counter()
    from qamoe_bench.store.store import Store

    contents = Store(folder.root).contents()
    name_damaged(contents.damaged)
    finished = {stored.cell.key for stored in contents.cells}
    return finished, Counter(damage.path.parent.parent.name for damage in contents.damaged)
