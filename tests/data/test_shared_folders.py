"""Folders and HDF5 files that the field shares hold the same samples as the same data in MMSA's layout."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from dataformats import (
    SEQUENCES,
    WORDS,
    csd_video,
    dump,
    read_dataset,
    write_csd,
    write_final_aligned,
    write_gcnet,
    write_merbench,
    write_multibench_hdf5,
    write_word_aligned,
)
from tinydata import make_dataset, mmsa_content

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.readers.extractors import modality_of
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import MODALITIES

AUDIO = "CMU_TINY_COVAREP.csd"
WORD_FILE = "CMU_TINY_TimestampedWords.csd"
LABELS = "CMU_TINY_Opinion_Labels.csd"


def refusal(path: Path) -> str:
    """The one line with which a path is refused."""
    with pytest.raises(BenchError) as caught:
        read_dataset(path)
    line = str(caught.value)
    assert line.isprintable()
    assert line.startswith(str(path.parent))
    return line


@pytest.mark.parametrize("write", [write_final_aligned, write_multibench_hdf5, write_gcnet, write_merbench])
def test_the_samples_are_those_of_the_same_data_in_the_layout_of_mmsa(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    data = read_dataset(write(tmp_path))
    expected = read_dataset(dump(tmp_path / "mmsa.pkl", mmsa_content()))
    for name in SPLITS:
        split = data.splits[name]
        same = expected.splits[name]
        assert [sample.removesuffix("[0]").removesuffix("_3") for sample in split.ids] == [*same.ids]
        torch.testing.assert_close(split.target, same.target)
        for m in MODALITIES:
            assert torch.equal(split.features[m], same.features[m])
            assert torch.equal(split.lengths[m], same.lengths[m])


# Sequences of the SDK.


def test_a_folder_aligned_to_words_is_read_as_the_folder_it_was_made_from(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    raw = read_dataset(write_csd(tmp_path / "raw"))
    aligned = read_dataset(write_word_aligned(tmp_path))
    assert aligned.digest == raw.digest
    assert aligned.splits["train"].raw_text == raw.splits["train"].raw_text


def test_labels_of_single_words_are_refused(tmp_path: Path) -> None:
    place = write_word_aligned(tmp_path)
    with h5py.File(place / LABELS, "a") as opened:
        labels = opened["Opinion Segment Labels/data"]
        for video in "abcdefgz":
            del labels[video]
            for n in range(12):
                labels[f"{video}[{n}]/features"] = np.ones((1, 1))
                labels[f"{video}[{n}]/intervals"] = np.ones((1, 2))
    assert "a label for each word; put the SDK's own file of labels in its place" in refusal(place)


def sentiment_and_emotions(place: Path, sentiment: str, emotions: str) -> None:
    """Replace the labels by two files, whose roots are called after their content."""
    (place / LABELS).unlink()
    for file, root, value in ((sentiment, "Sentiment Labels", -2.0), (emotions, "Emotion Labels", 2.5)):
        with h5py.File(place / file, "w") as opened:
            for video in "abcdefgz":
                opened[f"{root}/data/{video}/features"] = np.full((4, 1), value)
                opened[f"{root}/data/{video}/intervals"] = csd_video(video)["Opinion Segment Labels"][1]


@pytest.mark.parametrize(
    ("sentiment", "emotions"), [("LabelsSentiment.csd", "LabelsEmotions.csd"), ("b.csd", "a.csd"), ("a.csd", "b.csd")]
)
def test_emotions_are_never_read_as_sentiment(sentiment: str, emotions: str, tmp_path: Path) -> None:
    place = write_csd(tmp_path)
    sentiment_and_emotions(place, sentiment, emotions)
    data = read_dataset(place)
    assert (data.splits["train"].target == -2).all()
    assert f"{emotions} has no known role and was left out." in data.notes
    (place / sentiment).unlink()
    assert "expected a sequence of sentiment labels" in refusal(place)


@pytest.mark.parametrize(
    ("first", "second", "role"),
    [
        ("CMU_TINY_Visual_Facet_41.csd", "CMU_TINY_Visual_FACET_42.csd", "vision"),
        ("COVAREP_again.csd", AUDIO, "audio"),
        ("More_Opinion_Labels.csd", LABELS, "labels"),
    ],
)
def test_two_files_for_one_role_are_refused_and_the_advice_helps(
    first: str, second: str, role: str, tmp_path: Path
) -> None:
    place = write_csd(tmp_path)
    (place / first).write_bytes((place / second).read_bytes())
    line = refusal(place)
    assert f"expected one sequence for {role}, got " in line
    assert first in line
    assert second in line
    (place / first).unlink()
    read_dataset(place)


def test_a_more_usual_extractor_is_preferred_and_the_other_named(tmp_path: Path) -> None:
    place = write_csd(tmp_path)
    (place / "CMU_TINY_AnOpenSMILE.csd").write_bytes((place / AUDIO).read_bytes().replace(b"COVAREP", b"IS09_EM"))
    notes = read_dataset(place).notes
    assert f"audio: read from {AUDIO}." in notes
    assert f"CMU_TINY_AnOpenSMILE.csd was not read, since {AUDIO} was." in notes


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a web page": (lambda content: b"<!DOCTYPE html><title>404</title>", "got a web page"),
    "a pointer": (lambda content: b"version https://git-lfs.github.com/spec/v1\n", "got a pointer of Git LFS"),
    "cut": (lambda content: content[:3000], "got a damaged one"),
    "empty": (lambda content: b"", "got a damaged one"),
    "overwritten": (lambda content: content[:4000] + bytes(len(content) - 4000), AUDIO),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", [AUDIO, WORD_FILE])
def test_a_damaged_file_is_named_whatever_the_order_of_the_files(damage: str, file: str, tmp_path: Path) -> None:
    place = write_csd(tmp_path)
    change, got = DAMAGES[damage]
    (place / file).write_bytes(change((place / file).read_bytes()))
    line = refusal(place)
    assert line.startswith(f"{place / file}: ")
    assert got.replace(AUDIO, file) in line


def test_a_video_that_a_sequence_lacks_is_missing_that_modality(tmp_path: Path) -> None:
    place = write_csd(tmp_path)
    for file, root in SEQUENCES.items():
        if root in ("COVAREP", "FACET 4.2", "words"):
            with h5py.File(place / file, "a") as opened:
                del opened[f"{root}/data/d"]
    with h5py.File(place / "CMU_TINY_Visual_FACET_42.csd", "a") as opened:
        del opened["FACET 4.2/data/e"]  # now the valid split has no vision at all
    data = read_dataset(place)
    split = data.splits["valid"]
    assert split.lengths["audio"].tolist() == [0, 0, 0, 0, 2, 2, 2, 2]
    assert split.lengths["vision"].tolist() == [0] * 8
    assert split.raw_text[0] == ""
    assert split.raw_text[4] != ""
    assert f"audio: videos that {AUDIO} lacks: 1, such as d." in data.notes
    assert "audio: missing in 4 of 28 samples, which have no frames of it." in data.notes
    assert "vision: missing in 8 of 28 samples, which have no frames of it." in data.notes


def test_an_entry_without_rows_is_missing(tmp_path: Path) -> None:
    place = write_csd(tmp_path)
    for file, root in ((AUDIO, "COVAREP"), (WORD_FILE, "words"), (LABELS, "Opinion Segment Labels")):
        with h5py.File(place / file, "a") as opened:
            video = opened[f"{root}/data/{'a' if root == 'Opinion Segment Labels' else 'f'}"]
            width = video["features"].shape[1]
            kind = video["features"].dtype
            del video["features"], video["intervals"]
            video["features"] = np.zeros((0, width), kind)
            video["intervals"] = np.zeros((0, 2))
    data = read_dataset(place)
    assert len(data.splits["train"]) == 8
    assert data.splits["test"].lengths["audio"].tolist() == [0, 0, 0, 0, 2, 2, 2, 2]

    path = write_multibench_hdf5(tmp_path)
    with h5py.File(path, "a") as opened:
        del opened["audio/test0_3/features"], opened["vision/test0_3/features"]
        opened["audio/test0_3/features"] = np.zeros((0, 3))
        opened["vision/test0_3/features"] = np.zeros(0)
    lengths = read_dataset(path).splits["test"].lengths
    assert [int(lengths[m][0]) for m in ("audio", "vision")] == [0, 0]


def test_transcripts_do_not_need_a_vector_for_every_pause(tmp_path: Path) -> None:
    place = write_csd(tmp_path)
    expected = read_dataset(place)
    spoken = [i for i in range(12) if i % 3 != 1]
    with h5py.File(place / "CMU_TINY_TimestampedWordVectors.csd", "a") as opened:
        for video in "abcdefgz":
            at = opened[f"glove_vectors/data/{video}"]
            for key in ("features", "intervals"):
                kept = at[key][spoken]
                del at[key]
                at[key] = kept
    data = read_dataset(place)
    assert data.digest == expected.digest
    assert data.splits["test"].raw_text == expected.splits["test"].raw_text


def test_a_segment_without_overlapping_frames_is_missing_that_modality(tmp_path: Path) -> None:
    place = write_csd(tmp_path)
    with h5py.File(place / AUDIO, "a") as opened:
        times = opened["COVAREP/data/a/intervals"]
        times[:30] += 100.0  # the first two segments end after 3 s
    data = read_dataset(place)
    assert data.splits["train"].lengths["audio"].tolist()[:4] == [0, 0, 2, 2]
    assert "audio: missing in 2 of 28 samples, which have no frames of it." in data.notes


@pytest.mark.parametrize(
    ("file", "root"), [(AUDIO, "COVAREP"), (WORD_FILE, "words"), (LABELS, "Opinion Segment Labels")]
)
@pytest.mark.parametrize("scale", [25.0, 1000.0])
def test_times_in_frames_are_noticed(file: str, root: str, scale: float, tmp_path: Path) -> None:
    place = write_csd(tmp_path)
    with h5py.File(place / file, "a") as opened:
        for video in "abcdefgz":
            opened[f"{root}/data/{video}/intervals"][...] *= scale
    line = refusal(place)
    assert "expected intervals in seconds" in line
    assert LABELS in line


def test_a_modality_of_other_videos_is_refused(tmp_path: Path) -> None:
    place = write_csd(tmp_path)
    with h5py.File(place / AUDIO, "a") as opened:
        for video in "abcdefgz":
            opened.move(f"COVAREP/data/{video}", f"COVAREP/data/other{video}")
    assert "expected frames of at least one sample, got none; use audio of the same samples, or move" in refusal(place)
    (place / AUDIO).unlink()
    assert read_dataset(place).splits["test"].modalities == ("text", "vision")


def test_features_of_one_dimension_are_one_column_and_words_may_have_any_length(tmp_path: Path) -> None:
    place = write_csd(tmp_path)
    expected = read_dataset(place).splits["test"]
    with h5py.File(place / AUDIO, "a") as opened:
        for video in "abcdefgz":
            del opened[f"COVAREP/data/{video}/features"]
            opened[f"COVAREP/data/{video}/features"] = csd_video(video)["COVAREP"][0][:, 1]
    with h5py.File(place / WORD_FILE, "a") as opened:
        for video in "abcdefgz":
            words = np.char.decode(csd_video(video)["words"][0][:, 0], "utf-8").tolist()
            del opened[f"words/data/{video}/features"]
            opened.create_dataset(f"words/data/{video}/features", data=words, dtype=h5py.string_dtype())
    split = read_dataset(place).splits["test"]
    assert split.features["audio"].shape == (8, 2, 1)
    torch.testing.assert_close(split.features["audio"], expected.features["audio"][:, :, 1:2])
    assert split.raw_text == expected.raw_text


def test_one_long_word_that_many_rows_share_is_refused(tmp_path: Path) -> None:
    place = write_csd(tmp_path)
    with h5py.File(place / WORD_FILE, "a") as opened:
        del opened["words/data/a/features"]
        words = opened["words/data/a"].create_dataset("features", (12, 1), h5py.string_dtype(), fillvalue="x" * 10**5)
        assert len(words[5, 0]) == 10**5
        del opened["words/data/b"]
        at = opened.create_group("words/data/b")
        at.create_dataset("features", (200_000,), h5py.string_dtype(), fillvalue="x" * 10**5, chunks=(200_000,))
        at["intervals"] = np.zeros((200_000, 2), np.float32)
    line = refusal(place)
    assert WORD_FILE in line
    assert "in proportion to the file" in line


# One file of all sequences.


def test_multibench_file_lacks_what_its_groups_lack(tmp_path: Path) -> None:
    path = write_multibench_hdf5(tmp_path)
    with h5py.File(path, "a") as opened:
        del opened["audio/test1_3"]
        del opened["words/test2_3"], opened["text/test2_3"]
        del opened["labels/test3_3"]
        for m in (*MODALITIES, "words"):
            del opened[f"{m}/test4_3"]
    data = read_dataset(path)
    split = data.splits["test"]
    assert "test3_3" not in split.ids
    assert "test4_3" not in split.ids
    assert split.lengths["audio"][1] == 0
    assert split.lengths["text"][2] == 0
    assert "1 segments have no label and were left out, such as one of test3." in data.notes
    assert "1 segments have no frames of any modality and were left out." in data.notes
    assert "audio: missing in 1 of 70 samples, which have no frames of it." in data.notes


def test_pauses_are_dropped_from_every_modality_with_a_frame_per_word(tmp_path: Path) -> None:
    path = write_multibench_hdf5(tmp_path)
    with h5py.File(path, "a") as opened:
        for group, values in {
            "words": [["sp"], ["good"], ["film"]],
            "text": np.arange(15.0).reshape(3, 5),
            "audio": np.arange(9.0).reshape(3, 3),
            "vision": np.arange(20.0).reshape(5, 4),
        }.items():
            del opened[f"{group}/test0_3/features"]
            opened[f"{group}/test0_3/features"] = values
    split = read_dataset(path).splits["test"]
    assert split.raw_text[0] == "good film"
    assert split.features["text"][0, :2].tolist() == np.arange(5.0, 15.0).reshape(2, 5).tolist()
    assert [int(split.lengths[m][0]) for m in MODALITIES] == [2, 2, 5]


RENAMES = {
    "MultiBench's": {
        "audio": "COVAREP",
        "vision": "FACET_4.2",
        "text": "glove_vectors",
        "labels": "Opinion Segment Labels",
    },
    "later extractors": {"audio": "OpenSMILE", "vision": "OpenFace_2", "labels": "All Labels"},
}


@pytest.mark.parametrize("names", RENAMES)
def test_groups_may_have_other_names_and_a_folder_of_the_file_is_enough(names: str, tmp_path: Path) -> None:
    path = write_multibench_hdf5(tmp_path)
    digest = read_dataset(path).digest
    with h5py.File(path, "a") as opened:
        for old, new in RENAMES[names].items():
            opened.move(old, new)
    assert read_dataset(path).digest == digest
    assert read_dataset(path.parent).digest == digest


def test_standard_folds_of_mosi_are_known_and_others_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "mosi.hdf5"
    videos = ("2iD-tVS8NPw", "Bfr499ggo-0", "WKA5OygbEKI", "atnd_PF-Lbs", "tmZoasNr4rU", "dq3Nf_lMPnE")
    with h5py.File(path, "w") as opened:
        for video in videos:
            for n in (2, 10):
                opened[f"COVAREP/{video}[{n}]/features"] = np.ones((3, 2))
                opened[f"Opinion Segment Labels/{video}[{n}]/features"] = [[n / 10]]
    data = read_dataset(path)
    assert data.splits["valid"].ids == ("WKA5OygbEKI[2]", "WKA5OygbEKI[10]", "atnd_PF-Lbs[2]", "atnd_PF-Lbs[10]")
    assert data.splits["valid"].target.tolist() == pytest.approx([0.2, 1.0, 0.2, 1.0])

    other = write_multibench_hdf5(tmp_path)
    (other.parent / "folds.json").unlink()
    line = refusal(other)
    assert "into its folder" in line
    folds = {name: list(split.ids) for name, split in make_dataset().splits.items()}
    (other.parent / "folds.json").write_text(json.dumps(folds), encoding="utf-8")  # as the line says
    read_dataset(other)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("folds.json", '\ufeff{"train": ["a", "b"], "val": ["d"], "test": ["f"]}'),
        ("std_folds.json", '{"train": ["a", "b"], "dev": ["d"], "test": ["f"]}'),
        ("tiny_split.py", "train_fold = ['a', 'b']\nvalid_fold = ['d']\ntest_fold = ['f']"),
    ],
)
def test_folds_are_read_from_every_usual_kind_of_file(file: str, text: str, tmp_path: Path) -> None:
    place = write_csd(tmp_path)
    (place / "cmu_tiny_std_folds.py").unlink()
    (place / file).write_text(text, encoding="utf-8")
    assert [len(read_dataset(place).splits[name]) for name in SPLITS] == [8, 4, 4]


def test_sequences_may_name_segments_in_both_ways(tmp_path: Path) -> None:
    path = write_multibench_hdf5(tmp_path)
    expected = read_dataset(path)
    with h5py.File(path, "a") as opened:
        for group in ("words", "vision"):
            for name in list(opened[group]):
                opened.move(f"{group}/{name}", f"{group}/{name.removesuffix('_3')}[3]")
    assert read_dataset(path).digest == expected.digest


def test_the_kind_of_values_decides_between_words_and_vectors(tmp_path: Path) -> None:
    path = write_multibench_hdf5(tmp_path)
    expected = read_dataset(path)
    with h5py.File(path, "a") as opened:
        opened.move("words", "strings")
        opened.move("text", "words")
        opened.move("strings", "text")
    assert read_dataset(path).digest == expected.digest
    assert read_dataset(path).splits["test"].raw_text == expected.splits["test"].raw_text


def test_a_file_of_arrays_alone_is_no_data_set(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "comparE.h5", "w") as opened:
        opened["Ses01F_impro01_F000"] = np.ones((9, 130))
    line = refusal(tmp_path / "comparE.h5")
    assert "expected a group for each sequence of a data set, got arrays such as Ses01F_impro01_F000" in line


# Folders of features by utterance.


def test_missing_and_empty_files_are_missing_modalities_and_sentences_are_kept(tmp_path: Path) -> None:
    place = write_gcnet(tmp_path)
    audio = place / "features" / "chinese-hubert-large-FRA"
    (audio / "test0.npy").unlink()
    np.save(audio / "test1.npy", np.zeros((4, 3)))
    np.save(audio / "test2.npy", np.ones(3, ">f8"))
    np.save(audio / "test3.npy", np.asfortranarray(np.arange(6).reshape(1, 2, 3)))
    np.save(audio / "stranger.npy", np.ones(3))
    for path in (place / "features" / "resnet50face_FRA" / "test4").iterdir():
        path.unlink()
    data = read_dataset(place)
    split = data.splits["test"]
    assert split.lengths["audio"].tolist()[:4] == [0, 0, 1, 2]
    assert split.features["audio"][3, :2].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert split.lengths["vision"][4] == 0
    assert split.raw_text[:3] == WORDS[:3]
    assert "audio: missing in 2 of 72 samples, which have no frames of it." in data.notes
    assert "1 utterances have no label and were left out." in data.notes


def test_two_extractors_for_one_modality_are_refused_and_the_advice_helps(tmp_path: Path) -> None:
    place = write_merbench(tmp_path)
    digest = read_dataset(place).digest
    other = place / "features" / "clip-vit-large-patch14-UTT"
    other.mkdir()
    np.save(other / "test0.npy", np.ones(4))
    with pytest.raises(BenchError, match=r"for vision, got clip-vit-large-patch14-UTT and resnet50face_FRA; keep one"):
        read_dataset(place)
    other.rename(place / other.name)
    assert read_dataset(place).digest == digest


def test_labels_alone_name_the_folder_and_a_folder_without_one_half_names_the_other(tmp_path: Path) -> None:
    place = write_gcnet(tmp_path)
    labels = place / "TINY_features_raw_2way.pkl"
    assert f"got labels alone; give the folder {place}" in refusal(labels)
    np.savez(place / "label.npz", train_corpus=np.array({"a": {"val": 0.5}}, object))
    assert f"got labels alone; give the folder {place}" in refusal(place / "label.npz")
    assert "label.npz was not read, since TINY_features_raw_2way.pkl has the labels too." in read_dataset(place).notes
    (place / "label.npz").unlink()
    (place / "features").rename(tmp_path / "away")
    assert "got no features/; put the features there" in refusal(place)
    labels.unlink()
    (tmp_path / "away").rename(place / "features")
    assert "expected labels next to features/" in refusal(place)


def with_labels(folder: Path, change: Callable[[Any], Any]) -> Path:
    """GCNet's folder with other labels."""
    place = write_gcnet(folder)
    path = place / "TINY_features_raw_2way.pkl"
    return dump(path, change(pickle.loads(path.read_bytes()))).parent


