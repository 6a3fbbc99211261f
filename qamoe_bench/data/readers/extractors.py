"""The modality of features by the name of their file or folder, which names the extractor in all shared layouts."""

from collections.abc import Mapping

from qamoe_bench.vocabulary import MODALITIES

# Parts of normalised names. The longest part that occurs decides: `hubert` contains `bert`, and `videomae` `video`.
_PARTS: Mapping[str, tuple[str, ...]] = {
    "text": (
        "text", "language", "glove", "wordvector", "wordembedding", "word2vec", "fasttext", "bert", "electra", "xlnet",
        "gpt", "mpnet", "llama", "vicuna", "alpaca", "mossbase", "stablelm", "bloom", "glm", "falcon", "baichuan",
        "opt13b", "qwen", "sentencetransformer", "clipchinese", "cliproberta",
    ),
    "audio": (
        "audio", "acoustic", "speech", "covarep", "coavarep", "opensmile", "librosa", "compare", "egemaps", "is09",
        "is10", "is13", "mfcc", "wav2vec", "wavlm", "hubert", "whisper", "data2vecaudio", "vggish", "panns", "clap",
        "emotion2vec",
    ),
    "vision": (
        "vision", "visual", "video", "image", "face", "facet", "openface", "clip", "clipvit", "vit", "resnet", "senet",
        "manet", "emonet", "msceleb", "imagenet", "videomae", "data2vecvision", "dino", "eva02", "ferplus", "densenet",
        "timesformer",
    ),
}  # fmt: skip


def normalised(name: str) -> str:
    """A name in lower case without separators, so that `FACET 4.2`, `Facet_42` and `facet-4.2` are written alike."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def modality_of(name: str) -> str | None:
    """The modality that a name names; None if it names none, or two of them equally well."""
    longest = {m: _longest_part(normalised(name), _PARTS[m]) for m in MODALITIES}
    best = max(longest.values())
    named = [m for m in MODALITIES if longest[m] == best]
    return named[0] if best and len(named) == 1 else None


def _longest_part(name: str, parts: tuple[str, ...]) -> int:
    """Letters of the longest part that occurs in a name; 0 if none does."""
    return max((len(part) for part in parts if part in name), default=0)
