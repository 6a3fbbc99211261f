"""The known kinds of corruption, as data: one entry states every trait of a kind.

`qamoe_bench.corruption` has one function per kind. Everything else that distinguishes kinds is derived from the traits
here: how steps combine, what the Bayes-optimal predictor covers, what a protocol file may say, and the table in
`protocols/README.md`. Nothing here needs torch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Effect = Literal["erases", "moves", "replaces", "scales", "adds"]
"""What a kind does to valid frames.

erases      sets frames to zero, or token ids to the id of a lost token
moves       takes the content of another frame of the sample
replaces    sets frames or values to content from elsewhere
scales      multiplies frames by a factor
adds        adds noise, see `AdditiveNoise`
"""


Option = bool | str
"""The value of an option of a kind."""


def as_toml(option: Option) -> str:
    """The value as a protocol file spells it: `true`, `false`, or a word in quotes."""
    return json.dumps(option)


@dataclass(frozen=True)
class AdditiveNoise:
    """Noise whose standard deviation is level × σ_ref in each dimension.

    Attributes:
        law: Distribution of the draws, with mean 0 and variance 1.
        per: Whether every frame gets a fresh draw, or one draw is constant over the utterance.
    """

    law: Literal["gaussian", "laplace"]
    per: Literal["frame", "utterance"]


@dataclass(frozen=True)
class CorruptionKind:
    """One kind of corruption.

    Attributes:
        parameter: What a protocol file calls its level: a `rate` is a share or probability, a `level` a size.
        meaning: What it does at that level, in a sentence.
        effects: What it does to valid frames.
        noise: The noise of a kind that adds some.
        highest: The largest level that makes sense.
        allowed: The only levels that are defined, where the definition is a table.
        joint: Whether it decides for all modalities of a sample together; its level is then one number and not one per
            modality.
        numeric: Whether it computes with the values of frames, which has no meaning for token ids.
        options: The values that each of its options may have; the first one is the default.
    """

    parameter: Literal["rate", "level"]
    meaning: str
    effects: frozenset[Effect]
    noise: AdditiveNoise | None = None
    highest: float = float("inf")
    allowed: tuple[float, ...] = ()
    joint: bool = False
    numeric: bool = False
    options: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if ("adds" in self.effects) != (self.noise is not None):
            raise ValueError("expected a noise of every kind that adds, and of no other; set both or neither")

    @property
    def defaults(self) -> dict[str, Option]:
        """Its options with their defaults."""
        return {name: choices[0] for name, choices in self.options.items()}

    @property
    def writes(self) -> bool:
        """Whether it gives frames new values without checking whether an earlier step erased them."""
        return not self.effects.isdisjoint({"replaces", "scales", "adds"})

    @property
    def changes_content(self) -> bool:
        """Whether it does anything else to frames than to erase them."""
        return self.effects != {"erases"}

    @property
    def only_erases(self) -> bool:
        """Whether it erases frames whatever they hold, and at most moves the others.

        A predictor that uses only the values of the remaining frames, not their positions, loses nothing else.
        """
        return "erases" in self.effects and self.effects <= {"erases", "moves"}

    @property
    def adds_gaussian_noise(self) -> bool:
        """Whether it only adds Gaussian noise, so that Gaussian frames stay Gaussian."""
        return self.noise is not None and self.noise.law == "gaussian" and self.effects == {"adds"}


ERASES: frozenset[Effect] = frozenset({"erases"})
REPLACES: frozenset[Effect] = frozenset({"replaces"})
ADDS: frozenset[Effect] = frozenset({"adds"})

# Choices of an option, the default first.
ON: tuple[Option, ...] = (True, False)
OFF: tuple[Option, ...] = (False, True)
KEEP_ENDS: tuple[Option, ...] = (False, True, "always")
PLACES: tuple[Option, ...] = ("random", "start", "middle", "end", "scattered")

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
        effects=ERASES,
        highest=1,
        options={"keep_one": ON},
    ),
    "gcnet-missing": CorruptionKind(
        "rate",
        "the rate is the average share of missing modalities: one uniformly chosen modality always stays, each other "
        "one stays with the probability that makes the average right; above 1 − 1/modalities only that one stays",
        effects=ERASES,
        highest=1,
        joint=True,
    ),
    "imder-missing": CorruptionKind(
        "rate",
        "IMDer's schedule: fixed shares of samples miss two or one uniformly chosen modalities; 0.7 means 2/3; with "
        "round_batches the shares are those of whole batches of 32 test samples whose number is rounded to tens, as "
        "its code realises them",
        effects=ERASES,
        allowed=tuple(IMDER_SCHEDULE),
        joint=True,
        options={"round_batches": OFF},
    ),
    "mplmm-missing": CorruptionKind(
        "rate",
        "with this probability a sample gets one of the incomplete patterns, uniformly; the average share of missing "
        "modalities is half the rate",
        effects=ERASES,
        highest=1,
        joint=True,
    ),
    "frame-missing": CorruptionKind(
        "rate",
        "each valid frame becomes zero with this probability, independently; keep_ends spares the first and last valid "
        'frame of text: true where they are known to be [CLS] and [SEP], "always" in any data; shared_draws gives '
        "modalities that the data pad to equal widths the same random numbers",
        effects=ERASES,
        highest=1,
        options={"keep_ends": KEEP_ENDS, "shared_draws": OFF},
    ),
    "block-missing": CorruptionKind(
        "rate",
        "exactly round(rate × n) of the n valid frames become zero: one contiguous span, whose place is random, start, "
        "middle or end, or as many scattered single frames; shared_window takes the same window in all modalities, at "
        "the same relative position where lengths differ; keep_ends as in frame-missing",
        effects=ERASES,
        highest=1,
        options={"place": PLACES, "shared_window": OFF, "keep_ends": KEEP_ENDS},
    ),
    "gaussian-noise": CorruptionKind(
        "level",
        "adds Gaussian noise, fresh for every valid frame and dimension, with a standard deviation of level × σ_ref",
        effects=ADDS,
        noise=AdditiveNoise("gaussian", per="frame"),
        numeric=True,
    ),
    "laplace-noise": CorruptionKind(
        "level",
        "adds Laplace noise, fresh for every valid frame and dimension, with a standard deviation of level × σ_ref",
        effects=ADDS,
        noise=AdditiveNoise("laplace", per="frame"),
        numeric=True,
    ),
    "utterance-noise": CorruptionKind(
        "level",
        "adds one Gaussian vector to all valid frames of an utterance, with a standard deviation of level × σ_ref per "
        "dimension; pooling over frames cannot average it away",
        effects=ADDS,
        noise=AdditiveNoise("gaussian", per="utterance"),
        numeric=True,
    ),
    "salt-and-pepper": CorruptionKind(
        "rate",
        "each value of a valid frame becomes an extreme, training mean + 3 σ_ref or − 3 σ_ref, with this probability",
        effects=REPLACES,
        highest=1,
        numeric=True,
    ),
    "scalar-noise": CorruptionKind(
        "rate",
        "with this probability all frames of the modality are multiplied by one N(0, 1) number (MSA-Robustness's "
        "g_noise)",
        effects=frozenset({"scales"}),
        highest=1,
        numeric=True,
    ),
    "missing-or-scalar-noise": CorruptionKind(
        "rate",
        "with this probability the modality becomes zero; with the same probability, never both, all its frames are "
        "multiplied by one N(0, 1) number (MSA-Robustness hybrid)",
        effects=frozenset({"erases", "scales"}),
        highest=0.5,
        numeric=True,
    ),
    "temporal-shift": CorruptionKind(
        "rate",
        "frames move earlier or later by this share of the valid length, against the other modalities; frames that "
        "leave the window are lost, frames that enter it are zero",
        effects=frozenset({"erases", "moves"}),
        highest=1,
    ),
    "frame-substitution": CorruptionKind(
        "rate",
        "each valid frame is replaced, with this probability, by a frame of the same modality from the training split",
        effects=REPLACES,
        highest=1,
    ),
}

FILES = "files"
"""The kind whose frames come from files and not from draws: a protocol names a data file for each level."""
_FROM_FILES = CorruptionKind(
    "level",
    "the frames of the modality are those that the file of this level holds for the sample; a frame that is zero only "
    "there counts as erased, and every other difference from the clean data as noise",
    effects=frozenset({"erases", "replaces"}),
    numeric=True,
)


def kind_named(name: str) -> CorruptionKind:
    """The traits of a kind of `CORRUPTION_KINDS`, or of `FILES`."""
    return _FROM_FILES if name == FILES else CORRUPTION_KINDS[name]


def signal_left(missing: Any, noise: Any) -> Any:
    """Share of a modality's signal that a corruption left: (1 − missing) / (1 + noise²).

    1 is uncorrupted, 0 is missing.

    Args:
        missing: Share of frames that were erased; a number, array or tensor.
        noise: Size of every other change in units of σ_ref, so that 1 / (1 + noise²) is the share of the variance that
            is still signal.
    """
    return (1 - missing) / (1 + noise**2)
