"""Trained weights as safetensors files, with the course of the training in their metadata.

Loading an untrusted checkpoint cannot execute code, because safetensors files hold only arrays and JSON.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from qamoe_bench.errors import BenchError
from qamoe_bench.store.access import cannot_read, is_lfs_pointer
from qamoe_bench.store.atomic import write_atomic


def save_weights(model: nn.Module, training: Mapping[str, Any], path: Path) -> None:
    """Write the weights atomically, with the course of the training as metadata."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_atomic(path, save(tensors, {"training": json.dumps(training)}))


def load_weights(model: nn.Module, path: Path) -> dict[str, Any]:
    """Load stored weights into a model; returns the course of their training.

    Raises:
        BenchError: for a damaged file, or one of another model.
    """
    try:
        model.load_state_dict(load_file(path))
        with safe_open(path, framework="pt") as file:
            training: dict[str, Any] = json.loads((file.metadata() or {}).get("training", "{}"))
        if not isinstance(training, dict):
            raise ValueError("its metadata is not a JSON object")
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, PermissionError) or is_lfs_pointer(path):
            raise cannot_read("checkpoint", path, error, "") from error
        # torch lists every mismatched tensor; the last line names one.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise BenchError(
            f"checkpoint {path}: does not fit the model ({lines[-1][:200]}); expected its weights as a safetensors "
            "file, so name another file, or remove this one and run again"
        ) from error
    model.eval()
    return training
