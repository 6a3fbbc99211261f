"""Files in MMSA's layout come out as clean float32, whatever they leave out; wrong ones are refused in one line."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import DTypeLike, NDArray

from qamoe_bench.data.dataset import SPLITS, Dataset
from qamoe_bench.data.open import as_dataset
from qamoe_bench.data.open import read as read_any
from qamoe_bench.errors import BenchError

REAL = Path(__file__).parents[2].parent / "shared" / "data"
COUNTS = {"train": 5, "valid": 3, "test": 4}
FRAMES = 6
WIDTH = 2

Content = dict[str, Any]
Change = Callable[[Content], object]


def features(samples: int, lengths: list[int] | None = None) -> NDArray[np.float32]:
    """Values that float16 holds exactly, none of them zero within the length."""
    count = np.arange(samples * FRAMES * WIDTH).reshape(samples, FRAMES, WIDTH)
    values: NDArray[np.float32] = ((1 + count % 32) / 8).astype(np.float32)
    for sample, length in zip(values, lengths or [], strict=False):
        sample[length:] = 0
    return values


def split(samples: int) -> Content:
    return {
        "text": features(samples),
        "audio": features(samples) * 2,
        "vision": features(samples) * 4,
        "regression_labels": np.linspace(-3, 3, samples),
        "id": [f"video$_${n}" for n in range(samples)],
    }


def write(tmp_path: Path, change: Change | None = None) -> Path:
    """A file of three splits, each modified by `change`."""
    content = {name: split(samples) for name, samples in COUNTS.items()}
    for part in content.values():
        if change:
            change(part)
    return dump(tmp_path, content)


def dump(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "tiny.pkl"
    path.write_bytes(pickle.dumps(content))
    return path


def read_mmsa(path: Path) -> Dataset:
    return as_dataset(read_any(path))


def read(tmp_path: Path, change: Change | None = None) -> Dataset:
    return read_mmsa(write(tmp_path, change))


def refusal(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(BenchError) as caught:
        read_mmsa(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def setting(key: str, make: Callable[[int], object]) -> Change:
    """Sets a key of a split to what `make` gives for the number of its samples."""
    return lambda part: part.update({key: make(len(part["regression_labels"]))})


# What is read.


def test_everything_comes_out_when_the_file_is_plain(tmp_path: Path) -> None:
    path = write(tmp_path)
    data = read_mmsa(path)
    assert data.name == "tiny"
    assert data.digest == read_mmsa(path).digest
    assert data.digest != read(tmp_path, lambda part: part["audio"].__setitem__((0, 0, 0), 9)).digest
    assert data.notes == ()
    assert data.label_range == (-3, 3)
    for name, samples in COUNTS.items():
        got = data.splits[name]
        assert got.ids == tuple(f"video$_${n}" for n in range(samples))
        assert got.modalities == ("text", "audio", "vision")
        assert got.target.dtype == torch.float32
        torch.testing.assert_close(got.features["audio"], torch.from_numpy(features(samples) * 2), rtol=0, atol=0)
        assert got.lengths["audio"].tolist() == [FRAMES] * samples


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int16, np.uint8, ">f4"])
def test_rows_are_float32_when_features_are_of_any_number_type(kind: DTypeLike, tmp_path: Path) -> None:
    data = read(tmp_path, setting("text", lambda n: (features(n) * 8).astype(kind)))
    stored = data.splits["test"].features["text"].dtype
    assert stored == (torch.float16 if kind == np.float16 else torch.float32)
    assert data.splits["test"].batch().rows(slice(0, 2)).features["text"].dtype == torch.float32
    np.testing.assert_array_equal(data.splits["test"].features["text"].numpy(), features(4) * 8)


def test_arrays_are_read_when_they_are_nested_lists(tmp_path: Path) -> None:
    def as_lists(part: Content) -> None:
        for key in ("text", "audio", "regression_labels"):
            part[key] = part[key].tolist()
        part["vision"] = list(part["vision"])

    got = read(tmp_path, as_lists)
    expected = read(tmp_path)
    for m in ("text", "audio", "vision"):
        assert torch.equal(got.splits["train"].features[m], expected.splits["train"].features[m])
    assert torch.equal(got.splits["train"].target, expected.splits["train"].target)


def test_features_get_one_frame_when_they_have_no_time(tmp_path: Path) -> None:
    data = read(tmp_path, setting("audio", lambda n: features(n)[:, 0]))
    np.testing.assert_array_equal(data.splits["train"].features["audio"].numpy(), features(5)[:, :1])


def test_length_is_zero_when_the_only_frame_is(tmp_path: Path) -> None:
    def first_lacks_audio(part: Content) -> None:
        part["audio"] = part["audio"][:, 0].copy()
        part["audio"][0] = 0

    assert read(tmp_path, first_lacks_audio).splits["valid"].lengths["audio"].tolist() == [0, 1, 1]


@pytest.mark.parametrize("absent", [("vision",), ("text", "audio"), ("audio", "vision")])
def test_modality_is_left_out_when_the_file_has_none(absent: tuple[str, ...], tmp_path: Path) -> None:
    data = read(tmp_path, lambda part: [part.pop(m) for m in absent])
    assert data.spec.modalities == tuple(m for m in ("text", "audio", "vision") if m not in absent)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 1, 1)])
def test_labels_are_read_when_they_have_further_axes_of_one(shape: tuple[int, ...], tmp_path: Path) -> None:
    data = read(tmp_path, setting("regression_labels", lambda n: np.linspace(-3, 3, n).reshape(shape)))
    assert data.splits["train"].target.tolist() == [-3, -1.5, 0, 1.5, 3]


def test_label_range_is_narrow_when_no_label_leaves_it(tmp_path: Path) -> None:
    assert read(tmp_path, setting("regression_labels", lambda n: np.linspace(-1, 1, n))).label_range == (-1, 1)


def test_valid_split_is_found_when_it_is_called_dev(tmp_path: Path) -> None:
    data = read_mmsa(dump(tmp_path, {"train": split(5), "dev": split(3), "test": split(4)}))
    assert len(data.splits["valid"]) == 3


def test_splits_are_read_when_two_are_the_same_object(tmp_path: Path) -> None:
    held_out = split(4)
    data = read_mmsa(dump(tmp_path, {"train": split(5), "valid": held_out, "test": held_out}))
    assert torch.equal(data.splits["valid"].features["text"], data.splits["test"].features["text"])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda n: np.array([f"clip{i}" for i in range(n)]), ("clip0", "clip1", "clip2")),
        (lambda n: np.array([f"clip{i}" for i in range(n)], dtype=object), ("clip0", "clip1", "clip2")),
        (lambda n: [f"clip{i}".encode() for i in range(n)], ("clip0", "clip1", "clip2")),
        (lambda n: np.array([[f"v{i}".encode(), b"0.5"] for i in range(n)]), ("v0$_$0.5", "v1$_$0.5", "v2$_$0.5")),
        (lambda n: [np.array([f"v{i}"]) for i in range(n)], ("v0", "v1", "v2")),
        (lambda n: list(range(7, 7 + n)), ("7", "8", "9")),
        (lambda n: None, ("0", "1", "2")),
        (lambda n: ["a", "a#2", *["a"] * (n - 2)], ("a", "a#2", "a#3")),
    ],
)
def test_ids_become_text_when_they_are_anything_like_names(
    make: Callable[[int], object], expected: tuple[str, ...], tmp_path: Path
) -> None:
    assert read(tmp_path, setting("id", make)).splits["valid"].ids == expected


def test_ids_are_row_numbers_when_absent(tmp_path: Path) -> None:
    assert read(tmp_path, lambda part: part.pop("id")).splits["valid"].ids == ("0", "1", "2")


def test_ids_become_unique_and_noted_when_repeated(tmp_path: Path) -> None:
    data = read(tmp_path, setting("id", lambda n: ["a"] * n))
    assert data.splits["test"].ids == ("a", "a#2", "a#3", "a#4")
    assert data.notes[0] == "train: 4 samples repeated an earlier id and were numbered."


# What is mended.


def test_values_become_zero_and_counted_when_not_finite(tmp_path: Path) -> None:
    def spoil(part: Content) -> None:
        part["audio"][0, 0, 0] = -np.inf
        part["audio"][1, 2] = np.nan
        part["vision"] = part["vision"].astype(np.float64)
        part["vision"][0, 0, 0] = 1e300  # more than float32 holds

    data = read(tmp_path, spoil)
    assert data.notes == (
        "audio: 9 values were not finite (3 -inf, 0 +inf, 6 NaN) and were set to 0.",
        "vision: 3 values were not finite (0 -inf, 3 +inf, 0 NaN) and were set to 0.",
    )
    audio = data.splits["train"].features["audio"]
    assert audio[0, 0].tolist() == [0, features(5)[0, 0, 1] * 2]
    assert audio[1, 2].tolist() == [0, 0]
    assert data.splits["train"].lengths["audio"].tolist() == [FRAMES] * 5
    assert data.splits["train"].features["vision"].isfinite().all()


def test_frame_keeps_its_place_when_the_last_one_is_not_finite(tmp_path: Path) -> None:
    def spoil(part: Content) -> None:
        part["audio"][:, -1] = -np.inf

    assert read(tmp_path, spoil).splits["test"].lengths["audio"].tolist() == [FRAMES] * 4


def test_lengths_are_found_when_only_padding_tells_them(tmp_path: Path) -> None:
    lengths = {5: [1, 2, 3, 6, 0], 3: [6, 6, 6], 4: [5, 1, 6, 2]}
    data = read(tmp_path, setting("vision", lambda n: features(n, lengths[n])))
    assert {len(s): s.lengths["vision"].tolist() for s in data.splits.values()} == lengths
    assert data.notes == ()


def test_frame_of_zeros_counts_when_frames_follow_it(tmp_path: Path) -> None:
    def gap(part: Content) -> None:
        part["text"] = features(len(part["text"]), [4] * len(part["text"]))
        part["text"][:, 1] = 0
        part["text"][0, 0] = 0  # looks like padding at the front, but is alone with that

    data = read(tmp_path, gap)
    assert data.splits["test"].lengths["text"].tolist() == [4] * 4
    assert data.splits["test"].features["text"][0, :2].eq(0).all()
    assert data.notes == ()


@pytest.mark.parametrize("stored", [False, True])
def test_padding_moves_to_the_back_when_it_is_at_the_front(stored: bool, tmp_path: Path) -> None:
    lengths = [2, 6, 3, 0, 1]

    def pad_front(part: Content) -> None:
        count = len(part["text"])
        part["text"] = features(count, lengths)
        for row, length in enumerate(lengths[:count]):
            part["text"][row] = np.roll(part["text"][row], FRAMES - length, axis=0)
        if stored:
            part["text_lengths"] = lengths[:count]

    data = read(tmp_path, pad_front)
    assert data.notes == ("text: 7 samples were padded at the front; their padding was moved to the back.",)
    for name, count in COUNTS.items():
        assert data.splits[name].lengths["text"].tolist() == lengths[:count]
        np.testing.assert_array_equal(data.splits[name].features["text"].numpy(), features(count, lengths))


def test_zero_frames_at_the_end_stay_frames_when_padding_is_at_the_front(tmp_path: Path) -> None:
    def pad_front(part: Content) -> None:
        part["audio"][:, :2] = 0
        part["audio"][0, -1] = 0

    data = read(tmp_path, pad_front)
    assert data.splits["test"].lengths["audio"].tolist() == [4] * 4


def test_frames_beyond_the_length_become_zero_and_counted_when_they_are_not(tmp_path: Path) -> None:
    data = read(tmp_path, setting("audio_lengths", lambda n: np.arange(n)))
    assert data.notes == ("audio: 53 frames beyond the given length were not zero and were set to 0.",)
    assert data.splits["valid"].lengths["audio"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(data.splits["valid"].features["audio"].numpy(), features(3, [0, 1, 2]) * 2)


@pytest.mark.parametrize("kind", [np.int32, np.float64, np.uint8])
def test_lengths_are_believed_when_given(kind: DTypeLike, tmp_path: Path) -> None:
    def give(part: Content) -> None:
        part["text"][:, 2:] = 0
        part["text_lengths"] = np.full((len(part["text"]), 1), 4, kind)

    data = read(tmp_path, give)
    assert data.splits["test"].lengths["text"].tolist() == [4] * 4
    assert data.notes == ()


def mask(lengths: list[int], frames: int = FRAMES) -> NDArray[np.float32]:
    """Rows of token ids, attention mask and segments."""
    rows = (np.arange(frames) < np.array(lengths)[:, None]).astype(np.float32)
    return np.stack([rows * 101, rows, rows * 0], axis=1)


def test_attention_mask_tells_lengths_when_features_have_no_padding(tmp_path: Path) -> None:
    data = read(tmp_path, setting("text_bert", lambda n: mask([3] * n)))
    assert data.splits["test"].lengths["text"].tolist() == [3] * 4
    assert data.splits["test"].features["text"][:, 3:].eq(0).all()
    assert data.notes == ("text: 36 frames beyond the given length were not zero and were set to 0.",)


@pytest.mark.parametrize(
    "make",
    [lambda n: mask([3] * n, 9), lambda n: mask([3] * n)[:, :2], lambda n: mask([0] * n), lambda n: -mask([3] * n)],
)
def test_attention_mask_is_ignored_when_it_does_not_fit(
    make: Callable[[int], NDArray[np.float32]], tmp_path: Path
) -> None:
    assert read(tmp_path, setting("text_bert", make)).splits["test"].lengths["text"].tolist() == [FRAMES] * 4


def test_attention_mask_is_ignored_when_padding_says_otherwise(tmp_path: Path) -> None:
    def other_tokens(part: Content) -> None:
        count = len(part["text"])
        part["text"] = features(count, [5] * count)
        part["text_bert"] = mask([3] * count)

    data = read(tmp_path, other_tokens)
    assert data.splits["test"].lengths["text"].tolist() == [5] * 4
    assert data.notes == ()


# What is refused.


def short(key: str) -> Change:
    return lambda part: part.update({key: part[key][:-1]})


WRONG: dict[str, tuple[Change, str, str]] = {
    "labels_wide": (setting("regression_labels", lambda n: np.zeros((n, 7))), "regression_labels", "shape (5, 7)"),
    "labels_text": (setting("regression_labels", lambda n: ["good"] * n), "regression_labels", "at least 2 classes"),
    "text_misspelt": (lambda part: part.update(Textt=part.pop("text")), "text", "rename it to 'text'"),
    "lengths_misspelt": (setting("audio_lenghts", lambda n: [1] * n), "audio_lengths", "rename it to 'audio_lengths'"),
    "no_features": (
        lambda part: [part.pop(m) for m in ("text", "audio", "vision")],
        "text",
        "at least one of text, audio and vision",
    ),
    "features_text": (setting("text", lambda n: np.array([["a b"]] * n)), "text", "got array of text"),
    "features_objects": (setting("text", lambda n: [[{}]] * n), "text", "got list of objects"),
    "features_none": (setting("text", lambda n: None), "text", "got NoneType of objects"),
    "features_1d": (setting("audio", lambda n: np.ones(n)), "audio", "got shape (5,)"),
    "features_4d": (setting("audio", lambda n: np.ones((n, 1, 1, 1))), "audio", "got shape (5, 1, 1, 1)"),
    "features_deep": (setting("audio", lambda n: [[[[1.0]]]] * n), "audio", "lists too deep"),
    "features_ragged": (setting("audio", lambda n: [[1.0]] * (n - 1) + [[1.0, 2.0]]), "audio", "rows of several"),
    "no_width": (setting("audio", lambda n: np.ones((n, 2, 0))), "audio", "got shape (5, 2, 0)"),
    "no_frames": (setting("audio", lambda n: np.ones((n, 0, 2))), "audio", "got shape (5, 0, 2)"),
    "features_short": (short("vision"), "vision", "expected 5 samples as in 'regression_labels', got 4"),
    "ids_short": (short("id"), "id", "got 4"),
    "ids_scalar": (setting("id", lambda n: "abcde"), "id", "got str"),
    "lengths_short": (setting("text_lengths", lambda n: [1] * (n - 1)), "text_lengths", "expected 5 samples"),
    "lengths_broken": (
        setting("text_lengths", lambda n: [1.5] * n),
        "text_lengths",
        "from 0 to 6, the frames of 'text'",
    ),
    "lengths_negative": (
        setting("text_lengths", lambda n: [-1] * n),
        "text_lengths",
        "got -1 in row 0 (5 such in all)",
    ),
    "lengths_fractional": (setting("text_lengths", lambda n: [1.5] * n), "text_lengths", "got 1.5"),
    "lengths_wide": (setting("text_lengths", lambda n: np.ones((n, 2))), "text_lengths", "got shape (5, 2)"),
    "no_samples": (
        lambda part: part.update({k: v[:0] for k, v in part.items()}),
        "regression_labels",
        "at least 2 samples, got none",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_file_is_refused_by_split_and_key_when_wrong(kind: str, tmp_path: Path) -> None:
    change, key, reason = WRONG[kind]
    message = refusal(write(tmp_path, change))
    assert f"split 'train', key {key!r}: expected " in message
    assert reason in message


def test_file_is_refused_when_splits_have_other_modalities(tmp_path: Path) -> None:
    content = {name: split(samples) for name, samples in COUNTS.items()}
    del content["test"]["vision"]
    assert "split 'test', key 'vision': expected the same modalities" in refusal(dump(tmp_path, content))


def test_file_is_refused_when_splits_have_other_widths(tmp_path: Path) -> None:
    content = {name: split(samples) for name, samples in COUNTS.items()}
    content["valid"]["audio"] = content["valid"]["audio"][:, :, :1]
    assert "split 'valid', key 'audio': expected width 2 as in 'train', got 1" in refusal(dump(tmp_path, content))


def test_file_is_read_when_splits_have_other_numbers_of_frames(tmp_path: Path) -> None:
    content = {name: split(samples) for name, samples in COUNTS.items()}
    content["valid"]["audio"] = content["valid"]["audio"][:, :4]
    assert read_mmsa(dump(tmp_path, content)).spec.lengths["audio"] == FRAMES


def test_file_is_refused_when_a_split_is_missing(tmp_path: Path) -> None:
    message = refusal(dump(tmp_path, {"train": split(3), "test": split(3)}))
    assert "expected a split 'valid', got 'train', 'test'; move all samples of about every tenth video" in message
    assert "add the split 'train'" in refusal(dump(tmp_path, {"valid": split(3), "test": split(3)}))
    assert "put it beside the others as train.pkl" in refusal(dump(tmp_path, split(3)))
    folds = {f"fold{n}": {"train": split(3), "test": split(3)} for n in range(5)}
    assert "several data sets or folds" in refusal(dump(tmp_path, folds))
    twice = {"train": split(3), "dev": split(3), "val": split(3), "test": split(3)}
    assert "got 'dev' and 'val'; rename the one that is meant to 'valid'" in refusal(dump(tmp_path, twice))


@pytest.mark.parametrize("content", [[1, 2], np.ones(3), {"train": [1], "valid": [], "test": []}, {b"train": {}}, {}])
def test_file_is_refused_when_it_has_another_layout(content: object, tmp_path: Path) -> None:
    refusal(dump(tmp_path, content))


def test_file_is_refused_when_a_split_has_one_sample(tmp_path: Path) -> None:
    path = dump(tmp_path, {"train": split(3), "valid": split(1), "test": split(3)})
    with pytest.raises(BenchError, match="expected at least 2 samples in every split, got 1 in 'valid'"):
        read_mmsa(path)


def test_file_is_refused_when_lists_repeat_without_end(tmp_path: Path) -> None:
    frame = [1] * 3000
    sample = [frame] * 3000
    content = {name: split(samples) | {"text": [sample] * samples} for name, samples in COUNTS.items()}
    assert "lists too deep or too repetitive" in refusal(dump(tmp_path, content))


def test_file_is_refused_when_a_list_holds_itself(tmp_path: Path) -> None:
    endless: list[object] = [1.0]
    endless.append(endless)
    for value in (endless, [endless] * 5):
        refusal(write(tmp_path, setting("audio", lambda n, value=value: value)))  # type: ignore[misc]  # binds the loop's


# Real data.


def real(name: str) -> Dataset:
    if not (REAL / name).exists():
        pytest.skip(f"{name} is research data and not here")
    return read_mmsa(REAL / name)


def test_mosi_has_its_published_sizes_when_present() -> None:
    data = real("mosi.pkl")
    assert [len(data.splits[s]) for s in SPLITS] == [1284, 229, 686]
    assert data.spec.widths == {"text": 384, "audio": 73}
    assert data.spec.lengths == {"text": 50, "audio": 1}
    assert data.label_range == (-3, 3)
    assert data.notes == ("Not read: 'annotations', 'classification_labels'.",)
    assert data.splits["train"].ids[0] == "03bSnISJMiM$_$1"
    assert all(x.isfinite().all() for s in data.splits.values() for x in s.features.values())


def test_mosi_sequences_have_their_lengths_when_present() -> None:
    data = real("mosi_av400.pkl")
    assert [len(data.splits[s]) for s in SPLITS] == [225, 62, 113]
    assert data.spec.widths == {"text": 384, "audio": 25, "vision": 38}
    assert data.spec.lengths == {"text": 52, "audio": 400, "vision": 250}
    batch = data.splits["test"].batch()
    for m in batch.modalities:
        assert batch.lengths[m].min() > 0
        assert batch.features[m][~batch.mask(m)].eq(0).all()
