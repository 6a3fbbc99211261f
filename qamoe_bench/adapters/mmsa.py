"""Models of the MMSA package (thuiar/MMSA 2.2.1, extra `[mmsa]`): `--model mmsa:lmf`, with settings `mmsa:lmf:rank=4`.

Network and configuration are the package's own: `get_config_regression` for MOSI, or for MOSEI with the setting
`config=mosei`. As there, audio and vision are averaged over their frames, padding included, for models that the package
marks `need_normalized`, and are pooled to the length of the text (`AlignSubNet`, avg_pool) for models that need aligned
data, where the lengths differ; aligned data stay as they are.

What departs: models are trained by the loop of this suite, with its optimiser, budget, batches and selection of the
epoch, so the learning rates, batch sizes, weight decay and gradient clipping of the configuration are not used. Their
objective there is the mean absolute error alone, as here. The package's trainers leave out two parameters of LMF
(`fusion_weights`, `fusion_bias`) and none is left out here. TFN's output range follows the scale of the labels where
that is wider than −3 to 3. The six networks inside Graph-MFN's fusion graph, which the package keeps in a plain
dictionary and never trains, are not trained here either, but stored and moved with the rest.

Dimension legend: B samples, T frames, D feature width.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_bench.adapters.declaration import NAME
from qamoe_bench.contract import Batch, DataSpec, Output
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.vocabulary import MODALITIES

CARD = {"requires": ("text", "audio", "vision")}

MODELS = ("lmf", "tfn", "mult", "lf_dnn", "ef_lstm", "mfn", "graph_mfn")
"""Models whose objective is a single loss of the prediction."""

_BERT = "it takes BERT's token ids and fine-tunes BERT"
REFUSED: Mapping[str, str] = {
    "bert_mag": _BERT,
    "misa": f"its trainer adds losses of similarity, difference and reconstruction, and {_BERT}",
    "mmim": f"its trainer alternates two stages, the first of which maximises mutual information, and {_BERT}",
    "self_mm": f"its trainer makes labels of each modality while it trains, and {_BERT}",
    "tfr_net": f"its trainer reconstructs complete features from its own masks, and {_BERT}",
    "mfm": "its trainer adds generative and MMD losses to that of the prediction",
    "mctn": "its forward pass takes the labels and computes the loss itself",
    **dict.fromkeys(("mtfn", "mlmf", "mlf_dnn"), "it learns from labels of each modality, which only SIMS has"),
}
"""Models that the suite's training loop cannot train, each with the reason."""

CONFIGS = ("mosi", "mosei")
TRAINER_FIELDS = frozenset(
    {"batch_size", "learning_rate", "factor_lr", "weight_decay", "early_stop", "grad_clip", "patience", "update_epochs"}
)
"""Fields of the package's configuration that only its own trainers read."""


class PackageModel(nn.Module):
    """A model of the package behind the interface of the contract.

    Attributes:
        inner: The package's `AMIO`, which holds the model and aligns its inputs.
    """

    def __init__(self, inner: nn.Module, lengths: Mapping[str, int], averages: bool) -> None:
        """Wrap a model.

        Args:
            inner: The package's `AMIO`.
            lengths: The longest T of each modality in the data; every batch is padded to it.
            averages: Whether audio and vision are averaged over their frames.
        """
        super().__init__()
        self.inner = inner
        self._lengths = dict(lengths)
        self._averages = averages

    def forward(self, batch: Batch) -> Output:
        """The prediction of the package's model."""
        inputs = [self._input(batch.features[m], m) for m in MODALITIES]
        # (B, 1); some models squeeze a single sample to (1,).
        return Output(self.inner(*inputs)["M"].reshape(batch.size))

    def _input(self, x: Float[Tensor, "B T D"], modality: str) -> Float[Tensor, "B _ D"]:
        length = self._lengths[modality]
        if self._averages and modality != "text":
            # The same as the mean over all frames of the longest sample, whatever the padding of this batch.
            return x.sum(dim=1, keepdim=True) / length  # (B, 1, D)
        return F.pad(x, (0, 0, 0, length - x.shape[1]))


def __getattr__(name: str) -> Callable[..., nn.Module]:
    """The builder of a model of the package, such as `lmf`; see PEP 562.

    Raises:
        BenchError: If the package has no such model, if the suite cannot train it, or if the package is not installed.
    """
    if name == NAME or name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    model = name.lower()
    if model in REFUSED:
        raise BenchError(
            f"model 'mmsa:{name}': expected a model that the suite's own loop can train, on a single loss, got another "
            f"one: {REFUSED[model]}; choose one of {', '.join(MODELS)}, or train it with "
            "MMSA and pass its predictions to qamoe_bench.evaluate"
        )
    if model not in MODELS:
        raise unknown_name("model of MMSA", name, MODELS)
    _import_package(model)

    def build(spec: DataSpec, **settings: Any) -> nn.Module:
        return _build(model, spec, settings)

    build.__qualname__ = name
    return build


