"""Feature files that the field shares, by the SHA-256 that their maintainers publish."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Instructions for getting the files, and their hashes.
MMSA = "https://github.com/thuiar/MMSA"


@dataclass(frozen=True)
class KnownFile:
    """A feature file that many papers use.

    Attributes:
        name: Short name, used in tables and on the command line.
        title: Data set and extraction in words.
        file: Path in the maintainers' shared folder.
        sha256: The hash that they publish, in hex.
        source: Address of the instructions for getting it, where the hash is published too.
    """

    name: str
    title: str
    file: str
    sha256: str
    source: str


KNOWN = (
    KnownFile(
        "mosi-unaligned",
        "CMU-MOSI, BERT text, unaligned audio and vision",
        "MOSI/Processed/unaligned_50.pkl",
        "78e0f8b5ef8ff71558e7307848fc1fa929ecb078203f565ab22b9daab2e02524",
        MMSA,
    ),
    KnownFile(
        "mosi-aligned",
        "CMU-MOSI, BERT text, audio and vision aligned to words",
        "MOSI/Processed/aligned_50.pkl",
        "d3994fd25681f9c7ad6e9c6596a6fe9b4beb85ff7d478ba978b124139002e5f9",
        MMSA,
    ),
    KnownFile(
        "mosei-unaligned",
        "CMU-MOSEI, BERT text, unaligned audio and vision",
        "MOSEI/Processed/unaligned_50.pkl",
        "ad8b23d50557045e7d47959ce6c5b955d8d983f2979c7d9b7b9226f6dd6fec1f",
        MMSA,
    ),
    KnownFile(
        "mosei-aligned",
        "CMU-MOSEI, BERT text, audio and vision aligned to words",
        "MOSEI/Processed/aligned_50.pkl",
        "45eccfb748a87c80ecab9bfac29582e7b1466bf6605ff29d3b338a75120bf791",
        MMSA,
    ),
    KnownFile(
        "sims-unaligned",
        "CH-SIMS, BERT text, unaligned audio and vision",
        "SIMS/Processed/unaligned_39.pkl",
        "c9e20c13ec0454d98bb9c1e520e490c75146bfa2dfeeea78d84de047dbdd442f",
        MMSA,
    ),
)


@cache
def known_file(path: Path) -> KnownFile | None:
    """The known file with the content of a file, or None; the file is read once per process."""
    digest = file_sha256(path)
    return next((known for known in KNOWN if known.sha256 == digest), None)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
