"""The tiny data set in every format that is read, for tests and the fuzzer."""

import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from tinydata import make_dataset, mmsa_content

from qamoe_bench.curation.convert import write as write_folder
from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.open import as_dataset, read

Content = dict[str, dict[str, Any]]
WORDS = ("well", "it", "was", "fine", "später", "日本")


def read_dataset(path: Path) -> Dataset:
    """The data set at a path, read without the cache of `open_dataset`."""
    return as_dataset(read(path))


def dump(path: Path, content: object, protocol: int = 4) -> Path:
    """Write a pickle."""
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def write_mmsa(folder: Path) -> Path:
    """MMSA's layout with lengths, words and token ids, text in float16."""
    content = mmsa_content()
    for part in content.values():
        count = len(part["id"])
        part["text"] = part["text"].astype(np.float16)
        part["raw_text"] = [" ".join(WORDS[: 1 + row % 6]) for row in range(count)]
        part["text_bert"] = np.ones((count, 3, 8), np.float64)
        part["id"] = [f"{name}$_${row % 3}" for row, name in enumerate(part["id"])]
        part["classification_labels"] = [0] * count
    return dump(folder / "mmsa.pkl", content)


def write_sims(folder: Path) -> Path:
    """MMSA's layout as CH-SIMS has it: labels within one, four sets of them, lengths as lists, no text lengths."""
    content = mmsa_content()
    for part in content.values():
        del part["text_lengths"]
        part["regression_labels"] = (part["regression_labels"] / 3).tolist()
        part["regression_labels_T"] = part["regression_labels"]
        part["audio_lengths"] = part["audio_lengths"].tolist()
        part["audio"][0, 0, 0] = -np.inf
    content["dev"] = content.pop("valid")
    return dump(folder / "sims.pkl", content)


def write_multibench(folder: Path) -> Path:
    """MulT's layout: other names, padding at the front, ids of three parts, one sample without text."""
    content: Content = {}
    for name, split in make_dataset().splits.items():
        part: dict[str, Any] = {m: _at_the_front(split, m) for m in split.modalities}
        part["text"][1] = 0
        part["labels"] = split.target.numpy().reshape(-1, 1, 1)
        part["id"] = np.array([[sample, "0.5", "2.5"] for sample in split.ids], "S16")
        content[name] = part
    return dump(folder / "multibench.pkl", content, protocol=2)


def _at_the_front(split: Split, modality: str) -> NDArray[np.float32]:
    x = split.features[modality].numpy().copy()
    for row, length in enumerate(split.lengths[modality].tolist()):
        x[row] = np.roll(x[row], x.shape[1] - length, axis=0)
    return x


def write_mag(folder: Path) -> Path:
    """MAG-BERT's tuples."""
    content = {n.replace("valid", "dev"): _tuples(split) for n, split in make_dataset().splits.items()}
    return dump(folder / "mag.pkl", content)


def _tuples(split: Split) -> list[Any]:
    samples = []
    for row, name in enumerate(split.ids):
        count = int(split.lengths["audio"][row])
        seen, heard = (
            np.resize(split.features[m][row].numpy(), (count, 3)).astype(np.float64) for m in ("vision", "audio")
        )
        words = np.array([WORDS[i % len(WORDS)] for i in range(count)], dtype=object if row % 2 else None)
        samples.append(((words, seen, heard), np.array([[float(split.target[row])]]), f"{name}[{row}]"))
    return samples


SEQUENCES = {
    "CMU_TINY_TimestampedWords.csd": "words",
    "CMU_TINY_TimestampedWordVectors.csd": "glove_vectors",
    "CMU_TINY_COVAREP.csd": "COVAREP",
    "CMU_TINY_Visual_FACET_42.csd": "FACET 4.2",
    "CMU_TINY_Opinion_Labels.csd": "Opinion Segment Labels",
    "CMU_TINY_TimestampedPhones.csd": "phonemes",
}
FOLDS = {"train": ["a", "b", "c"], "valid": ["d", "e"], "test": ["f", "g"]}


