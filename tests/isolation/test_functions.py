"""Functions that code of a model replaces are put back, whatever it replaced."""

import builtins
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from qamoe_bench.evaluation import sweep
from qamoe_bench.isolation.functions import functions_restored


def nothing(*_: object, **__: object) -> None:
    """Takes the place of functions."""


PLACES: dict[str, tuple[object, str, str]] = {
    "a function of torch": (torch.nn.functional, "linear", "torch"),
    "a method that a class inherits": (torch.Tensor, "mean", "torch"),
    "a layer's method": (nn.Linear, "forward", "torch"),
    "a function of NumPy": (np, "mean", "numpy"),
    "a function of the system": (os, "replace", "os"),
    "a method of paths": (Path, "write_bytes", "pathlib"),
    "JSON": (json, "dumps", "json"),
    "a function of this package": (sweep, "sweep_model", "qamoe_bench"),
    "a built-in function": (builtins, "open", "builtins"),
    "what the restoring code calls": (builtins, "isinstance", "builtins"),
}


@pytest.mark.parametrize("what", PLACES)
@pytest.mark.parametrize("change", [setattr, lambda place, name, _: delattr(place, name)], ids=["replace", "delete"])
def test_what_is_replaced_or_deleted_comes_back_and_its_library_is_named(
    change: Callable[..., None], what: str
) -> None:
    place, name, library = PLACES[what]
    if name not in vars(place) and change is not setattr:
        return  # what is inherited cannot be deleted here
    before = getattr(place, name)
    named: list[str] = []
    with functions_restored(named.extend):
        change(place, name, nothing)
    assert getattr(place, name) is before
    assert named == [f"functions of {library}"]


def test_modules_come_back_and_what_hides_a_built_in_function_goes() -> None:
    named: list[str] = []
    with functions_restored(named.extend):
        sys.modules["numpy"] = None  # type: ignore[assignment]
        del sys.modules["qamoe_bench.evaluation.sweep"]
        sweep.len = nothing  # type: ignore[attr-defined]
    assert sys.modules["numpy"] is np
    assert sys.modules["qamoe_bench.evaluation.sweep"] is sweep
    assert not hasattr(sweep, "len")
    assert sorted(named) == ["functions of qamoe_bench", "sys.modules"]


def test_new_names_stay_and_nothing_is_said() -> None:
    named: list[str] = []
    with functions_restored(named.extend):
        np.new_name = nothing  # type: ignore[attr-defined]
    assert named == []
    del np.new_name  # type: ignore[attr-defined]
