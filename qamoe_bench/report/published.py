"""Published numbers beside measured ones, with backbone, dialect and confidence, and never in a ranking.

`published.csv` beside this file holds them, with the source of each. A number belongs to a protocol of the suite only
as far as its paper's description does; `confidence` says how well it is known: read in the paper or its code, from a
secondary description, or inferred. Where the dialect is not known, it is empty.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.registry import models_in_print
from qamoe_bench.report.table import Table

COLUMNS = {"acc2": "acc2_non0", "f1": "f1_non0", "acc7": "acc7", "mae": "mae", "corr": "corr"}
"""Columns of the file and the metrics that come nearest to them."""
CLEAN, AVERAGE = "clean", "average"


@dataclass(frozen=True)
class Published:
    """A published line.

    Attributes:
        method: Its name in print.
        dataset: `mosi` or `mosei`.
        protocol: The suite's protocol that comes nearest, or a name of its own.
        condition: A condition of that protocol, `clean`, `average` over all but the clean one, or `auilc`.
        values: By column of the file; accuracies in percent.
        backbone: Features or encoders, as far as they are known.
        dialect: See `qamoe_bench.metrics.dialects`; empty where it is not known.
        confidence: How well it is known.
        source: Where it stands.
        note: What else to know.
    """

    method: str
    dataset: str
    protocol: str
    condition: str
    values: Mapping[str, float]
    backbone: str
    dialect: str
    confidence: str
    source: str
    note: str


@cache
def published() -> tuple[Published, ...]:
    """Everything that is shipped."""
    text = files("qamoe_bench.report").joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(_line(line) for line in csv.DictReader(text.splitlines()))


def _line(line: Mapping[str, str]) -> Published:
    values = {name: float(line[name]) for name in COLUMNS if line[name]}
    words = ("backbone", "dialect", "confidence", "source", "note")
    return Published(
        line["method"], line["dataset"], line["protocol"], line["condition"], values, *(line[w] for w in words)
    )


def published_table(found: Analysis) -> Table | None:
    """What is published for the data set under the protocol, and for clean data, with measured rows above theirs."""
    section = found.section
    dataset, *_ = section.dataset.split("-")  # mosi-aligned is a file of mosi
    protocols = {section.protocol} | ({CLEAN} if _conditions(section, CLEAN) else set())
    lines = [p for p in published() if p.dataset == dataset and p.protocol in protocols]
    if not lines:
        return None
    order = [CLEAN, *section.conditions, AVERAGE]
    lines.sort(key=lambda p: (order.index(p.condition) if p.condition in order else len(order), p.method))
    head = ("method", "condition", *COLUMNS, "backbone", "dialect", "confidence")
    sources = dict.fromkeys(p.source for p in lines)
    notes = (
        "as printed, for orientation: other features, other code, often another protocol; not ranked, not compared",
        f"sources: {'; '.join(sources)}",
    )
    return Table("Published, beside what is measured here", head, tuple(_rows(found, lines)), notes)


def _rows(found: Analysis, lines: Sequence[Published]) -> Iterator[tuple[str, ...]]:
    implementations = models_in_print()
    for p in lines:
        for row in found.section.rows:
            if row.model in implementations.get(p.method, ()) and _conditions(found.section, p.condition):
                yield _measured(found, row, p.condition)
        values = (_shown(name, p.values.get(name, np.nan)) for name in COLUMNS)
        yield p.method, p.condition, *values, p.backbone or "–", p.dialect or "–", p.confidence


def _shown(column: str, value: float) -> str:
    metric = METRICS[COLUMNS[column]]
    return metric.show(value / metric.scale)


def _measured(found: Analysis, row: Row, condition: str) -> tuple[str, ...]:
    places, label = _conditions(found.section, condition), found.section.label
    values = []
    for metric in COLUMNS.values():
        definition = found.dialect.definitions.get(metric)
        answers = row.predictions_for(metric)[:, :, places].astype(np.float64)
        value = float(definition(answers, label).mean()) if definition else np.nan
        values.append(METRICS[metric].show(value))
    return f"{row.name}, measured", condition, *values, found.section.dataset, found.dialect.name, "measured"


def _conditions(section: Section, name: str) -> list[int]:
    """Indices of the section's conditions that a published condition means; none where it has no such."""
    names = list(section.conditions)
    whole = (
        section.clean
        if section.clean is not None
        else next((names.index(n) for n in ("all", CLEAN) if n in names), None)
    )
    if name == CLEAN:
        return [] if whole is None else [whole]
    if name == AVERAGE:
        return [i for i in range(len(names)) if i != whole]
    return [names.index(name)] if name in names else []
