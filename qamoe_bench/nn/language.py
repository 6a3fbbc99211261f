"""A language model for text that comes as token ids: the states of BERT (Devlin et al. 2019), trained with the rest.

The weights are random, for nothing is downloaded here; whoever has pretrained ones loads them like any checkpoint.

Dimension legend: B samples, T tokens, W width of a state (768 in BERT base).
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from qamoe_bench.contract import Batch
from qamoe_bench.errors import BenchError


class BertStates(nn.Module):
    """The last hidden states of a BERT without its pooler; dropout is BERT's own, 0.1.

    Without settings it is BERT base: 12 layers, 12 heads, W = 768, 108,891,648 parameters.
    """

    def __init__(self, **settings: Any) -> None:
        """`settings` are fields of transformers' `BertConfig`."""
        super().__init__()
        try:  # here, for only data with token ids need transformers
            from transformers import BertConfig, BertModel
        except ImportError as error:
            raise BenchError(
                "text holds token ids: expected the extra [text]; pip install 'qamoe-bench[text]'"
            ) from error
        config = BertConfig(**settings)
        self.width: int = config.hidden_size
        self.bert = BertModel(config, add_pooling_layer=False)

    def forward(self, batch: Batch, modality: str) -> Float[Tensor, "B T W"]:
        """A state per position, those of padding included, which see the valid tokens and are not seen by them."""
        valid = batch.mask(modality)  # (B, T)
        ids = batch.features[modality][..., 0].masked_fill(~valid, 0).long()  # 0 is [PAD]
        # A softmax over nothing is not a number, so a sample without tokens sees its padding.
        seen = valid | ~valid.any(1, keepdim=True)
        states: Tensor = self.bert(input_ids=ids, attention_mask=seen.long()).last_hidden_state  # (B, T, W)
        return states
