"""`qamoe-bench ls`: what there is, by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from qamoe_bench.cli.report import Results, talk
from qamoe_bench.errors import unknown_name
from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.protocol.parse import load_protocol, protocol_names
from qamoe_bench.registry import model_refs
from qamoe_bench.store.failures import failed_keys
from qamoe_bench.store.store import Store


def list_names(
    what: Annotated[str, typer.Argument(help="models, protocols, datasets, metrics or runs")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list of objects with `name`.")] = False,
    results: Results = Path("results"),
) -> None:
    """List what there is, by name."""
    lists: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "models": _models, "protocols": _protocols, "datasets": _datasets, "metrics": _metrics,
        "runs": lambda: _runs(Store(results)),
    }  # fmt: skip
    if what not in lists:
        raise unknown_name("list", what, lists)
    rows = lists[what]()
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif rows:
        from qamoe_bench.report.formats.terminal import print_rows

        print_rows(rows)
    else:
        talk.print(f"no {what} yet", highlight=False)


def _models() -> list[dict[str, Any]]:
    return [
        {"name": name, "summary": ref.summary(), "variants": ", ".join(ref.variants()), "builder": ref.target}
        for name, ref in model_refs().items()
    ]


def _protocols() -> list[dict[str, Any]]:
    found = [load_protocol(name) for name in protocol_names()]
    return [{"name": p.name, "title": p.title, "conditions": len(p.conditions), "digest": p.digest[:12]} for p in found]


def _datasets() -> list[dict[str, Any]]:
    from qamoe_bench.data.known import KNOWN

    embedded = {"name": "synthetic", "summary": "embedded, of known law: 1284/229/686 samples, with an oracle"}
    return [embedded, *({"name": k.name, "summary": f"{k.title}; see 'qamoe-bench data fetch'"} for k in KNOWN)]


def _metrics() -> list[dict[str, Any]]:
    return [
        {"name": m.name, "better": m.better, "unit": m.unit, "title": m.title,
         "dialects": ", ".join(d.name for d in DIALECTS.values() if m.name in d.definitions)}
        for m in METRICS.values()
    ]  # fmt: skip


def _runs(store: Store) -> list[dict[str, Any]]:
    done = store.finished()
    return [
        {"name": run["run"], "data": run["data"]["name"], "protocols": ", ".join(run["protocols"]),
         "cells": f"{len(done.intersection(run['cells']))}/{len(run['cells'])}",
         "failed": len(failed_keys(store, run["run"]) - done)}
        for run in store.manifests()
    ]  # fmt: skip
