"""An audit reports the problems of a file: those that reading repairs as notes, the others as warnings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataformats import dump
from tinydata import mmsa_content

from qamoe_bench.curation.audit import Audit, audit
from qamoe_bench.curation.audit_tables import audit_chapter
from qamoe_bench.data import known
from qamoe_bench.data.known import KnownFile, file_sha256
from qamoe_bench.data.open import open_dataset

Change = Callable[[dict[str, dict[str, Any]]], object]


def look(tmp_path: Path, change: Change = lambda _: None) -> Audit:
    content = mmsa_content()
    change(content)
    return audit(dump(tmp_path / "tiny.pkl", content))


def few(report: Audit) -> list[str]:
    """The warnings but those of small splits."""
    return [w for w in report.warnings if "samples are few" not in w]


def test_shares_and_lengths_are_those_of_the_file(tmp_path: Path) -> None:
    def spoil(content: dict[str, dict[str, Any]]) -> None:
        part = content["test"]
        part["audio"] = np.ones((20, 6, 3), np.float64)
        part["audio"][:5, 0, 0] = np.nan
        part["audio"][0, 1, 1] = -np.inf
        part["audio"][:, 4:] = 0
        part["audio_lengths"] = np.array([4] * 18 + [2, 0])

    report = look(tmp_path, spoil)
    (part,) = [f for f in report.features if (f.split, f.modality) == ("test", "audio")]
    assert (part.shape, part.dtype, part.padding) == ((20, 6, 3), "float64", "back")
    assert (part.nan, part.infinite, part.zero) == pytest.approx((5 / 120, 1 / 120, 40 / 120))
    assert (part.shortest, part.median, part.longest, part.absent) == (2, 4, 4, 1)
    assert "audio: 6 values were not finite (1 -inf, 0 +inf, 5 NaN) and were set to 0." in report.notes
    assert few(report) == []


def test_a_modality_that_is_absent_is_named(tmp_path: Path) -> None:
    def without_vision(content: dict[str, dict[str, Any]]) -> None:
        for split in content.values():
            del split["vision"]

    (line,) = [line for line in audit_chapter(look(tmp_path, without_vision)).lines if "labels from" in line]
    assert line.startswith("text, audio; without vision; labels from -3 to 3; ")
    (line,) = [line for line in audit_chapter(look(tmp_path)).lines if "labels from" in line]
    assert line.startswith("text, audio, vision; labels")


def test_padding_is_found_at_the_front(tmp_path: Path) -> None:
    def roll(content: dict[str, dict[str, Any]]) -> None:
        for part in content.values():
            for row, n in enumerate(part.pop("text_lengths")):
                part["text"][row] = np.roll(part["text"][row], 4 - n, axis=0)

    report = look(tmp_path, roll)
    assert {f.padding for f in report.features if f.modality == "text"} == {"front"}
    assert any("moved to the back" in note for note in report.notes)


def test_labels_are_counted_by_the_nearest_point(tmp_path: Path) -> None:
    report = look(tmp_path, lambda c: c["valid"].update(regression_labels=[-3, -2.6, -0.4, 0, 0.4, 0.6, *[2.4] * 6]))
    (part,) = [part for part in report.labels if part.split == "valid"]
    assert part.histogram == {"-3": 2, "-2": 0, "-1": 0, "0": 3, "1": 1, "2": 6, "3": 0}
    assert (part.samples, part.zero) == (12, 1)


def test_an_id_in_two_splits_is_reported(tmp_path: Path) -> None:
    report = look(tmp_path, lambda c: c["test"]["id"].__setitem__(slice(0, 2), c["train"]["id"][:2]))
    assert few(report) == [
        "train and test share 2 ids (train0, train1); remove them from one, or results are too good."
    ]


@pytest.mark.parametrize("form", ["{}$_${}", "{}[{}]"])
def test_a_video_in_two_splits_is_reported(form: str, tmp_path: Path) -> None:
    def name(content: dict[str, dict[str, Any]]) -> None:
        for split, part in content.items():
            part["id"] = [
                form.format("shared" if row == 3 and split != "valid" else f"{split}{row}", f"{row}{len(split)}")
                for row in range(len(part["id"]))
            ]

    (warning,) = few(look(tmp_path, name))
    assert warning.startswith("train and test share 1 video (shared): a model may know the speaker;")


def test_an_id_that_is_there_twice_is_reported_and_numbered(tmp_path: Path) -> None:
    report = look(tmp_path, lambda c: c["valid"]["id"].__setitem__(1, "valid0"))
    assert few(report) == ["valid: 1 id (valid0) repeated; check for duplicate samples."]
    assert "valid: 1 samples repeated an earlier id and were numbered." in report.notes


def test_what_cannot_be_known_or_learnt_is_reported(tmp_path: Path) -> None:
    def spoil(content: dict[str, dict[str, Any]]) -> None:
        for part in content.values():
            del part["id"]
            part["audio"][..., 1] = 2.0 * (part["audio"][..., 1] != 0)
        for m in ("text", "audio", "vision"):
            content["train"][f"{m}_lengths"][7] = 0
            content["train"][m][7] = 0

    assert few(look(tmp_path, spoil)) == [
        "there are no ids, so samples that are in two splits cannot be detected.",
        "train: 1 samples have no modality at all; remove them, because they cannot be predicted.",
        "audio: 1 of 3 dimensions are constant in train and carry no information.",
    ]


def test_a_shared_file_is_known_by_its_hash_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dump(tmp_path / "aligned_50.pkl", mmsa_content())
    file = KnownFile("tiny-aligned", "a tiny file, aligned", "x", file_sha256(path), "x")
    monkeypatch.setattr(known, "KNOWN", (file,))
    assert (audit(path).known, audit(path).name) == ("a tiny file, aligned", "tiny-aligned")
    assert open_dataset(str(path)).name == "tiny-aligned"
