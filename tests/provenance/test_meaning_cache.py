"""Stored meanings of source files: equal to fresh ones, made again where damaged, and never needed."""

from pathlib import Path

import pytest

from qamoe_bench.provenance.meaning import Meaning, parse_meaning
from qamoe_bench.provenance.meaning_cache import meaning_of

SOURCE = '"""Text."""\nimport math\nfrom .b import c\n\nX = c(math.pi)  # π\n'


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "qamoe-bench" / "meanings"


def read(folder: Path, name: str, source: str = SOURCE) -> Meaning:
    """The meaning of a file of another name each time, so that nothing comes from memory."""
    path = folder / name
    path.write_text(source, encoding="utf-8")
    return meaning_of(path, "package.a")


def test_a_stored_meaning_equals_a_fresh_one(cache: Path, tmp_path: Path) -> None:
    fresh = parse_meaning(SOURCE.encode(), "package")
    assert read(tmp_path, "first.py") == fresh
    (entry,) = cache.iterdir()
    assert read(tmp_path, "second.py") == fresh
    assert [*cache.iterdir()] == [entry]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"pieces": [], "imports": [["a", "b"]], "dynamic": []}', b"\xff"])
def test_a_damaged_entry_is_made_again(cache: Path, tmp_path: Path, content: bytes) -> None:
    whole = read(tmp_path, "first.py")
    (entry,) = cache.iterdir()
    entry.write_bytes(content)
    assert read(tmp_path, "second.py") == whole
    assert entry.read_bytes() != content


def test_other_source_or_another_package_is_another_entry(cache: Path, tmp_path: Path) -> None:
    read(tmp_path, "a.py")
    read(tmp_path, "b.py", SOURCE.replace("math.pi", "math.e"))
    path = tmp_path / "c.py"
    path.write_text(SOURCE, encoding="utf-8")
    elsewhere = meaning_of(path, "other.a")
    assert len([*cache.iterdir()]) == 3
    assert elsewhere.imports != parse_meaning(SOURCE.encode(), "package").imports


def test_a_cache_that_cannot_be_written_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert read(tmp_path, "a.py") == parse_meaning(SOURCE.encode(), "package")


def test_names_that_are_no_valid_text_are_parsed_and_not_stored(cache: Path, tmp_path: Path) -> None:
    source = "X = '\\ud800'\n"
    assert read(tmp_path, "a.py", source) == read(tmp_path, "b.py", source)
