"""The content of a bundle: one zip file whose first member lists all others with their sizes and hashes.

    bundle.json                               the format, versions, and per member its size in bytes and SHA-256
    runs/<run-id>/run.json                    manifests of the runs, as in a store
                  predictions/<cell>.parquet  the predictions
                  selection/<cell>.parquet    test metrics of every epoch, where they were recorded
    report.json                               the numbers of the report, which opening computes again
    page.html                                 the report as a page, if it was asked for

Members are plain files under names that every system can store. Equal results give equal bytes.
"""

import re
import unicodedata
from collections.abc import Iterable

FORMAT = 1
"""Version of the format; readers refuse a higher one."""
MANIFEST = "bundle.json"
REPORT = "report.json"
PAGE = "page.html"
PART = r"[^\W_](?:[\w .()+,=@~-]*[\w()+=@~-])?"
"""A folder or file name without separators, control characters, and what Windows refuses, at the end or anywhere."""
MEMBER = re.compile(
    rf"report\.json|page\.html|runs/{PART}/(run\.json|(predictions|selection)/{PART}-[0-9a-f]{{20}}\.parquet)"
)
"""Names of all members but the manifest."""
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names of devices of Windows."""
LONGEST_PART = 255
"""Bytes of a name that all common file systems store."""


def is_portable(part: str) -> bool:
    """Whether a folder of this name can be made, and is the same, on every system."""
    return bool(re.fullmatch(PART, part)) and not RESERVED.fullmatch(part) and len(part.encode()) <= LONGEST_PART


def is_member(name: str) -> bool:
    """Whether a bundle may have a member of this name."""
    return bool(MEMBER.fullmatch(name)) and all(map(is_portable, name.split("/")))


def colliding(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names, or folders of names, that some file systems cannot distinguish; None without any."""
    spelled: dict[str, str] = {}
    for name in names:
        parts = name.split("/")
        for end in range(1, len(parts) + 1):
            path = "/".join(parts[:end])
            # Some systems ignore case, some the way in which accents are encoded.
            folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
            other = spelled.setdefault(folded, path)
            if other != path:
                return other, path
    return None
