"""Another kind of processor sums in another order: last digits differ, and training amplifies them, to a tolerance."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from qamoe_bench.api.results import compare
from qamoe_bench.store.store import Store

MODEL = "late-fusion:train.epochs=3,train.selection_window=1"
TOLERANCE = 0.003
"""Of the mean absolute error; `docs/storage.md` declares it."""
COMPUTED = ("prediction", "variance", "quality_")
"""Beginnings of columns that a model computes."""


def test_results_of_two_kinds_of_processors_are_equal_to_the_declared_tolerance(
    tmp_path: Path,
) -> None:
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this processor has only one kind of kernels")
    stores = []
    for kernels in ("default", "avx2"):
        stores.append(Store(tmp_path / kernels))
        words = ("run", "--protocol", "random-missing", "--model", MODEL, "--seeds", "1", "--executor", "local")
        command = [sys.executable, "-m", "qamoe_bench", *words, "--results", str(stores[-1].root)]
        # A process chooses once, when it first computes.
        subprocess.run(command, env={**os.environ, "ATEN_CPU_CAPABILITY": kernels}, check=True, capture_output=True)
    slow, fast = ({stored.cell.key: stored for stored in store.cells()} for store in stores)
    assert slow.keys() == fast.keys()
    differing = []
    for key, stored in slow.items():
        for name in stored.names - {"id", "condition"}:
            if not name.startswith(COMPUTED):  # the corruption and the oracle have the same bits
                np.testing.assert_array_equal(stored.column(name), fast[key].column(name))
        errors = [np.abs(s.column("prediction") - s.column("target")).mean() for s in (stored, fast[key])]
        assert abs(errors[0] - errors[1]) < TOLERANCE
        if (stored.column("prediction") != fast[key].column("prediction")).any():
            differing.append(stored.cell.model)
    assert differing == [MODEL]
    verdict = compare(stores[0].root, stores[1].root, slowdown=100)
    assert not verdict.regressions
