"""A store of made-up predictions of classes or of several labels, for tests of analyses, reports and the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.evaluation.columns import as_arrow
from qamoe_bench.store.cell import ORACLE, Cell, CellFacts
from qamoe_bench.store.store import Store
from qamoe_bench.vocabulary import LOG_PROBABILITY, Task

EMOTIONS = Task("classes", ("happy", "sad", "angry"))
SEVERAL = Task("multi-label", ("happy", "sad", "angry"))
MODALITIES = ("text", "audio", "vision")
LEVELS = (0.0, 0.3, 0.6)
MODELS: Mapping[str, float] = MappingProxyType({"late-fusion": 2.0, "sure": 3.0, "mean": 0.0, ORACLE: 4.0})
"""How far the score of the truth lies above the others, without corruption."""


def labels_of(task: Task, samples: int) -> NDArray[np.float64]:
    """Labels with unequal shares, the same for every store of this size."""
    random = np.random.default_rng(0)
    if task.kind == "classes":
        return random.choice(len(task.names), samples, p=[0.5, 0.3, 0.2]).astype(np.float64)
    return (random.random((samples, len(task.names))) < [0.6, 0.3, 0.4]) @ [1.0, 2.0, 4.0]


def log_probabilities(
    task: Task, label: NDArray[np.float64], lead: float | NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    """Made-up answers (N, K), which are better the larger the lead of the truth is."""
    codes = label.astype(int)[:, None]
    index = np.arange(len(task.names))
    truth = codes == index if task.kind == "classes" else (codes >> index) & 1 == 1
    scores = lead * truth + random.standard_normal(truth.shape)
    if task.kind == "classes":
        return np.asarray(scores - np.log(np.exp(scores).sum(1, keepdims=True)))
    return np.asarray(-np.log1p(np.exp(-(scores - lead / 2))))


def write_class_store(
    root: Path,
    task: Task = EMOTIONS,
    models: Mapping[str, float] = MODELS,
    seeds: Sequence[int] = (1, 2, 3),
    samples: int = 160,
    dataset: str = "made-up",
) -> Store:
    """Cells of made-up models under one axis `eta`, with quality scores and interventions for `sure`."""
    store = Store(root)
    store.prepare("made-up")
    keys = []
    label = labels_of(task, samples)
    conditions = [{"name": f"eta={x:g}", "levels": {"eta": x}} for x in LEVELS]
    for seed in seeds:
        for index, (model, lead) in enumerate(models.items()):
            regime = "" if model == ORACLE else "spectrum"
            cell = Cell(dataset, f"0-{task.kind}", "p", "1", model, regime, str(index), seed)
            parameters = 0 if model in (ORACLE, "mean") else 10 * (index + 1)
            facts = CellFacts(conditions, parameters, {}, {}, task=task.facts)
            store.write_cell(
                "made-up", cell, facts, as_arrow(_columns(task, label, lead, seed, index, model == "sure"))
            )
            keys.append(cell.key)
    store.write_manifest("made-up", {"data": {"name": "made-up"}, "protocols": {}, "cells": keys})
    return store


def _columns(
    task: Task, label: NDArray[np.float64], lead: float, seed: int, index: int, has_quality: bool
) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng([seed, index])
    samples = len(label)
    blocks = [log_probabilities(task, label, lead * (1 - x), random) for x in LEVELS]
    answers = np.concatenate(blocks).astype(np.float32)  # (C·N, K)
    bits = 2.0 ** np.arange(len(task.names))
    decided = answers.argmax(1) if task.kind == "classes" else (answers > np.log(0.5)) @ bits
    missing = {m: (np.random.default_rng(seed).random(samples) < np.array(LEVELS)[:, None]) for m in MODALITIES}
    columns = {
        "draw": np.zeros(len(answers), np.int32),
        "condition": np.repeat([f"eta={x:g}" for x in LEVELS], samples),
        "id": np.tile(np.array([f"s{i}" for i in range(samples)], dtype=object), len(LEVELS)),
        "target": np.tile(label, len(LEVELS)).astype(np.float32),
        "prediction": decided.astype(np.float32),
    }
    columns |= {f"{LOG_PROBABILITY}{k}": x for k, x in enumerate(answers.T)}
    columns |= {f"missing_{m}": x.ravel().astype(np.float32) for m, x in missing.items()}
    columns |= {f"noise_{m}": np.zeros(len(answers), np.float32) for m in MODALITIES}
    if has_quality:
        columns |= {f"quality_{m}": (1 - 0.5 * x.ravel()).astype(np.float32) for m, x in missing.items()}
        for name in ("shuffled", "averaged", "constant", "reversed", "true_order"):
            columns |= {f"{name}_{LOG_PROBABILITY}{k}": x for k, x in enumerate(answers.T)}
    return columns