def csd_video(video: str) -> dict[str, tuple[NDArray[Any], NDArray[np.float64]]]:
    """Sequences of one video of four segments of three words each, the second of which is a pause."""
    random = np.random.default_rng(ord(video))
    said = np.array([[WORDS[i % 6] if i % 3 != 1 else "sp"] for i in range(12)])
    words = np.stack([np.arange(12), np.arange(1, 13)], 1) / 2.0
    tenths = np.stack([np.arange(60), np.arange(1, 61)], 1) / 10.0
    audio = random.standard_normal((60, 4)).astype(np.float32)
    audio[3, 0] = -np.inf
    segments = np.stack([np.arange(4.0), np.arange(1.0, 5.0)], 1) * np.float64(1.5)
    labels = np.repeat(random.uniform(-3, 3, (4, 1)), 7, axis=1).astype(np.float32)
    return {
        "words": (np.char.encode(said, "utf-8"), words),
        "glove_vectors": (random.standard_normal((12, 5)).astype(np.float32), words),
        "COVAREP": (audio, tenths),
        "FACET 4.2": (random.standard_normal((60, 3)).astype(np.float32), tenths),
        "Opinion Segment Labels": (labels, segments),
        "phonemes": (np.char.encode(said, "utf-8"), words),
    }


def write_csd(folder: Path) -> Path:
    """Computational sequences with a file of folds; one video is in none."""
    place = folder / "sequences"
    place.mkdir()
    for file, root in SEQUENCES.items():
        with h5py.File(place / file, "w") as opened:
            opened.create_group(root).create_group("metadata")["root name"] = [json.dumps(root)]
            for video in "abcdefgz":
                values, intervals = csd_video(video)[root]
                at = opened.create_group(f"{root}/data/{video}")
                at.create_dataset("features", data=values, compression="gzip", compression_opts=9)
                at.create_dataset("intervals", data=intervals, compression="gzip", compression_opts=9)
    (place / "cmu_tiny_std_folds.py").write_text(
        "".join(f"standard_{name}_fold = {videos}\n" for name, videos in FOLDS.items()), encoding="utf-8"
    )
    return place


def write_converted(folder: Path) -> Path:
    """The suite's own format, from MMSA's."""
    write_folder(read_dataset(write_mmsa(folder)), folder / "converted", {"file": "mmsa.pkl"})
    return folder / "converted"


def write_word_aligned(folder: Path) -> Path:
    """The sequences of `write_csd` as the SDK deploys them after alignment to words, with the labels as they were."""
    raw = write_csd(folder)
    place = folder / "word_aligned"
    raw.rename(place)
    words = csd_video("a")["words"][1]
    for file, root in SEQUENCES.items():
        if root == "Opinion Segment Labels":
            continue
        with h5py.File(place / file, "w") as opened:
            for video in "abcdefgz":
                values, times = csd_video(video)[root]
                for n, (start, end) in enumerate(words):
                    rows = (times[:, 1] > start) & (times[:, 0] < end)
                    at = opened.create_group(f"{root}/data/{video}[{n}]")
                    at["features"] = values[rows]
                    at["intervals"] = times[rows]
    return place


SEGMENTED = {"text": "glove_vectors", "audio": "COAVAREP", "vision": "FACET 4.2"}


def write_final_aligned(folder: Path) -> Path:
    """The tiny data set as the SDK deploys it after alignment to segments: a video of one segment for each sample."""
    place = folder / "final_aligned"
    place.mkdir()
    for m, root in (*SEGMENTED.items(), ("labels", "All Labels")):
        with h5py.File(place / f"{root}.csd", "w") as opened:
            opened.create_group(f"{root}/metadata")["root name"] = [json.dumps(root)]
            for split in make_dataset().splits.values():
                for row, name in enumerate(split.ids):
                    values = _sample_values(split, m, row)
                    at = opened.create_group(f"{root}/data/{name}[0]")
                    at["features"] = values
                    at["intervals"] = np.stack([np.arange(len(values)), np.arange(1, len(values) + 1)], 1) / 2.0
    write_folds(place)
    return place


