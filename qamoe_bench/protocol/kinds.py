"""The known kinds of corruption, as data: what their level is called, what it may be, and what they do.

`qamoe_bench.corruption` has one function per kind. A *joint* kind decides for all modalities of a sample together, so
its level is one number and not one per modality.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class CorruptionKind:
    """One kind of corruption.

    Attributes:
        parameter: What a protocol file calls its level: a `rate` is a share or probability, a `level` a size.
        meaning: What it does at that level, in a sentence.
        highest: The largest level that makes sense.
        allowed: The only levels that are defined, where the definition is a table.
        joint: Whether it decides for all modalities together.
        numeric: Whether it computes with the values of frames, which has no meaning for token ids.
        options: Its options with their defaults.
    """

    parameter: str
    meaning: str
    highest: float = float("inf")
    allowed: tuple[float, ...] = ()
    joint: bool = False
    numeric: bool = False
    options: Mapping[str, bool] = field(default_factory=dict)


IMDER_SCHEDULE: Mapping[float, tuple[float, float]] = {
    0.0: (0.0, 0.0),
    0.1: (0.1, 0.1),
    0.2: (0.2, 0.2),
    0.3: (0.3, 0.3),
    0.4: (0.5, 0.2),
    0.5: (0.7, 0.1),
    0.6: (0.9, 0.0),
    0.7: (1.0, 0.0),
}
"""IMDer's own table (mdswyz/IMDer @ 1901a92): nominal rate to the shares of samples with two and with one missing."""

CORRUPTION_KINDS: Mapping[str, CorruptionKind] = {
    "modality-missing": CorruptionKind(
        "rate",
        "the whole modality becomes zero with this probability, independently per sample and modality; with keep_one a "
        "sample that would lose everything keeps one uniformly chosen modality",
        highest=1,
        options={"keep_one": True},
    ),
    "gcnet-missing": CorruptionKind(
        "rate",
        "the rate is the average share of missing modalities: one uniformly chosen modality always stays, each other "
        "one stays with the probability that makes the average right; above 1 − 1/modalities just the one stays",
        highest=1,
        joint=True,
    ),
    "imder-missing": CorruptionKind(
        "rate",
        "IMDer's schedule: fixed shares of samples miss two or one uniformly chosen modalities; 0.7 stands for 2/3",
        allowed=tuple(IMDER_SCHEDULE),
        joint=True,
    ),
    "mplmm-missing": CorruptionKind(
        "rate",
        "with this probability a sample gets one of the incomplete patterns, uniformly; the average share of missing "
        "modalities is half the rate",
        highest=1,
        joint=True,
    ),
    "frame-missing": CorruptionKind(
        "rate",
        "each valid frame becomes zero with this probability, independently; keep_ends spares the first and last valid "
        "frame of text ([CLS] and [SEP]); shared_draws lets modalities of equal length lose the same frames",
        highest=1,
        options={"keep_ends": False, "shared_draws": False},
    ),
    "block-missing": CorruptionKind(
        "rate", "one contiguous span with this share of the valid frames, uniformly placed, becomes zero", highest=1
    ),
    "gaussian-noise": CorruptionKind(
        "level",
        "adds Gaussian noise, fresh for every valid frame and dimension, with a standard deviation of level × σ_ref",
        numeric=True,
    ),
    "laplace-noise": CorruptionKind(
        "level",
        "adds Laplace noise, fresh for every valid frame and dimension, with a standard deviation of level × σ_ref",
        numeric=True,
    ),
    "utterance-noise": CorruptionKind(
        "level",
        "adds one Gaussian vector to all valid frames of an utterance, with a standard deviation of level × σ_ref per "
        "dimension; pooling over frames cannot average it away",
        numeric=True,
    ),
    "salt-and-pepper": CorruptionKind(
        "rate",
        "each value of a valid frame becomes an extreme, training mean + 3 σ_ref or − 3 σ_ref, with this probability",
        highest=1,
        numeric=True,
    ),
    "scalar-noise": CorruptionKind(
        "rate",
        "with this probability all frames of the modality are multiplied by one N(0, 1) number (MSA-Robustness's "
        "g_noise)",
        highest=1,
        numeric=True,
    ),
    "missing-or-scalar-noise": CorruptionKind(
        "rate",
        "with this probability the modality becomes zero, and with this probability again, never both, all its frames "
        "are multiplied by one N(0, 1) number (MSA-Robustness hybrid)",
        highest=0.5,
        numeric=True,
    ),
    "temporal-shift": CorruptionKind(
        "rate",
        "frames move earlier or later by this share of the valid length, against the other modalities; what leaves the "
        "window is lost, what enters it is zero",
        highest=1,
    ),
    "frame-substitution": CorruptionKind(
        "rate",
        "each valid frame is replaced, with this probability, by a frame of the same modality from the training split",
        highest=1,
    ),
}


def signal_left(missing: Any, noise: Any) -> Any:
    """Share of a modality's signal that a corruption left: (1 − missing) / (1 + noise²).

    Numbers, arrays or tensors: the share of frames taken away, and the size of every other change in units of σ_ref, so
    that 1 / (1 + noise²) is the share of the variance that is still signal. 1 is untouched, 0 is missing.
    """
    return (1 - missing) / (1 + noise**2)
