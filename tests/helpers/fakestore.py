"""A store of made-up predictions, for tests of what is computed from stores, and for large ones."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.evaluation.columns import as_arrow
from qamoe_bench.store.cell import ORACLE, Cell, CellFacts
from qamoe_bench.store.store import Store

MODALITIES = ("text", "audio", "vision")
Answer = Callable[[NDArray[np.float64], float, np.random.Generator], NDArray[np.float64]]
"""From labels, the level of a condition and a generator that belongs to seed and model to predictions."""


def noisy(spread: float) -> Answer:
    """The label, worse with the level."""
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
    **changes: Any,
) -> Store:
    """Cells of made-up models under one axis `eta`; `changes` are fields of every cell's identity.

    All rows have a variance and quality scores that fall with the level, and know what was missing. With levels of
    `noise` there is a second axis, `lambda`; a model answers to the sum of both levels.
    """
    conditions = [{"eta": x, "lambda": y} for x in levels for y in noise] or [{"eta": x} for x in levels]
    store = Store(root)
    store.prepare(run)
    keys = []
    label = np.round(np.random.default_rng(0).uniform(-3, 3, samples), 1)
    for seed in seeds:
        for index, (model, answer) in enumerate(models.items()):
            identity = {"dataset": "made-up", "data_digest": "0", "protocol": "p", "protocol_digest": "1"}
            regime = "" if model == ORACLE else "spectrum"
            cell = Cell(**{**identity, "model": model, "regime": regime, "recipe": f"{index}", "seed": seed, **changes})
            named = [{"name": _name(of), "levels": of} for of in conditions]
            facts = CellFacts(named, 0 if model == ORACLE else 10 * (index + 1), {}, dict(training))
            store.write_cell(run, cell, facts, as_arrow(_columns(answer, label, conditions, seed, index)))
            keys.append(cell.key)
    store.write_manifest(run, {"data": {"name": "synthetic"}, "protocols": {}, "cells": keys})
    return store


def _name(condition: Mapping[str, float]) -> str:
    return ",".join(f"{axis}={x:g}" for axis, x in condition.items())


def _columns(
    answer: Answer, label: NDArray[np.float64], conditions: Sequence[Mapping[str, float]], seed: int, index: int
) -> dict[str, NDArray[Any]]:
    count, samples = len(conditions), len(label)
    random, draws = np.random.default_rng([seed, index]), np.random.default_rng(seed)
    levels, rates = [sum(of.values()) for of in conditions], [of["eta"] for of in conditions]
    missing = {m: (draws.random(samples) < np.array(rates)[:, None]).ravel().astype(np.float32) for m in MODALITIES}
    prediction = np.concatenate([answer(label, x, random) for x in levels]).astype(np.float32)
    columns = {
        "draw": np.zeros(count * samples, np.int32),
        "condition": np.repeat([_name(of) for of in conditions], samples),
        "id": np.tile(np.array([f"s{i}" for i in range(samples)], dtype=object), count),
        "target": np.tile(label, count).astype(np.float32),
        "prediction": prediction,
        "variance": np.repeat(0.5 + np.array(levels), samples).astype(np.float32),
    }
    columns |= {f"quality_{m}": 1 - 0.5 * x for m, x in missing.items()}
    columns |= {f"missing_{m}": x for m, x in missing.items()}
    noise = np.repeat([of.get("lambda", 0.0) for of in conditions], samples).astype(np.float32)
    return columns | {f"noise_{m}": noise for m in MODALITIES}