BAD_LABELS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no validation": (lambda c: [*c[:5], c[6]], "got two of the three"),
    "too few labels": (lambda c: [c[0], {v: x[:-1] for v, x in c[1].items()}, *c[2:]], "as many labels of video"),
    "one class": (lambda c: [c[0], {v: ["a"] * 4 for v in c[1]}, *c[2:]], "at least 2 classes, got only 'a'"),
    "no labels": (lambda c: [c[0], {v: [None] * 4 for v in c[1]}, *c[2:]], "a name and a number"),
    "huge numbers": (lambda c: [c[0], {v: [10**5000] * 4 for v in c[1]}, *c[2:]], "a name and a number"),
    "a path for a name": (lambda c: [{v: ["../x"] * 4 for v in c[0]}, *c[1:]], "each utterance once"),
    "empty folds": (lambda c: [*c[:4], set(), set(), set()], "expected utterances, got none"),
    "one video in two folds": (lambda c: [*c[:5], c[4], c[6]], "each utterance once"),
}


@pytest.mark.parametrize("kind", BAD_LABELS)
def test_other_labels_are_refused(kind: str, tmp_path: Path) -> None:
    change, expected = BAD_LABELS[kind]
    place = with_labels(tmp_path, change)
    with pytest.raises(BenchError, match=expected) as caught:
        read_dataset(place)
    assert str(caught.value).isprintable()


