"""Models, and their evaluation."""

from __future__ import annotations  # keeps the signatures that help() shows short

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from qamoe_bench.api.data import load_data
from qamoe_bench.api.evaluation import Evaluation
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.evaluation.sweep import sweep_model
from qamoe_bench.evaluation.test_set import TestSet
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
        name: A name that `qamoe-bench ls models` lists or `package.module:build`, optionally followed by settings, as
            in `qa-moe:k=2`. Settings of the training loop or the evaluation have no effect here.
        data: A data set, `synthetic`, or the path of a data file; the model takes its modalities and widths.
        checkpoint: A safetensors file, such as those in `results/runs/<run-id>/checkpoints`.
        seed: Seed of the initial weights.
        preset: Sizes of the model, as for `qamoe-bench run`; those of a checkpoint must be the same.

    Returns:
        The module, which takes a `Batch` and returns an `Output`.

    Raises:
        BenchError: If a name or a setting is unknown, if the checkpoint cannot be read or belongs to another model, or
            if the model requires text and the data have no features of it.

    Example:
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
    was_training = model.training  # a sweep leaves the model in evaluation mode
    model.to(torch_device)
    identity = _identity(model, dataset, sweep_protocol)
    cells = [
        _evaluate_seed(model, dataset, sweep_protocol, replace(identity, seed=seed), torch_device) for seed in seeds
    ]
    model.train(was_training)
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
    )
    return MemoryCell.from_columns(cell, facts, sweep.columns)


def _identity(model: nn.Module, data: Dataset, protocol: Protocol) -> Cell:
    """The identity of the cells of all seeds; the seed itself is set later."""
    return Cell(
        dataset=data.name,
        data_digest=data.digest,
        protocol=protocol.name,
        protocol_digest=protocol.digest,
        model=type(model).__name__,
        regime=GIVEN,
        recipe=_digest(model),  # two models of one class are two rows of a table
        seed=0,
    )


def _digest(model: nn.Module) -> str:
    """SHA-256 of the names and values of all weights and buffers, shortened."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        # Bytes, because numpy has no bfloat16; flat, because a scalar cannot be viewed as bytes.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:20]


def _manifest(data: Dataset, protocol: Protocol) -> dict[str, Any]:
    # The part of a run's manifest that reports read; there is no request and no recorded environment.
    prose = {name: getattr(protocol, name) for name in ("digest", "title", "source", "definition")}
    samples = {name: len(split) for name, split in data.splits.items()}
    return {
        "data": {"name": data.name, "digest": data.digest, "samples": samples, "notes": list(data.notes)},
        "protocols": {protocol.name: prose},
    }
