"""Models of the MMSA package with the weights of ours, and data that both can read."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tinydata import make_dataset
from torch import Tensor, nn

from qamoe_bench.contract import Batch, DataSpec
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.nn.language import TokenStates

needs_mmsa = pytest.mark.skipif(find_spec("MMSA") is None, reason="needs the extra [mmsa]")
WIDTHS = [5, 3, 4]
"""Of text, audio and vision in the tiny data."""
VOCABULARY = 20


class SmallBert(TokenStates):
    """A language model that fits a test, whatever folder is asked for."""

    def __init__(self, pretrained: str | None = None) -> None:
        super().__init__(
            None, vocab_size=VOCABULARY, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )


class SharedBert(nn.Module):
    """Stands in for MMSA's encoder of text, with the language model of ours."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.shared: list[Any] = []  # a list, so that its weights are not part of this module

    def forward(self, text: Tensor) -> Tensor:
        states: Tensor = self.shared[0](input_ids=text[:, 0].long(), attention_mask=text[:, 1].long()).last_hidden_state
        return states


def token_dataset() -> Dataset:
    """The tiny data with token ids for text, at most five of them."""
    data = make_dataset()
    splits = {}
    for name, split in data.splits.items():
        lengths = split.lengths["text"].clamp(max=4) + 1
        ids = torch.randint(4, VOCABULARY, (len(split), 5, 1), generator=torch.Generator().manual_seed(len(split)))
        ids *= torch.arange(5)[None, :, None] < lengths[:, None, None]
        features = {**split.features, "text": ids.float()}
        splits[name] = replace(split, features=features, lengths={**split.lengths, "text": lengths})
    return Dataset("tokens", splits, digest="tokens", token_ids={"text": 4})


def mmsa_text(batch: Batch) -> Tensor:
    """Token ids, mask and types, (B, 3, T), as MMSA's loader has them."""
    mask = batch.mask("text").float()
    return torch.stack([batch.features["text"][..., 0], mask, torch.zeros_like(mask)], dim=1)


def arguments(**values: Any) -> SimpleNamespace:
    """Settings of one of MMSA's models."""
    shared = {"train_mode": "regression", "feature_dims": WIDTHS, "need_data_aligned": False, "transformers": "bert"}
    return SimpleNamespace(**{**shared, "use_finetune": True, "use_bert": True, "pretrained": "", **values})


def copy_weights(ours: nn.Module, theirs: nn.Module, names: Mapping[str, str]) -> None:
    """Give their model the weights of ours.

    Args:
        ours: The source.
        theirs: The target.
        names: Prefixes of their parameters, by those of ours; longer ones first. A prefix of an LSTM ends in `rnn.`;
            ours has one per direction, MMSA's the second one under names of its own.
    """
    own = dict(ours.named_parameters())
    with torch.no_grad():
        for name, parameter in own.items():
            prefix = next((p for p in names if name.startswith(p)), None)
            if prefix is None:
                continue
            rest = name.removeprefix(prefix)
            if prefix.endswith("rnn."):
                direction, _, rest = rest.partition(".")
                rest += "_reverse" if direction == "1" else ""
            theirs.get_parameter(names[prefix] + rest).copy_(parameter)


def trained_count(model: nn.Module) -> int:
    """Number of parameters that learn."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def raw(spec: DataSpec) -> DataSpec:
    """The specification of data whose features have mean 0 and deviation 1, so that standardising changes nothing."""
    mean = {m: torch.zeros_like(x) for m, x in spec.feature_mean.items()}
    return replace(spec, feature_mean=mean, feature_std={m: torch.ones_like(x) for m, x in spec.feature_std.items()})
