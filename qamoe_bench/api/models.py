"""Models, and their evaluation."""

from __future__ import annotations  # keeps the signatures that help() shows short

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from qamoe_bench.api.data import load_data, load_protocol
from qamoe_bench.api.evaluation import Evaluation
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.evaluation.sweep import Sweep, TestSet, sweep_model
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.registry import find_model
from qamoe_bench.run.planner import check_tokens, find_device
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
        name: A name that `qamoe-bench ls models` lists or `package.module:build`, optionally followed by settings, as
            in `qa-moe:k=2`. Settings of the training loop or the evaluation have no effect here.
        data: A data set, `synthetic`, or the path of a data file; the model takes its modalities and widths.
        checkpoint: A safetensors file, such as those in `results/runs/<run-id>/checkpoints`.
        seed: Seed of the initial weights.
        preset: Sizes of the model, as for `qamoe-bench run`; those of a checkpoint must be the same.

    Returns:
        The module, which takes a `Batch` and returns an `Output`.

    Raises:
        BenchError: If a name or a setting is unknown, or if the checkpoint cannot be read or belongs to another model.

    Example:
        >>> model = qamoe_bench.load_model("late-fusion", "synthetic")
        >>> sum(p.numel() for p in model.parameters()) > 1000
        True
    """
    dataset = load_data(data) if isinstance(data, str) else data
    ref = find_model(name)
    settings = {**find_preset(preset).models.get(ref.base, {}), **ref.settings}
    model = build_model(ref.builder(), settings, dataset.spec, seed, ref.name)
    if checkpoint is not None:
        load_weights(model, Path(checkpoint))
    return model


def evaluate(
    model: nn.Module,
    data: Dataset | str = "synthetic",
    protocol: Protocol | str = "random-missing",
    seeds: Sequence[int] = (1111,),
    device: str = "auto",
) -> Evaluation:
    """Evaluate a trained model under every condition of a protocol.

    All models receive the same corrupted samples for the same seed, so their evaluations can be compared sample by
    sample. The test split is used.

    Args:
        model: A module that takes a `Batch` and returns an `Output`.
        data: A data set, `synthetic`, or the path of a data file.
        protocol: A protocol, its name, or the path of a TOML file.
        seeds: Seeds of the corruption; each adds one evaluation.
        device: `auto`, `cpu` or `cuda`; the model is moved there.

    Returns:
        Predictions for every seed, condition and sample.

    Raises:
        BenchError: If a name, file or device does not exist, or if the protocol needs features and the data hold token
            ids.
        RunFailed: If the model returns something other than an `Output` of finite numbers.

    Example:
        >>> model = qamoe_bench.load_model("mean", "synthetic")
        >>> evaluation = qamoe_bench.evaluate(model, "synthetic", "random-missing")
        >>> list(evaluation.predictions.columns[:6])
        ['seed', 'draw', 'condition', 'id', 'target', 'prediction']
    """
    dataset = load_data(data) if isinstance(data, str) else data
    sweep_protocol = load_protocol(protocol) if isinstance(protocol, str) else protocol
    check_tokens(sweep_protocol, dataset)
    torch_device = torch.device(find_device(device))
    was_training = model.training
    weights = _digest(model)
    frames = []
    cells = []
    for seed in seeds:
        sweep = sweep_model(model.to(torch_device), TestSet(dataset, seed, torch_device), sweep_protocol)
        cell = Cell(
            dataset=dataset.name,
            data_digest=dataset.digest,
            protocol=sweep_protocol.name,
            protocol_digest=sweep_protocol.digest,
            model=type(model).__name__,
            regime=GIVEN,
            recipe=weights,
            seed=seed,
        )
        frames.append(pd.DataFrame({"seed": seed, **sweep.columns}))
        cells.append(MemoryCell.from_columns(cell, _facts(model, sweep, sweep_protocol, torch_device), sweep.columns))
    model.train(was_training)
    predictions = pd.concat(frames, ignore_index=True)
    return Evaluation(predictions, tuple(cells), _manifest(dataset, sweep_protocol))


def _digest(model: nn.Module) -> str:
    """A digest of the weights, which distinguishes two models of one class in an analysis."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        # Bytes, because numpy has no bfloat16; flat, because a scalar cannot be viewed as bytes.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:20]


def _facts(model: nn.Module, sweep: Sweep, protocol: Protocol, device: torch.device) -> CellFacts:
    return CellFacts(
        conditions=tuple({"name": c.name, "levels": dict(c.levels)} for c in protocol.conditions),
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        config={},
        training={},
        experts=sweep.experts,
        seconds_per_sample=sweep.seconds_per_sample,
        encodings_asked=sweep.encodings_asked,
        encodings_computed=sweep.encodings_computed,
        device=device.type,
    )


def _manifest(data: Dataset, protocol: Protocol) -> dict[str, Any]:
    prose = {name: getattr(protocol, name) for name in ("digest", "title", "source", "definition")}
    samples = {name: len(split) for name, split in data.splits.items()}
    return {
        "data": {"name": data.name, "digest": data.digest, "samples": samples, "notes": list(data.notes)},
        "protocols": {protocol.name: prose},
    }
