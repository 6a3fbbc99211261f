"""Published numbers next to measured ones, with backbone, dialect and confidence, and never in a ranking.

`published.csv`, next to this file, holds the numbers with their sources. A number is assigned to a protocol of the
suite only to the extent that its paper describes the same protocol; `confidence` reports how the number is known: read
in the paper or its code, from a secondary description, or inferred. The dialect is empty if it is not known.
"""

import csv
import re
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
from qamoe_bench.vocabulary import Task

PUBLISHED_METRICS = {"acc2": "acc2_non0", "f1": "f1_non0", "acc7": "acc7", "mae": "mae", "corr": "corr"}
"""Columns of the file and the closest metric of the suite, for labels on a scale."""
OF_CLASSES = {"wa": "wa", "ua": "ua", "f1_weighted": "f1_weighted"}
"""The same for classes and several labels."""
CLEAN_CONDITION = "clean"
AVERAGE = "average"


@dataclass(frozen=True)
class Published:
    """A published line.

    Attributes:
        method: Its name in print.
        dataset: `mosi`, `mosei` or `iemocap`.
        protocol: The closest protocol of the suite, or a separate name.
        condition: A condition of that protocol, `clean`, `average` over all conditions except clean, or `auilc`.
        values: By column of the file; accuracies in percent.
        backbone: Features or encoders, if known.
        dialect: See `qamoe_bench.metrics.dialects`; empty if it is not known.
        confidence: How the number is known.
        source: Publication and place.
        note: Further remarks.
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
    """All published lines that the package contains."""
    text = files("qamoe_bench.report").joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(_parsed(line) for line in csv.DictReader(text.splitlines()))


def _parsed(line: Mapping[str, str]) -> Published:
    return Published(
        method=line["method"],
        dataset=line["dataset"],
        protocol=line["protocol"],
        condition=line["condition"],
        values={name: float(line[name]) for name in (*PUBLISHED_METRICS, *OF_CLASSES) if line[name]},
        backbone=line["backbone"],
        dialect=line["dialect"],
        confidence=line["confidence"],
        source=line["source"],
        note=line["note"],
    )


def published_table(analysis: Analysis) -> Table | None:
    """Published numbers for the data set under the protocol and on clean data, each below its measured counterpart.

    None if nothing is published.
    """
    section = analysis.section
    dataset, *_ = re.split("[-_]", section.dataset)  # mosi-aligned is a file of mosi, iemocap_data one of iemocap
    protocols = {section.protocol}
    if _conditions(section, CLEAN_CONDITION):
        protocols.add(CLEAN_CONDITION)
    columns = published_columns(section.task)
    fitting = [p for p in published() if p.dataset == dataset and p.protocol in protocols]
    lines = [p for p in fitting if not columns.keys().isdisjoint(p.values)]  # the data has labels of other tasks, too
    if not lines:
        return None
    order = [CLEAN_CONDITION, *section.conditions, AVERAGE]  # as in the tables by level
    # Conditions that the section lacks (`auilc`) come last.
    lines.sort(key=lambda p: (order.index(p.condition) if p.condition in order else len(order), p.method))
    head = ("method", "condition", *columns, "backbone", "dialect", "confidence")
    sources = dict.fromkeys(p.source for p in lines)  # without repetitions, in order
    notes = (
        "published values as printed, for orientation only: features, code and often the protocol differ; not ranked, "
        "not compared",
        f"sources: {'; '.join(sources)}",
    )
    return Table("Published and measured values", head, tuple(_rows(analysis, lines)), notes)


def published_columns(task: Task) -> Mapping[str, str]:
    """Columns of the file that are for a task, each with the closest metric of the suite."""
    return PUBLISHED_METRICS if task.is_regression else OF_CLASSES


def _rows(analysis: Analysis, lines: Sequence[Published]) -> Iterator[tuple[str, ...]]:
    """Each published line below the measured rows of the same method and condition."""
    implementations = models_in_print()
    for line in lines:
        models = implementations.get(line.method, ())
        for row in analysis.section.rows:
            if row.model in models and _conditions(analysis.section, line.condition):
                yield _measured(analysis, row, line.condition)
        columns = published_columns(analysis.section.task)
        values = (_shown(metric, line.values.get(column, np.nan)) for column, metric in columns.items())
        yield line.method, line.condition, *values, line.backbone or "–", line.dialect or "–", line.confidence


def _shown(name: str, value: float) -> str:
    metric = METRICS[name]
    return metric.show(value / metric.scale)  # the file has percent, `show` expects shares


def _measured(analysis: Analysis, row: Row, condition: str) -> tuple[str, ...]:
    """A measured row under a published condition, mean over seeds, draws and the conditions that it comprises."""
    conditions = _conditions(analysis.section, condition)
    values = []
    for metric in published_columns(analysis.section.task).values():
        definition = analysis.dialect.on_scale(analysis.section.label).definitions.get(metric)
        predictions = row.predictions_for(metric)[:, :, conditions].astype(np.float64)  # (S, V, C, N ...)
        value = (
            float(definition(predictions, analysis.section.label).mean()) if definition else np.nan
        )  # (S, V, C) -> scalar
        values.append(METRICS[metric].show(value))
    return f"{row.name}, measured", condition, *values, analysis.section.dataset, analysis.dialect.name, "measured"


def _conditions(section: Section, name: str) -> list[int]:
    """Indices of the section's conditions that a published condition comprises; empty if there are none."""
    names = list(section.conditions)
    clean = _clean_condition(section)
    if name == CLEAN_CONDITION:
        return [] if clean is None else [clean]
    if name == AVERAGE:
        return [i for i in range(len(names)) if i != clean]
    return [names.index(name)] if name in names else []


def _clean_condition(section: Section) -> int | None:
    """Index of the condition without corruption; protocols of named conditions call it `all` or `clean`."""
    if section.clean is not None:
        return section.clean
    names = list(section.conditions)
    return next((names.index(name) for name in ("all", CLEAN_CONDITION) if name in names), None)
