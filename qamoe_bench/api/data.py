"""Data sets, protocols, and corrupted batches."""

from __future__ import annotations  # keeps the signatures that help() shows short

from pathlib import Path

from qamoe_bench.contract import Batch
from qamoe_bench.corruption.apply import apply_condition
from qamoe_bench.corruption.draws import CommonDraws
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import open_dataset
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.data.recordings import Recordings
from qamoe_bench.errors import unknown_name
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.run.planner import check_tokens


def load_data(
    name_or_path: str | Path = "synthetic",
    label_range: tuple[float, float] | None = None,
    drop_bad_labels: bool = False,
    task: str = "",
    classes: tuple[str, ...] = (),
) -> Dataset:
    """Load a data set with its three splits.

    Args:
        name_or_path: `synthetic` or `synthetic-emotion` for embedded data, or the path of a file or folder, whose
            format is detected from its content.
        label_range: Lowest and highest value of the annotation scale in the file, such as (1, 7); the labels are then
            centred. By default -3 to 3, or -1 to 1 if no label is outside.
        drop_bad_labels: Leave out samples whose label is missing, no number, or outside of the scale or the classes.
        task: What a label says: `regression`, `classes` or `multi-label`; empty if the file leaves no doubt.
        classes: Names of the classes or labels in the order of their index; empty for those of the file.

    Returns:
        The data set: `splits` by name, `spec` for building models, and `name`, `digest` and `notes`.

    Raises:
        BenchError: If the path does not exist or cannot be read as a data set, or if a range, task or classes are given
            for data that are known to have others.

    Examples:
        >>> data = qamoe_bench.load_data("synthetic")
        >>> {name: len(split) for name, split in data.splits.items()}
        {'train': 1284, 'valid': 229, 'test': 686}
    """
    options = ReadingOptions(label_range, drop_bad_labels, task=task, classes=tuple(classes))
    return open_dataset(str(name_or_path), options=options)  # cached: the same data twice are the same object


def corrupt(
    data: Dataset | str,
    condition: Condition | tuple[Protocol | str, str],
    split: str = "test",
    seed: int = 1111,
    draw: int = 0,
) -> Batch:
    """Apply a condition to all samples of a split, with the common random numbers of a sweep.

    The random numbers depend on the seed, the draw, the sample id and the modality only. On the test split, the
    result is therefore what every model receives in `evaluate` and in `qamoe-bench run` with the same seed.

    Args:
        data: A data set, or the name or path of one as in `load_data`.
        condition: A condition, or a protocol (or its name or path) and the name of one of its conditions.
        split: `train`, `valid` or `test`.
        seed: Seed of the corruption.
        draw: Index of the independent draw, from 0, for protocols with several draws.

    Returns:
        The corrupted samples in the order of the split, as models receive them, without labels: `features` per modality
        are (B, T, D) in float32, and missing frames are exactly zero.

    Raises:
        BenchError: If a name is unknown, or if the condition needs features and the data hold token ids.

    Examples:
        >>> batch = qamoe_bench.corrupt("synthetic", ("random-missing", "eta=0.5"))
        >>> missing = (batch.features["text"] == 0).all(dim=2).all(dim=1)  # (B, T, D) to (B,)
        >>> 0.3 < missing.float().mean().item() < 0.6
        True
    """
    dataset = load_data(data) if isinstance(data, str) else data
    if split not in dataset.splits:
        raise unknown_name("split", split, dataset.splits)
    chosen = condition if isinstance(condition, Condition) else _find_condition(dataset, *condition)
    everything = slice(None)
    samples = dataset.splits[split].batch().rows(everything)  # features become float32 here
    # The same streams of random numbers as in `evaluation.sweep.TestSet`, which only knows the test split.
    draws = CommonDraws(seed, dataset.splits[split].ids, samples, draw).rows(everything)
    recordings = Recordings(dataset, split)
    return apply_condition(samples, chosen, draws, dataset.reference, recordings.frames).batch


def _find_condition(data: Dataset, protocol: Protocol | str, name: str) -> Condition:
    sweep = load_protocol(protocol) if isinstance(protocol, str) else protocol
    check_tokens(sweep, data)  # noise on token ids would give other tokens
    conditions = {condition.name: condition for condition in sweep.conditions}
    if name not in conditions:
        raise unknown_name(f"condition of {sweep.name}", name, conditions)
    return conditions[name]