def _sample_values(split: Split, key: str, row: int) -> NDArray[np.float32]:
    """Valid frames [T, D] of a modality of one sample, or its sentiment and six emotions [1, 7]."""
    if key == "labels":
        return np.array([[float(split.target[row]), 0, 1, 2, 3, 0, 1]], np.float32)
    return split.features[key][row, : int(split.lengths[key][row])].numpy()


def write_folds(folder: Path) -> None:
    """The samples of the tiny data set by split, as a file of folds."""
    folds = {name: list(split.ids) for name, split in make_dataset().splits.items()}
    (folder / "folds.json").write_text(json.dumps(folds), encoding="utf-8")


def write_multibench_hdf5(folder: Path) -> Path:
    """The tiny data set as MultiBench's one HDF5 file, with words of variable length and labels of one column."""
    place = folder / "raw"
    place.mkdir()
    with h5py.File(place / "tiny.hdf5", "w") as opened:
        for split in make_dataset().splits.values():
            for row, name in enumerate(split.ids):
                for m in split.modalities:
                    opened[f"{m}/{name}_3/features"] = _sample_values(split, m, row)
                opened[f"labels/{name}_3/features"] = _sample_values(split, "labels", row)[:, :1]
                words = [[WORDS[i]] for i in range(int(split.lengths["text"][row]))]
                opened.create_dataset(f"words/{name}_3/features", data=words, dtype=h5py.string_dtype())
    write_folds(place)
    return place / "tiny.hdf5"


EXTRACTORS = {"text": "deberta-large-4-FRA", "audio": "chinese-hubert-large-FRA", "vision": "resnet50face_FRA"}


def write_features(folder: Path) -> Path:
    """The features of the tiny data set by utterance: frames in one file, or for vision in a file for each frame."""
    place = folder / "utterances"
    for split in make_dataset().splits.values():
        for m, extractor in EXTRACTORS.items():
            (place / "features" / extractor).mkdir(parents=True, exist_ok=True)
            for row, name in enumerate(split.ids):
                frames = _sample_values(split, m, row)
                path = place / "features" / extractor / name
                if m == "vision":
                    path.mkdir()
                    for n, frame in enumerate(frames):
                        np.save(path / f"{n:03}.npy", frame)
                else:
                    np.save(path.with_suffix(".npy"), frames)
    return place


def write_gcnet(folder: Path) -> Path:
    """Features by utterance with the labels of GCNet: seven parts, the first four by video."""
    place = write_features(folder)
    parts: list[Any] = [{}, {}, {}, {}]
    folds = []
    for name, split in make_dataset().splits.items():
        # A video of four utterances; sets have no order, so videos are read in that of their names.
        for start in range(0, len(split), 4):
            rows = range(start, start + 4)
            values = ([split.ids[r] for r in rows], split.target[start : start + 4].tolist(), [""] * 4)
            for part, value in zip(parts, (*values, np.array([WORDS[r % 6] for r in rows])), strict=True):
                part[f"{name}{start:02}"] = value
        folds.append({f"{name}{start:02}" for start in range(0, len(split), 4)})
    dump(place / "TINY_features_raw_2way.pkl", [*parts, *folds])
    return place


def write_merbench(folder: Path) -> Path:
    """Features by utterance with the labels of MERBench: an archive of a dict for each split."""
    place = write_features(folder)
    corpora = {}
    for name, split in make_dataset().splits.items():
        labels = {sample: {"emo": 0, "val": float(split.target[row])} for row, sample in enumerate(split.ids)}
        corpora[f"{name.replace('valid', 'val')}_corpus"] = np.array(labels, object)
    np.savez_compressed(place / "label.npz", allow_pickle=True, **corpora)
    return place


FORMATS: Mapping[str, Callable[[Path], Path]] = {
    "mmsa": write_mmsa, "sims": write_sims, "multibench": write_multibench, "mag": write_mag, "csd": write_csd,
    "word_aligned": write_word_aligned, "final_aligned": write_final_aligned, "multibench_hdf5": write_multibench_hdf5,
    "gcnet": write_gcnet, "merbench": write_merbench, "folder": write_converted,
}  # fmt: skip
