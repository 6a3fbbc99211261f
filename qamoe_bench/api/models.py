"""Models, and their evaluation."""

from __future__ import annotations  # keeps the signatures that help() shows short

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from qamoe_bench.adapters.building import adapt
from qamoe_bench.adapters.function import FunctionModel, PredictFunction
from qamoe_bench.adapters.module import AdaptedModule
from qamoe_bench.api.data import load_data
from qamoe_bench.api.evaluation import Evaluation
from qamoe_bench.contract import Batch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.evaluation.sweep import BATCH_SIZE, sweep_model
from qamoe_bench.evaluation.test_set import SPLIT, TestSet
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.provenance.environment import utc_now
from qamoe_bench.registry import find_model
from qamoe_bench.run.arithmetic import reproducible
from qamoe_bench.run.planner import check_modalities, check_tokens, find_device
from qamoe_bench.run.presets import find_preset
from qamoe_bench.store.cell import GIVEN, Cell, CellFacts
from qamoe_bench.store.memory import MemoryCell
from qamoe_bench.training.building import build_model
from qamoe_bench.training.checkpoint import load_weights


def load_model(
    name: str,
    data: Dataset | str = "synthetic",
    checkpoint: str | Path | None = None,
    seed: int = 1111,
    preset: str = "quick",
) -> nn.Module:
    """Build a model for a data set, with initial weights or with those of a checkpoint.

    Args:
        name: A name that `qamoe-bench ls models` lists, `package.module:build`, or a class in a file, `file.py:Class`,
            optionally followed by settings, as in `qa-moe:k=2`. Settings of the training loop or the evaluation have no
            effect here.
        data: A data set, or the name or path of one as in `load_data`; the model takes its modalities and widths.
        checkpoint: A safetensors file, such as those in `results/runs/<run-id>/checkpoints`.
        seed: Seed of the initial weights.
        preset: Sizes of the model, as for `qamoe-bench run`; those of a checkpoint must be the same.

    Returns:
        The module, which takes a `Batch` and returns an `Output`.

    Raises:
        BenchError: If a name or a setting is unknown, if the checkpoint cannot be read or belongs to another model, or
            if the model requires text and the data have no features of it.

    Examples:
        >>> model = qamoe_bench.load_model("late-fusion", "synthetic")
        >>> sum(p.numel() for p in model.parameters()) > 1000
        True
    """
    dataset = load_data(data) if isinstance(data, str) else data
    ref = find_model(name)
    # Settings in the name take precedence over those of the preset, as in a run.
    find_preset(preset)  # raises for an unknown name
    settings = {**ref.card().presets.get(preset, {}), **ref.settings}
    check_modalities(ref, dataset)
    model = build_model(ref, settings, dataset.spec, dataset.examples, seed)
    if checkpoint is not None:
        load_weights(model, Path(checkpoint), named=False)
    return model


def evaluate(
    model: nn.Module | PredictFunction,
    data: Dataset | str = "synthetic",
    protocol: Protocol | str = "random-missing",
    seeds: Sequence[int] = (1111,),
    device: str = "auto",
    name: str = "",
) -> Evaluation:
    """Evaluate a trained model, or any function that predicts, under every condition of a protocol.

    All models receive the same corrupted samples for the same seed, so their evaluations can be compared sample by
    sample. The test split is used.

    Args:
        model: A module that takes a `Batch` and returns an `Output`; any other module whose call can be detected, see
            `docs/adapters.md`; or a function of a batch of NumPy arrays, `ArrayBatch`, to one number per sample (B,)
            or the probabilities of all classes (B, C), such as `predict` or `predict_proba` of scikit-learn, a request
            to a server, or a compiled function of another library. A function may return a dictionary with
            `prediction` and also `variance` (B,), above 0, and `quality`, scores (B,) from 0 to 1 by modality. It gets
            batches of at most 64 samples.
        data: A data set, or the name or path of one as in `load_data`.
        protocol: A protocol, its name, or the path of a TOML file.
        seeds: Seeds of the corruption; each adds one evaluation.
        device: `auto`, `cpu` or `cuda`; the model is moved there.
        name: Name in tables; by default that of the class or function.

    Returns:
        Predictions for every seed, condition and sample.

    Raises:
        BenchError: If a name, file or device does not exist, if the protocol needs features and the data hold token
            ids, or if a function raises an exception or returns anything but finite numbers of the right shape.
        RunFailed: If the model returns something other than an `Output` of finite numbers.

    Examples:
        >>> model = qamoe_bench.load_model("mean", "synthetic")
        >>> evaluation = qamoe_bench.evaluate(model, "synthetic", "random-missing")
        >>> list(evaluation.predictions.columns[:6])
        ['seed', 'draw', 'condition', 'id', 'target', 'prediction']
        >>> def first_dimension(batch):
        ...     return batch.mean("text")[:, 0]  # (B, D) to (B,)
        >>> qamoe_bench.evaluate(first_dimension, "synthetic", "random-missing").scores().shape
        (8, 8)
    """
    dataset = load_data(data) if isinstance(data, str) else data
    sweep_protocol = load_protocol(protocol) if isinstance(protocol, str) else protocol
    check_tokens(sweep_protocol, dataset)
    torch_device = torch.device(find_device(device))
    module = _as_module(model, dataset, torch_device, name)
    was_training = module.training  # a sweep leaves the model in evaluation mode
    identity = _identity(module, dataset, sweep_protocol, torch_device, name)
    cells = [
        _evaluate_seed(module, dataset, sweep_protocol, replace(identity, seed=seed), torch_device) for seed in seeds
    ]
    module.train(was_training)
    frames = [pd.DataFrame({"seed": stored.cell.seed, **stored.arrays}) for stored in cells]
    predictions = pd.concat(frames, ignore_index=True)
    return Evaluation(predictions, tuple(cells), _manifest(dataset, sweep_protocol))


