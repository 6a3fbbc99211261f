"""A checksum inside the file that it covers: SHA-256 of the content in which the checksum itself is zeros.

It shows that a file is, byte for byte, what was written: nothing in it was edited, cut or exchanged since. It is no
signature. Whoever changes a file on purpose can compute it again; the hashes of a bundle, or of version control, say
who vouches for it.
"""

import hashlib
import json

UNSEALED = "0" * 64
"""What stands in place of the checksum while the content is made."""
MARK = b'{"checksum": "'
"""Bytes before the checksum: the beginning of the JSON in a file's metadata, which has it as its first value."""


def seal(content: bytes) -> bytes:
    """A file with its checksum, made from one whose metadata begin with `UNSEALED` under `checksum`."""
    place = _place_in(content)
    return content[:place] + _checksum(content, place).encode() + content[place + len(UNSEALED) :]


def is_sealed(content: bytes) -> bool:
    """Whether a Parquet file has a checksum; files of earlier versions do not."""
    return _place_in(content) >= 0


def is_unchanged(content: bytes) -> bool:
    """Whether a Parquet file has the content that its checksum says, or has no checksum."""
    place = _place_in(content)
    if place < 0:
        return True
    return content[place : place + len(UNSEALED)] == _checksum(content, place).encode()


def sealed_metadata(content: bytes) -> object:
    """The metadata of a Parquet file whose checksum holds, as JSON holds them; None for any other file.

    They are found without Arrow, since they begin with the checksum.
    """
    place = _place_in(content)
    if place < 0 or not is_unchanged(content):
        return None
    # What follows them in the footer is binary, and is not read.
    metadata, _ = json.JSONDecoder().raw_decode(content[place - len(MARK) :].decode(errors="replace"))
    return metadata


def _place_in(content: bytes) -> int:
    """Where the checksum stands, -1 if nowhere."""
    # The last 8 bytes of a Parquet file are the length of its footer, which holds the metadata, and `PAR1`.
    footer = int.from_bytes(content[-8:-4], "little") + 8
    place = content.find(MARK, max(0, len(content) - footer))
    return place if place < 0 else place + len(MARK)


def _checksum(content: bytes, place: int) -> str:
    digest = hashlib.sha256(content[:place])
    digest.update(UNSEALED.encode())
    digest.update(content[place + len(UNSEALED) :])
    return digest.hexdigest()