def test_a_name_cannot_reach_out_of_the_folder(tmp_path: Path) -> None:
    np.save(tmp_path / "secret.npy", np.ones((2, 3)))
    place = with_labels(
        tmp_path, lambda c: [{v: ["../../../secret", *x[1:]] if v == "test00" else x for v, x in c[0].items()}, *c[1:]]
    )
    assert read_dataset(place).splits["test"].lengths["audio"][0] == 0


def test_archives_of_merbench_without_splits_are_those_of_iemocap(tmp_path: Path) -> None:
    place = write_merbench(tmp_path)
    whole = {"a": {"emo": 1, "val": -10}, "b": {"emo": 2, "val": -10}}
    np.savez(place / "label.npz", whole_corpus=np.array(whole, object))
    with pytest.raises(BenchError, match=r"utterances of IEMOCAP's five sessions in whole_corpus, got names such as"):
        read_dataset(place)
    np.savez(place / "label.npz", train_corpus=np.array(whole, object))
    with pytest.raises(BenchError, match=r"expected the members train_corpus, val_corpus and test_corpus, got 'train"):
        read_dataset(place)


class Evil:
    """Executes a command when it is unpickled by Python itself."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def test_objects_in_an_archive_cannot_execute_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = write_merbench(tmp_path)
    evil = np.array({"test0": Evil()}, object)
    np.savez(place / "label.npz", train_corpus=evil, val_corpus=evil, test_corpus=evil)
    with pytest.raises(BenchError, match="nothing was executed"):
        read_dataset(place)
    assert not (tmp_path / "executed").exists()


BAD_FEATURES: dict[str, tuple[Callable[[Path], object], str]] = {
    "objects": (lambda path: np.save(path, np.array([{}], object), allow_pickle=True), "expected an array of numbers"),
    "text": (lambda path: np.save(path, np.array(["a"])), "expected an array of numbers"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "expected a complete array"),
    "a huge shape": (
        lambda path: path.write_bytes(path.read_bytes().replace(b", 3), }", b", 3000000000), }")[:-9]),
        "expected a complete array",
    ),
    "another width": (lambda path: np.save(path, np.ones((2, 9))), "expected frames of one width"),
    "four axes": (lambda path: np.save(path, np.ones((2, 2, 2, 3))), "expected shape [D] or [T, D]"),
    "no NumPy file": (lambda path: path.write_text("<html>"), "expected an array of numbers"),
}


@pytest.mark.parametrize("kind", BAD_FEATURES)
def test_a_file_of_features_that_is_none_is_named(kind: str, tmp_path: Path) -> None:
    place = write_gcnet(tmp_path)
    path = place / "features" / "chinese-hubert-large-FRA" / "train5.npy"
    change, expected = BAD_FEATURES[kind]
    change(path)
    with pytest.raises(BenchError) as caught:
        read_dataset(place)
    assert expected in str(caught.value)
    assert kind == "another width" or str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("chinese-hubert-large-UTT", "audio"), ("wav2vec-large-c-UTT", "audio"), ("data2vec-audio-base-960h", "audio"),
        ("IS09", "audio"), ("eGeMAPS_UTT", "audio"), ("bert-base-cased-FRA", "text"), ("albert_chinese_tiny", "text"),
        ("taiyi-clip-roberta-chinese-UTT", "text"), ("Baichuan-13B-Base-UTT", "text"), ("opt-13b-UTT", "text"),
        ("clip-vit-large-patch14-FRA", "vision"), ("resnet50face_UTT", "vision"), ("videomae-base", "vision"),
        ("eva02_base_patch14_224", "vision"), ("manet_UTT", "vision"), ("text", "text"), ("audio", "audio"),
        ("COVAREP", "audio"), ("FACET 4.2", "vision"), ("phonemes", None), ("features", None),
    ],
)  # fmt: skip
def test_the_name_of_an_extractor_tells_the_modality(name: str, modality: str | None) -> None:
    assert modality_of(name) == modality


# Folders that cannot be read.


def touched(place: Path, *files: str) -> Path:
    for file in files:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).touch()
    return place


FOLDERS = {
    "UR-FUNNY": (("data_folds.pkl", "covarep_features_sdk.pkl", "humor_label_sdk.pkl", "word_list.pkl"), "UR-FUNNY"),
    "Cross-Modal-BERT": (
        ("audio/MOSI_cmu_audio_CLS.pickle", "text/train.tsv", "text/dev.tsv", "text/test.tsv"), "Cross-Modal-BERT",
    ),
    "several HDF5 files": (("mosi.hdf5", "mosi_unalign.hdf5"), "got mosi.hdf5 and mosi_unalign.hdf5; give the path"),
    "something else": (("notes.txt", "videos/a.mp4", ".hidden"), "got notes.txt, videos/; give the path"),
    "many files": (tuple(f"{n}.txt" for n in range(20)), "and 12 more; give the path"),
}  # fmt: skip


def test_the_folder_that_was_meant_is_named(tmp_path: Path) -> None:
    sequences = write_csd(tmp_path)
    assert f"got sequences/; give the folder {sequences}" in refusal(tmp_path)
    place = write_gcnet(tmp_path / "dataset")
    assert f"give the folder {place}" in refusal(place / "features")


def test_folders_of_the_server_of_the_sdk_are_to_be_put_together(tmp_path: Path) -> None:
    place = write_csd(tmp_path)
    expected = read_dataset(place).digest
    for file in ("COVAREP", "Visual_FACET_42"):
        (place / file).mkdir()
        (place / f"CMU_TINY_{file}.csd").rename(place / file / "x.csd")
    (place / "rest").mkdir()
    for path in place.glob("*.csd"):
        path.rename(place / "rest" / path.name)
    assert "put the .csd files of COVAREP/, Visual_FACET_42/, rest/ into one folder" in refusal(place)
    for folder in ("COVAREP", "Visual_FACET_42", "rest"):
        for path in (place / folder).iterdir():
            path.rename(place / f"{folder}_{path.name}")
    assert read_dataset(place).digest == expected


@pytest.mark.parametrize("kind", FOLDERS)
def test_another_folder_is_described_in_one_line(kind: str, tmp_path: Path) -> None:
    files, expected = FOLDERS[kind]
    assert expected in refusal(touched(tmp_path / "data", *files))
