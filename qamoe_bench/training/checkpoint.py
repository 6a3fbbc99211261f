"""Trained weights as safetensors files, with the course of the training in their metadata.

Loading an untrusted checkpoint cannot execute code, because safetensors files hold only arrays and JSON. A checksum in
the metadata shows whether a file is as it was written; the files of other programs have none.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from qamoe_bench.errors import BenchError
from qamoe_bench.store.access import cannot_read, is_lfs_pointer
from qamoe_bench.store.atomic import write_atomic


class DamagedCheckpoint(BenchError):
    """A file of weights that is not as it was written, or is of another model."""


def save_weights(model: nn.Module, training: Mapping[str, Any], path: Path) -> None:
    """Write the weights atomically; the course of the training and the key, which names the file, are metadata."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    record = json.dumps(training)
    metadata = {"training": record, "key": path.stem}
    write_atomic(path, save(tensors, {**metadata, "checksum": _checksum(tensors, metadata)}))


def load_weights(model: nn.Module, path: Path, *, named: bool = True) -> dict[str, Any]:
    """Load stored weights into a model; returns the course of their training.

    Args:
        model: The model.
        path: The file.
        named: Whether the name of the file has to be the key under which the weights were stored, as in a store.

    Raises:
        DamagedCheckpoint: for a damaged file, or one of another model, whose weights may then be loaded in part.
        BenchError: for a file that may not be read, or is the pointer of git-lfs.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        tensors = load_file(path)
        record = metadata.get("training", "{}")
        if (named or "checksum" in metadata) and metadata.get("checksum") != _checksum(tensors, metadata):
            raise ValueError("it was changed after it was written: its checksum does not hold")
        if named and metadata.get("key") != path.stem:
            raise ValueError("it holds the weights of another training, or was not written by a run")
        training: dict[str, Any] = json.loads(record)
        if not isinstance(training, dict):
            raise ValueError("its metadata is not a JSON object")
        _check_kinds(tensors, model)
        model.load_state_dict(tensors)
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, PermissionError) or is_lfs_pointer(path):
            raise cannot_read("checkpoint", path, error, "") from error
        # torch lists every mismatched tensor; the last line names one.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise DamagedCheckpoint(
            f"checkpoint {path}: does not fit the model ({lines[-1][:200]}); expected its weights as a safetensors "
            "file, so name another file, or remove this one and run again"
        ) from error
    model.eval()
    return training


def _check_kinds(tensors: Mapping[str, Tensor], model: nn.Module) -> None:
    """Refuse whole numbers in the place of weights, which would be converted without a word; and the reverse."""
    for name, expected in model.state_dict().items():
        given = tensors.get(name, expected)
        if given.is_floating_point() != expected.is_floating_point():
            raise ValueError(f"{name} is of type {given.dtype} instead of {expected.dtype}".replace("torch.", ""))


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of the weights by name, with their types and shapes, and of the metadata without the checksum."""
    facts = {name: text for name, text in metadata.items() if name != "checksum"}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{[*tensor.shape]}\0".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