def _evaluate_seed(model: nn.Module, data: Dataset, protocol: Protocol, cell: Cell, device: torch.device) -> MemoryCell:
    with reproducible(device):
        sweep = sweep_model(model, TestSet(data, cell.seed, device), protocol)
    facts = CellFacts(
        conditions=tuple({"name": c.name, "levels": dict(c.levels)} for c in protocol.conditions),
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        config={},  # a module does not know the settings that it was built with
        training={},  # nor how it was trained
        experts=sweep.experts,
        seconds_per_sample=sweep.seconds_per_sample,
        encodings_asked=sweep.encodings_asked,
        encodings_computed=sweep.encodings_computed,
        permutations=sweep.permutations,
        device=device.type,
        finished=utc_now(),
        task=data.task.facts,
    )
    return MemoryCell.from_columns(cell, facts, sweep.columns)


def _as_module(model: object, data: Dataset, device: torch.device, name: str) -> nn.Module:
    """The model, or an adapter around it, on a device."""
    if isinstance(model, nn.Module):
        label = name or type(model).__name__
        return adapt(model.to(device), data.examples.to(device), data.spec, label)
    if callable(model) and not isinstance(model, type):
        return FunctionModel(model, name, data.task)
    if isinstance(model, str):
        remedy = f"load it first, load_model({model!r}, data)"
    elif isinstance(model, type):
        remedy = "pass an object of it, or load_model('file.py:Class', data)"
    else:
        remedy = "pass a function of a batch of arrays, such as lambda batch: model.predict(batch.mean('text'))"
    got = f"the class {model.__name__}" if isinstance(model, type) else f"an object of type {type(model).__name__}"
    raise BenchError(f"evaluate: expected a torch module or a function, got {got}; {remedy}")


def _identity(model: nn.Module, data: Dataset, protocol: Protocol, device: torch.device, name: str) -> Cell:
    """The identity of the cells of all seeds; the seed itself is set later."""
    if isinstance(model, FunctionModel):
        # A function has no weights and may be of any library, so its predictions without corruption identify it.
        label = model.name
        digest = _digest({"predictions": _clean_predictions(model, data.splits[SPLIT].batch().to(device))})
    else:
        inner = model.module if isinstance(model, AdaptedModule) else model
        label = name or type(inner).__name__
        digest = _digest(model.state_dict())
    return Cell(
        dataset=data.name,
        data_digest=data.digest,
        protocol=protocol.name,
        protocol_digest=protocol.digest,
        model=label,
        regime=GIVEN,
        recipe=digest,  # two models of one class are two rows of a table
        seed=0,
    )


def _clean_predictions(model: nn.Module, samples: Batch) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat([model(batch).prediction for batch in samples.split(BATCH_SIZE)])


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the names and values of some tensors, such as all weights and buffers, shortened."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(name.encode())
        # Bytes, because numpy has no bfloat16; flat, because a scalar cannot be viewed as bytes.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:20]


def _manifest(data: Dataset, protocol: Protocol) -> dict[str, Any]:
    # The part of a run's manifest that reports read; there is no request and no recorded environment.
    prose = {name: getattr(protocol, name) for name in ("digest", "title", "source", "definition")}
    samples = {name: len(split) for name, split in data.splits.items()}
    return {
        "data": {"name": data.name, "digest": data.digest, "samples": samples, "notes": list(data.notes)},
        "protocols": {protocol.name: prose},
    }