def _import_package(model: str) -> tuple[Callable[..., Any], Callable[..., nn.Module]]:
    """The package's function for configurations, and its class of all models."""
    try:
        from MMSA.config import get_config_regression
        from MMSA.models.AMIO import AMIO
    except ImportError as error:
        raise BenchError(
            f"model 'mmsa:{model}': expected the MMSA package, got {type(error).__name__}: {error}; run "
            "pip install 'qamoe-bench[mmsa]'"
        ) from error
    return get_config_regression, AMIO


def _build(model: str, spec: DataSpec, settings: Mapping[str, Any]) -> nn.Module:
    get_config, amio = _import_package(model)
    _check_data(model, spec)
    name = str(settings.get("config", CONFIGS[0]))
    if name not in CONFIGS:
        raise unknown_name(f"config of mmsa:{model}", name, CONFIGS)
    config = get_config(model, name)
    config.update(_checked(model, config, settings))
    config.update(
        feature_dims=[spec.widths[m] for m in MODALITIES],
        seq_lens=[spec.lengths[m] for m in MODALITIES],
        train_mode="regression",
        device="cpu",  # where it is built; the suite moves it
    )
    _check_kernels(model, config, spec)
    inner = amio(config)
    _adjust(model, inner, spec)
    wrapped = PackageModel(inner, spec.lengths, averages=bool(config.get("need_normalized")))
    _warm_up(wrapped, spec)
    return wrapped


def _check_data(model: str, spec: DataSpec) -> None:
    if spec.modalities != MODALITIES or spec.token_ids:
        got = f"token ids of {min(spec.token_ids)}" if spec.token_ids else ", ".join(spec.modalities)
        raise BenchError(
            f"model 'mmsa:{model}': expected data with features of text, audio and vision, got {got}; choose other "
            "data, or leave the model out"
        )


def _checked(model: str, config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a model's name that are fields of its configuration."""
    from MMSA.config import get_config_all

    own = get_config_all("regression")[model]["datasetParams"][config["dataset_name"]]
    # A setting in a name is one number; fields that hold several keep those of the package.
    known = [field for field in own if type(own[field]) in (int, float) and field not in TRAINER_FIELDS]
    fields = {key: value for key, value in settings.items() if key != "config"}
    for key, value in fields.items():
        if key in TRAINER_FIELDS:
            raise BenchError(
                f"model 'mmsa:{model}': expected a field of the network, got {key!r}, which only MMSA's own trainer "
                "reads; use settings of the suite's loop, such as train.learning_rate"
            )
        if key not in known:
            raise unknown_name(f"setting of mmsa:{model}", key, [*known, "config"])
        if type(value) not in (int, type(own[key])):  # a bool is an int too
            expected = "a whole number" if type(own[key]) is int else "a number"
            raise BenchError(f"model 'mmsa:{model}': expected {expected} for {key!r}, got {value!r}; correct it")
    return fields


def _check_kernels(model: str, config: Mapping[str, Any], spec: DataSpec) -> None:
    """Refuse convolutions that are longer than the sequences."""
    short = {}
    for modality, letter in zip(MODALITIES, "lav", strict=True):
        if config.get(f"conv1d_kernel_size_{letter}", 0) > spec.lengths[modality]:
            short[modality] = f"conv1d_kernel_size_{letter}={spec.lengths[modality]}"
    if short:
        frames = " and ".join(f"{spec.lengths[m]} of {m}" for m in short)
        raise BenchError(
            f"model 'mmsa:{model}': expected at least as many frames as the convolutions are long, got {frames}; set "
            f"{','.join(short.values())} after the model's name"
        )


def _adjust(model: str, inner: nn.Module, spec: DataSpec) -> None:
    """What differs from the package's model, see the module docstring."""
    network: Any = inner.get_submodule("Model")
    low, high = spec.label_range
    if model == "tfn" and (low < -3 or high > 3):
        network.output_range.data.fill_(high - low)
        network.output_shift.data.fill_(low)
    if model == "graph_mfn":
        # As submodules they are part of the state; the dictionary of the fusion graph holds the same objects.
        network.fusion_networks = nn.ModuleList(network.graph_mfn.networks.values()).requires_grad_(False)


@torch.no_grad()
def _warm_up(model: PackageModel, spec: DataSpec) -> None:
    """One pass, so that buffers which the package caches on first use are not made in inference mode."""
    features = {m: torch.zeros(2, spec.lengths[m], spec.widths[m]) for m in MODALITIES}
    was_training = model.training
    model.eval()(Batch(features, {m: torch.ones(2, dtype=torch.int64) for m in MODALITIES}))
    model.train(was_training)
