"""Stores of made-up predictions, for tests of analyses and of large stores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.evaluation.columns import as_arrow
from qamoe_bench.store.cell import ORACLE, Cell, CellFacts
from qamoe_bench.store.store import Store

MODALITIES = ("text", "audio", "vision")
Answer = Callable[[NDArray[np.float64], float, np.random.Generator], NDArray[np.float64]]
"""Maps labels, the level of a condition, and a random generator of the seed and model to predictions."""


def noisy(spread: float) -> Answer:
    """Predicts the label with noise; the higher the level, the closer to 0."""
    return lambda label, level, random: label * (1 - level) + spread * random.standard_normal(len(label))


def write_store(
    root: Path,
    models: Mapping[str, Answer],
    seeds: Sequence[int] = (1, 2, 3),
    levels: Sequence[float] = (0.0, 0.3, 0.6),
    samples: int = 60,
    run: str = "made-up",
    training: Mapping[str, Any] = MappingProxyType({}),
    noise: Sequence[float] = (),
    finished: str = "",
    audits: Literal["", "old", "new"] = "",
    ids: Sequence[str] = (),
    **changes: Any,
) -> Store:
    """Cells of made-up models under one axis `eta`; `changes` are fields of every cell's identity.

    All rows have a variance, quality scores that fall with the level, and columns of missing modalities. With levels
    of `noise` there is a second axis, `lambda`; models receive the sum of both levels. With `audits` there are
    predictions with other scores, which are worse by .25 if shuffled, and if `new` permutations, worse by about .05.
    The `ids` of the samples also give their number.
    """
    conditions = [{"eta": x, "lambda": y} for x in levels for y in noise] or [{"eta": x} for x in levels]
    store = Store(root)
    store.prepare(run)
    keys = []
    names = list(ids) or [f"s{i}" for i in range(samples)]
    label = np.round(np.random.default_rng(0).uniform(-3, 3, len(names)), 1)
    for seed in seeds:
        for index, (model, predict) in enumerate(models.items()):
            identity = {"dataset": "made-up", "data_digest": "0", "protocol": "p", "protocol_digest": "1"}
            regime = "" if model == ORACLE else "spectrum"
            cell = Cell(**{**identity, "model": model, "regime": regime, "recipe": f"{index}", "seed": seed, **changes})
            named = [{"name": _name(levels), "levels": levels} for levels in conditions]
            facts = CellFacts(named, 0 if model == ORACLE else 10 * (index + 1), {}, dict(training), finished=finished)
            columns = _columns(predict, label, names, conditions, seed, index)
            if audits:
                columns |= _other_scores(columns, audits)
                tested = {"mae": [1.0, *(1.05 + 0.001 * np.arange(-9, 10))], "corr": [0.5, *[0.5] * 19]}
                facts = replace(facts, permutations=tested if audits == "new" else {})
            store.write_cell(run, cell, facts, as_arrow(columns))
            keys.append(cell.key)
    store.write_manifest(run, {"data": {"name": "synthetic"}, "protocols": {}, "cells": keys})
    return store


def _other_scores(columns: Mapping[str, NDArray[Any]], audits: str) -> dict[str, NDArray[Any]]:
    """Predictions that are worse by .25 if shuffled, and columns of an earlier or of the present version."""
    prediction, target = columns["prediction"], columns["target"]
    worse = prediction + np.where(prediction > target, 0.25, -0.25).astype(np.float32)
    old = {"shuffled_prediction": worse, "averaged_prediction": prediction}
    if audits == "old":
        return old
    new = {f"{name}_prediction": prediction for name in ("constant", "reversed", "true_order")}
    return old | new | {f"length_{m}": np.abs(target) for m in MODALITIES} | {f"energy_{m}": target for m in MODALITIES}


def _name(condition: Mapping[str, float]) -> str:
    return ",".join(f"{axis}={x:g}" for axis, x in condition.items())


def _columns(
    predict: Answer,
    label: NDArray[np.float64],
    names: Sequence[str],
    conditions: Sequence[Mapping[str, float]],
    seed: int,
    index: int,
) -> dict[str, NDArray[Any]]:
    count = len(conditions)
    samples = len(label)
    random = np.random.default_rng([seed, index])
    draws = np.random.default_rng(seed)  # the corruption, which is the same for all models
    levels = [sum(condition.values()) for condition in conditions]
    rates = np.array([condition["eta"] for condition in conditions])[:, None]
    missing = {}
    for modality in MODALITIES:
        missing[modality] = (draws.random(samples) < rates).ravel().astype(np.float32)
    prediction = np.concatenate([predict(label, x, random) for x in levels]).astype(np.float32)
    columns = {
        "draw": np.zeros(count * samples, np.int32),
        "condition": np.repeat([_name(condition) for condition in conditions], samples),
        "id": np.tile(np.array(names, dtype=object), count),
        "target": np.tile(label, count).astype(np.float32),
        "prediction": prediction,
        "variance": np.repeat(0.5 + np.array(levels), samples).astype(np.float32),
    }
    columns |= {f"quality_{m}": 1 - 0.5 * x for m, x in missing.items()}
    columns |= {f"missing_{m}": x for m, x in missing.items()}
    noise = np.repeat([condition.get("lambda", 0.0) for condition in conditions], samples).astype(np.float32)
    return columns | {f"noise_{m}": noise for m in MODALITIES}
