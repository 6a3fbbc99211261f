"""What arguments of constructors and forward passes usually mean, by their names. Nothing here needs torch.

text, audio, video, text_x, x_a     the features of a modality
audio_lengths, video_lens           its numbers of valid frames
text_dim, d_a, visual_in_size       the width of its features
audio_len, text_seq_len             its longest number of frames
feature_dims, input_dims            all widths, as a tuple in the order text, audio, vision
"""

from collections.abc import Mapping

from qamoe_bench.vocabulary import MODALITIES

MODALITY_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("text", "texts", "language", "lang", "word", "words", "sentence", "sentences", "t", "l"), "text"),
    **dict.fromkeys(("audio", "audios", "acoustic", "speech", "a"), "audio"),
    **dict.fromkeys(("vision", "video", "videos", "visual", "facial", "v"), "vision"),
}
"""Modality by the words that name it."""
FEATURE_WORDS = frozenset({"x", "input", "inputs", "feature", "features", "feat", "feats", "seq", "sequence", "data"})
LENGTH_WORDS = frozenset({"length", "lengths", "len", "lens"})
WIDTH_WORDS = frozenset({"dim", "dims", "d", "width", "size", "in", "orig", "channels"}) | FEATURE_WORDS
FRAME_WORDS = LENGTH_WORDS | {"max", "seq", "sequence", "frames", "steps"}
ALL_WIDTHS = frozenset({"widths", "dims", "feature_dims", "input_dims", "in_dims", "feat_dims", "input_sizes"})
ALL_LENGTHS = frozenset({"seq_lens", "max_lens", "max_lengths", "seq_lengths"})
SPEC = "spec"

ARGUMENTS = (*MODALITIES, *(f"{m}_{part}" for m in MODALITIES for part in ("lengths", "mask", "with_lengths")), "batch")
"""What an argument of a forward pass may hold, see `qamoe_bench.adapters.declaration`."""
FACTS = (SPEC, *(f"{m}_{part}" for m in MODALITIES for part in ("width", "length")), "widths", "lengths")
"""What an argument of a constructor may hold."""


def argument_of(name: str) -> str:
    """What an argument of a forward pass with this name holds, one of `ARGUMENTS`, or `lengths`; empty if unknown."""
    if name in LENGTH_WORDS:
        return "lengths"
    modality, words = _parts(name)
    if modality and words <= FEATURE_WORDS:
        return modality
    # A mask is never guessed: some models expect True at valid frames, others at padding.
    return f"{modality}_lengths" if modality and words & LENGTH_WORDS and words <= FRAME_WORDS else ""


def fact_of(name: str) -> str:
    """What an argument of a constructor with this name holds, one of `FACTS`; empty if unknown."""
    if name in (SPEC, "data_spec"):
        return SPEC
    if name in ALL_WIDTHS:
        return "widths"
    if name in ALL_LENGTHS:
        return "lengths"
    modality, words = _parts(name)
    if not modality or not words:
        return ""
    if words & LENGTH_WORDS and words <= FRAME_WORDS:
        return f"{modality}_length"
    return f"{modality}_width" if words <= WIDTH_WORDS else ""


def _parts(name: str) -> tuple[str, frozenset[str]]:
    """The one modality that a name mentions (empty if none or several), and its other words."""
    words = [word for word in name.lower().split("_") if word]
    modalities = {MODALITY_WORDS[word] for word in words if word in MODALITY_WORDS}
    others = frozenset(word for word in words if word not in MODALITY_WORDS)
    return (modalities.pop(), others) if len(modalities) == 1 else ("", others)
