"""A language model that fits a test: twelve words and two layers of width 8, saved as transformers saves models."""

from pathlib import Path

import torch

WORDS = ("good", "bad", "film", "not", "very", "it", "was")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
UNKNOWN = VOCABULARY.index("[UNK]")


def save_language_model(folder: Path) -> Path:
    """Random weights, the same every time."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=16,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate(VOCABULARY)}).save_pretrained(folder)
    return folder


def sentences(count: int) -> list[str]:
    """Of 1 to 7 words, with an unknown one here and there."""
    return [" ".join([*WORDS, "xyzzy"][(i + j) % 8] for j in range(1 + i % 7)) for i in range(count)]
