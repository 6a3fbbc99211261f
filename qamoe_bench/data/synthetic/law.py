"""The law of an embedded data set: a label on a finite grid, and frames that are linear and Gaussian given the label.

Given the label s, frame t of a modality is

    x_t = V φ(s) + U z + b V ζ + τ e_t

    V     D × 2, orthonormal columns: the directions that depend on the label
    φ     the part of s that the modality shows, a row per possible label
    U z   D × 4 standard normal entries times z ~ N(0, I): nuisance (a speaker, a room), not orthogonal to V
    b V ζ ζ ~ N(0, I): the error of the modality's view of the label, of size b
    τ e_t e_t ~ N(0, I): scatter of frames; τ is the sample's reliability in that modality

z, ζ and τ are drawn once per sample and modality, e_t per frame, all independently. τ is .5, 1 or 2 with probability
.3, .4 and .3, and the number of frames is uniform. U and V are drawn once and belong to the law, that is, to the
distribution of samples; a seed draws samples of it.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.synthetic.decisions import class_decisions, scale_decisions
from qamoe_bench.data.synthetic.oracle import BayesOracle, Channel
from qamoe_bench.errors import BenchError
from qamoe_bench.seeding import stream
from qamoe_bench.vocabulary import REGRESSION, Task

SIZES: Mapping[str, int] = {"train": 1284, "valid": 229, "test": 686}
"""Samples per split, as in MOSI."""

BLOCK = SIZES["train"]
"""Samples whose frames are computed together; the embedded splits are one block each."""

MOST_TRAINING_SAMPLES = 100_000
"""Most training samples that are drawn, which take about 2 GiB while they are."""

DRAW_VERSION = 1
"""Incremented whenever the same law, seed and sizes would give other samples."""

# Decimals of the law's numbers that enter the digest; the last bits of floating-point results depend on the machine.
_DIGEST_DECIMALS = 6

# Columns of U.
_NUISANCE_DIRECTIONS = 4


@dataclass(frozen=True)
class View:
    """The dependence of one modality on the label.

    Attributes:
        signal: φ(s), a row per point of the label grid.
        directions: V, with orthonormal columns.
        nuisance: U.
        wobble: b, the standard deviation of the modality's own view along each column of V.
        frames: Smallest and largest number of frames of a sample, both inclusive.
    """

    signal: Float[NDArray[np.float64], "S A"]
    directions: Float[NDArray[np.float64], "D A"]
    nuisance: Float[NDArray[np.float64], "D K"]
    wobble: float
    frames: tuple[int, int]

    @property
    def channel(self) -> Channel:
        """Mean and covariance without the scatter of frames: V φ(s) and U Uᵀ + b² V Vᵀ."""
        u = self.nuisance
        v = self.directions
        return Channel(self.signal @ v.T, u @ u.T + self.wobble**2 * (v @ v.T))


@dataclass(frozen=True)
class Law:
    """The distribution of samples.

    Attributes:
        grid: The possible labels, ascending; of a task of classes their indices.
        prior: Their probabilities.
        views: The dependence of each modality on the label.
        scatter: The possible values of τ.
        scatter_prior: Their probabilities.
        name: Name of the data set; laws of different names draw independently under the same seed.
        task: What a label says; regression or classes.
    """

    grid: Float[NDArray[np.float64], " S"]
    prior: Float[NDArray[np.float64], " S"]
    views: Mapping[str, View]
    scatter: tuple[float, ...] = (0.5, 1.0, 2.0)
    scatter_prior: tuple[float, ...] = (0.3, 0.4, 0.3)
    name: str = "synthetic"
    task: Task = REGRESSION

    @cached_property
    def numbers(self) -> dict[str, object]:
        """Every number of the law as JSON can store it, rounded so that it is the same on every machine."""
        views: dict[str, list[object]] = {}
        for m, view in self.views.items():
            arrays = [_rounded(view.signal), _rounded(view.directions), _rounded(view.nuisance)]
            views[m] = [*arrays, view.wobble, view.frames]
        return {
            "grid": _rounded(self.grid),
            "prior": _rounded(self.prior),
            "scatter": self.scatter,
            "scatter_prior": self.scatter_prior,
            "views": views,
        }


def draw_dataset(law: Law, sizes: Mapping[str, int], seed: int) -> Dataset:
    """Draw a data set of a law, with its oracle.

    Every quantity has its own random stream, so a larger split begins with the samples of a smaller one. The digest is
    that of the law, the seed and the sizes, because the last bit of a sample may differ between machines.

    Args:
        law: The distribution of samples.
        sizes: Number of samples of train, valid and test.
        seed: Seed of the samples.

    Raises:
        BenchError: A split has fewer than 2 samples.
    """
    splits = {}
    reliability = {}
    for name, size in sizes.items():
        splits[name], reliability[name] = _draw_split(law, name, size, seed)
    dataset = Dataset(
        name=law.name,
        splits=splits,
        digest=_digest(law, sizes, seed),
        label_range=(float(law.grid[0]), float(law.grid[-1])),
        reliability=reliability,
        task=law.task,
    )
    channels = {m: view.channel for m, view in law.views.items()}
    # σ_ref is estimated on the training split, so the data set comes first.
    reference = {m: std.double().numpy() for m, std in dataset.spec.feature_std.items()}
    decide = scale_decisions if law.task.is_regression else class_decisions
    oracle = BayesOracle(law.grid, law.prior, channels, reliability, reference, decide)
    return replace(dataset, oracle=oracle, redraw=partial(_redraw, dataset, oracle, law, seed))


def _redraw(dataset: Dataset, oracle: BayesOracle, law: Law, seed: int, size: int) -> Dataset:
    """The data set with this number of training samples.

    Raises:
        BenchError: There are more than `MOST_TRAINING_SAMPLES`.
    """
    if size > MOST_TRAINING_SAMPLES:
        raise BenchError(
            f"--train-size {size}: expected at most {MOST_TRAINING_SAMPLES} training samples of {law.name!r}, because "
            "they are drawn in memory; give a smaller size"
        )
    # In whole blocks, so that every sample has the same bits in splits of any size.
    drawn, scatter = _draw_split(law, "train", BLOCK * math.ceil(size / BLOCK), seed)
    splits = {**dataset.splits, "train": drawn.rows(torch.arange(size))}
    reliability = {**dataset.reliability, "train": {m: tau[:size] for m, tau in scatter.items()}}
    return replace(dataset, splits=splits, reliability=reliability, oracle=replace(oracle, scatter=reliability))


def fixed_view(
    words: tuple[int | str, ...],
    signal: Float[NDArray[np.float64], "S 2"],
    width: int,
    wobble: float,
    frames: tuple[int, int],
) -> View:
    """A view whose V and U are determined by the width D and by words that name a law and a modality; see `View`."""
    first, second = stream(*words, "directions").standard_normal((2, width))
    # Gram-Schmidt instead of a QR decomposition, whose signs depend on the machine.
    first /= np.sqrt(first @ first)
    second -= (first @ second) * first
    second /= np.sqrt(second @ second)
    nuisance = stream(*words, "nuisance").standard_normal((width, _NUISANCE_DIRECTIONS))
    return View(signal, np.stack([first, second], axis=1), nuisance, wobble, frames)


def _digest(law: Law, sizes: Mapping[str, int], seed: int) -> str:
    identity = {"version": DRAW_VERSION, "seed": seed, "sizes": dict(sizes), "law": law.numbers}
    if not law.task.is_regression:
        identity |= {"name": law.name, "task": asdict(law.task)}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _draw_split(law: Law, name: str, size: int, seed: int) -> tuple[Split, dict[str, NDArray[np.float64]]]:
    """A split, and τ of its samples by modality."""
    # Indices of the grid, (N,)
    label = stream(law.name, seed, name, "label").choice(len(law.grid), size, p=law.prior)
    features, lengths, scatter = {}, {}, {}  # by modality
    for modality, view in law.views.items():
        tau = stream(law.name, seed, name, modality, "scatter").choice(law.scatter, size, p=law.scatter_prior)
        count = stream(law.name, seed, name, modality, "length").integers(*view.frames, size, endpoint=True)
        scatter[modality] = tau
        lengths[modality] = torch.from_numpy(count)
        features[modality] = torch.from_numpy(_draw_frames(view, label, tau, count, (law.name, seed, name, modality)))
    ids = tuple(f"{name}-{i:04d}" for i in range(size))
    target = torch.from_numpy(law.grid[label].astype(np.float32))
    return Split(ids, target, features, lengths), scatter


def _draw_frames(
    view: View,
    label: NDArray[np.int64],
    tau: NDArray[np.float64],
    count: NDArray[np.int64],
    words: tuple[int | str, ...],
) -> Float[NDArray[np.float32], "N T D"]:
    """Frames of one modality, zero from frame `count` on; `label` are indices of the grid, `words` name the streams."""
    width, aspects = view.directions.shape
    longest = view.frames[1]
    zeta = stream(*words, "wobble").standard_normal((len(label), aspects))
    z = stream(*words, "nuisance").standard_normal((len(label), view.nuisance.shape[1]))
    # V (φ(s) + b ζ) + U z, the same for all frames of a sample, (N, D)
    parts = []
    for start in range(0, len(label), BLOCK):
        # The number of rows may decide in which order a product of matrices adds, and so its last bits.
        rows = slice(start, start + BLOCK)
        seen = view.signal[label[rows]] + view.wobble * zeta[rows]
        parts.append(seen @ view.directions.T + z[rows] @ view.nuisance.T)
    constant = np.concatenate(parts)
    frames = stream(*words, "frames").standard_normal((len(label), longest, width))  # (N, T, D)
    frames *= tau[:, None, None]
    frames += constant[:, None, :]
    frames[np.arange(longest) >= count[:, None]] = 0.0  # padding
    return frames.astype(np.float32)


def _rounded(values: NDArray[np.float64]) -> list[object]:
    """Values as nested lists, rounded and without negative zeros."""
    rounded: list[object] = (np.round(values, _DIGEST_DECIMALS) + 0.0).tolist()
    return rounded
