"""A language model for text given as token ids, trained together with the rest of a model.

Its weights are pretrained if the data set names them (see `DataSpec.pretrained`). Otherwise it is a BERT base (Devlin
et al. 2019) with random weights, which is enough to measure costs. Nothing is downloaded here.

Dimension legend: B samples, T tokens, W width of a state (768 in BERT base).
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from qamoe_bench.contract import Batch
from qamoe_bench.errors import BenchError

LENGTH_STEP = 8
"""Samples whose lengths agree when rounded up to a multiple of this are computed together."""


class TokenStates(nn.Module):
    """The last hidden states of a language model without its pooler, with the dropout of its configuration.

    Without a folder and settings it is BERT base: 12 layers, 12 heads, W = 768, 108,891,648 parameters.

    Attributes:
        width: W.
        positions: The most tokens that a text may have.
    """

    def __init__(self, pretrained: str | None = None, **settings: Any) -> None:
        """Load or initialise the language model.

        Args:
            pretrained: Folder with weights and configuration; None for a BERT with random weights.
            settings: Fields of transformers' `BertConfig`, without `pretrained` only.

        Raises:
            BenchError: If transformers is not installed, or the folder's weights cannot be loaded.
        """
        super().__init__()
        try:  # imported here, because only data with token ids need transformers
            from transformers import AutoModel, BertConfig, BertModel
        except ImportError as error:
            raise BenchError(
                "text holds token ids: expected the extra [text]; pip install 'qamoe-bench[text]'"
            ) from error
        if pretrained is None:
            self.model: Any = BertModel(BertConfig(**settings), add_pooling_layer=False)
        else:
            self.model = _load(AutoModel, pretrained)
        self.width: int = self.model.config.hidden_size
        self.positions: int = self.model.config.max_position_embeddings

    def forward(self, batch: Batch, modality: str) -> Float[Tensor, "B T W"]:
        """A state per position; zeros at padding."""
        ids = batch.features[modality][..., 0]  # (B, T)
        lengths = batch.lengths[modality]
        states = ids.new_zeros(*ids.shape, self.width)  # (B, T, W)
        for rows, longest in _of_like_length(lengths):
            positions = torch.arange(longest, device=ids.device)
            valid = positions < lengths[rows, None]  # (K, longest)
            computed = self._states(ids[rows, :longest].masked_fill(~valid, 0).long(), valid)  # 0 is [PAD]
            states = states.index_put((rows[:, None], positions), computed.to(states.dtype))
        return states * batch.mask(modality)[..., None]

    def states_of_padding(self, batch: Batch, modality: str) -> Float[Tensor, "B T W"]:
        """A state per position; padding attends to the valid tokens, and they do not attend to padding."""
        valid = batch.mask(modality)  # (B, T)
        ids = batch.features[modality][..., 0].masked_fill(~valid, 0).long()
        # A softmax over no token is NaN, so a sample without tokens attends to its padding.
        return self._states(ids, valid | ~valid.any(1, keepdim=True))

    def _states(self, ids: Int[Tensor, "B T"], attended: Bool[Tensor, "B T"]) -> Float[Tensor, "B T W"]:
        states: Tensor = self.model(input_ids=ids, attention_mask=attended.long()).last_hidden_state
        return states


def _load(auto: Any, folder: str) -> Any:
    """Load the encoder of a folder without its pooler and without progress bars.

    Code in the folder is not run, and pickled weights, which could run some, are not read.
    """
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model = auto.from_pretrained(folder, local_files_only=True, use_safetensors=True, trust_remote_code=False)
    except Exception as error:  # a broken file makes transformers raise errors of any type
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BenchError(
            f"encoder {folder}: expected weights that fit its config.json, got unreadable ones ({reason}); save the "
            "model with save_pretrained"
        ) from error
    finally:
        if shown:
            logging.enable_progress_bar()
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model


def _of_like_length(lengths: Int[Tensor, " B"]) -> Iterator[tuple[Int[Tensor, " K"], int]]:
    """Rows of samples of similar length with at least one token, and the longest length among them.

    Most sentences are far shorter than the longest one, so computing all of them together would mostly compute padding.
    """
    steps = (lengths + LENGTH_STEP - 1) // LENGTH_STEP
    for step in sorted(set(steps.tolist())):
        if step:  # 0: without a token
            rows = (steps == step).nonzero()[:, 0]
            yield rows, int(lengths[rows].max())


def language_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of every language model inside a model."""
    return [p for part in model.modules() if isinstance(part, TokenStates) for p in part.parameters()]
