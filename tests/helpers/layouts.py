"""The tiny data set as other repositories would store it, each beside the same samples in MMSA's layout.

Every entry of `LAYOUTS` writes both into a folder and gives the two paths: that of the layout first.
"""

import gzip
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dataformats import WORDS, Content, dump
from numpy.typing import NDArray
from tinydata import mmsa_content

Pair = tuple[Path, Path]


def spoken(count: int) -> list[str]:
    """Some words."""
    return [WORDS[i % len(WORDS)] for i in range(count)]


def plain() -> Content:
    """MMSA's layout with transcripts."""
    content = mmsa_content()
    for part in content.values():
        part["raw_text"] = [" ".join(spoken(1 + row % 5)) for row in range(len(part["id"]))]
    return content


def pair(folder: Path, changed: Content, same: Content, protocol: int = 4) -> Pair:
    """Both contents as pickles."""
    return dump(folder / "layout.pkl", changed, protocol), dump(folder / "same.pkl", same)


def each(content: Content, change: Callable[[dict[str, Any]], object]) -> Content:
    """The content after a change of every split."""
    for part in content.values():
        change(part)
    return content


def renamed(content: Content, **names: str) -> Content:
    """The content with other keys."""
    return {name: {names.get(key, key): value for key, value in part.items()} for name, part in content.items()}


def at_the_front(part: dict[str, Any]) -> None:
    """Padding at the front, without lengths."""
    for m in ("text", "audio", "vision"):
        lengths = part.pop(f"{m}_lengths", None)
        if lengths is not None:
            frames = part[m].shape[1]
            part[m] = np.stack([np.roll(x, frames - n, 0) for x, n in zip(part[m], lengths, strict=True)])


def as_doubles(part: dict[str, Any]) -> None:
    """Everything in float64 and lists."""
    for m in ("text", "audio", "vision"):
        part[m] = part[m].astype(np.float64)
        part[f"{m}_lengths"] = part[f"{m}_lengths"].tolist()
    part["regression_labels"] = [float(x) for x in part["regression_labels"]]


# Dicts of arrays.


def mmsa_fet(folder: Path) -> Pair:
    """Float64, lists of word times, labels by modality, and a key `config` beside the splits."""

    def change(part: dict[str, Any]) -> None:
        as_doubles(part)
        part["align"] = np.array([[{"text": "it", "start": 0.1}] for _ in part["id"]], object)
        part["annotations"] = np.array(["Positive"] * len(part["id"]))
        part["regression_labels_T"] = np.array(part["regression_labels"])

    return pair(folder, each(plain(), change) | {"config": {"audio": {"tool": "x"}}}, plain(), 5)


def torch_file(folder: Path) -> Pair:
    """MMSA-FET's return_type="pt"."""

    def change(part: dict[str, Any]) -> None:
        for key, value in part.items():
            part[key] = torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    torch.save(each(plain(), change), folder / "feature.pt")
    return folder / "feature.pt", dump(folder / "same.pkl", plain())


def data_pre(folder: Path) -> Pair:
    """Self-MM's DataPre: lengths before the frames were cut."""

    def change(part: dict[str, Any]) -> None:
        as_doubles(part)
        part["audio_lengths"] = [9 if n == 6 else n for n in part["audio_lengths"]]

    return pair(folder, each(plain(), change), plain())


def without_lengths(folder: Path) -> Pair:
    """IMDer, DMD, DLF and ConFEDE: padding says the lengths."""
    return pair(
        folder, each(plain(), lambda part: [part.pop(f"{m}_lengths") for m in ("text", "audio", "vision")]), plain()
    )


def with_emotions(folder: Path) -> Pair:
    """PriSA's pickle of MOSEI."""
    return pair(folder, each(plain(), lambda part: part.update(emotion_labels=np.zeros((len(part["id"]), 6)))), plain())


def with_a_fourth_split(folder: Path) -> Pair:
    """CH-SIMS v2."""
    return pair(folder, plain() | {"train_mix": plain()["train"]}, plain())


def other_names(folder: Path) -> Pair:
    """A public repository for CMU-MOSEI."""
    names = {"text": "language", "audio": "acoustic", "vision": "visual", "regression_labels": "labels"}
    lengths = {f"{m}_lengths": f"{name}_len" for m, name in names.items() if m != "regression_labels"}
    content = renamed(plain(), **names, **lengths)
    return pair(folder, {"Train": content["train"], "VAL": content["valid"], "Test": content["test"]}, plain())


def low_rank_fusion(folder: Path) -> Pair:
    """LMF: names of the extractors, utterance vectors, padding of words at the front, of Python 2."""

    def vectors(part: dict[str, Any]) -> None:
        for m in ("audio", "vision"):
            part[m] = part[m].mean(axis=1)
            del part[f"{m}_lengths"]

    same = each(plain(), vectors)
    content = each(each(plain(), vectors), at_the_front)
    each(content, lambda part: part.update(regression_labels=part["regression_labels"][:, None]))
    return pair(
        folder, renamed(content, text="glove", audio="covarep", vision="facet", regression_labels="label"), same, 2
    )


def multibench_vectors(folder: Path) -> Pair:
    """MultiBench's pickles: labels [N, 1, 1], padding at the front, numbers as ids."""

    def numbered(part: dict[str, Any], axes: tuple[int, ...]) -> None:
        count = len(part["id"])
        part["id"] = np.arange(count).reshape(count, *axes) if axes else [str(n) for n in range(count)]

    content = each(each(plain(), at_the_front), lambda part: numbered(part, (1,)))
    each(content, lambda part: part.update(regression_labels=part["regression_labels"][:, None, None]))
    return pair(folder, renamed(content, regression_labels="labels"), each(plain(), lambda part: numbered(part, ())), 2)


def factorized(folder: Path) -> Pair:
    """MCTN and MFM: `text` holds indices of words, and their vectors lie beside."""

    def change(part: dict[str, Any]) -> None:
        part["text_eb"] = part["text"]
        part["text"] = np.arange(part["text"].shape[0] * 4).reshape(-1, 4) % 3000

    return pair(folder, renamed(each(plain(), change), regression_labels="label"), plain())


def unpadded(folder: Path) -> Pair:
    """One array per sample."""

    def change(part: dict[str, Any]) -> None:
        for m in ("text", "audio", "vision"):
            frames = [x[:n] for x, n in zip(part[m], part.pop(f"{m}_lengths"), strict=True)]
            part[m] = np.empty(len(frames), object)
            part[m][:] = frames

    return pair(folder, each(plain(), change), plain())


def gzipped(folder: Path) -> Pair:
    """As many tools compress it."""
    (folder / "layout.pkl.gz").write_bytes(gzip.compress(pickle.dumps(plain())))
    return folder / "layout.pkl.gz", dump(folder / "same.pkl", plain())


def zipped(folder: Path) -> Pair:
    """As a browser or a cloud packs it."""
    with zipfile.ZipFile(folder / "layout.pkl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mosi/aligned_50.pkl", pickle.dumps(plain()))
        archive.writestr("__MACOSX/mosi/._aligned_50.pkl", b"\0" * 100)
    return folder / "layout.pkl", dump(folder / "same.pkl", plain())


# Lists of samples.


def frames_of(part: dict[str, Any], modality: str, row: int) -> NDArray[np.float32]:
    """The valid frames of a sample."""
    frames: NDArray[np.float32] = part[modality][row, : part[f"{modality}_lengths"][row]]
    return frames


def without_text(content: Content) -> Content:
    """The content without features of text, as lists of samples have it."""
    return each(content, lambda part: [part.pop(key) for key in ("text", "text_lengths")])


def lists_of_samples(make: Callable[[dict[str, Any], int, list[str]], tuple[Any, ...]]) -> dict[str, list[Any]]:
    """The samples of each split as tuples of parts, label and name."""
    lists = {}
    for name, part in plain().items():
        samples = []
        for row, words in enumerate(part["raw_text"]):
            label = np.array([[part["regression_labels"][row]]], np.float32)
            samples.append((make(part, row, words.split()), label, part["id"][row]))
        lists[name] = samples
    return lists


def folder_of_splits(folder: Path, lists: Mapping[str, object], names: Mapping[str, str], same: Content) -> Pair:
    """One file per split."""
    place = folder / "layout"
    place.mkdir()
    for split, name in names.items():
        dump(place / name, lists[split])
    return place, dump(folder / "same.pkl", same)


DEV = {"train": "train.pkl", "valid": "dev.pkl", "test": "test.pkl"}


def misa(folder: Path) -> Pair:
    """MISA: word ids before, words after the features; another pickle lies beside."""

    def parts(part: dict[str, Any], row: int, words: list[str]) -> tuple[Any, ...]:
        return np.arange(len(words)), frames_of(part, "vision", row), frames_of(part, "audio", row), words

    both = folder_of_splits(folder, lists_of_samples(parts), DEV, without_text(plain()))
    dump(both[0] / "embedding_and_mapping.pkl", {"a": 1})
    return both


def mmim(folder: Path) -> Pair:
    """MMIM and BBFN: an empty list of word ids, and lengths."""

    def parts(part: dict[str, Any], row: int, words: list[str]) -> tuple[Any, ...]:
        visual = frames_of(part, "vision", row)
        acoustic = frames_of(part, "audio", row)
        return [], visual, acoustic, words, len(visual), len(acoustic)

    return folder_of_splits(folder, lists_of_samples(parts), DEV, without_text(plain()))


def unimse(folder: Path) -> Pair:
    """UniMSE: MMIM's samples with seven columns of labels, under longer names."""
    lists = lists_of_samples(lambda part, row, words: (
        [], frames_of(part, "vision", row), frames_of(part, "audio", row), words,
        len(frames_of(part, "vision", row)), len(frames_of(part, "audio", row)),
    ))  # fmt: skip
    for samples in lists.values():
        samples[:] = [(parts, np.append(label, [[0, 0, 1, 0, 2, 0]], axis=1), name) for parts, label, name in samples]
    names = {"train": "mosei_train_align.pkl", "valid": "mosei_val_align.pkl", "test": "mosei_test_align.pkl"}
    return folder_of_splits(folder, lists, names, without_text(plain()))


def cenet(folder: Path) -> Pair:
    """CENet: four columns of ids after the features."""

    def parts(part: dict[str, Any], row: int, words: list[str]) -> tuple[Any, ...]:
        ids = np.zeros(len(words))
        return words, frames_of(part, "vision", row), frames_of(part, "audio", row), ids, ids, ids, ids

    lists = lists_of_samples(parts)
    content = {"train": lists["train"], "dev": lists["valid"], "test": lists["test"]}
    return dump(folder / "layout.pkl", content), dump(folder / "same.pkl", without_text(plain()))


# Folders.


def vectors_by_split(folder: Path) -> Pair:
    """Utterance vectors, one file per split, with a file of facts beside."""

    def vectors(part: dict[str, Any]) -> None:
        for m in ("text", "audio", "vision"):
            part[m] = part[m].mean(axis=1)
            del part[f"{m}_lengths"]

    content = renamed(
        each(plain(), vectors), text="language", audio="acoustic", vision="visual", regression_labels="labels"
    )
    names = {"train": "train_data.pkl", "valid": "val_data.pkl", "test": "test_data.pkl"}
    both = folder_of_splits(folder, content, names, each(plain(), vectors))
    dump(both[0] / "metadata.pkl", {"text_dim": 768})
    return both


def file_per_modality(folder: Path) -> Pair:
    """MMSA's --feature_A and --feature_V: other orders of samples, and one sample less."""
    random = np.random.default_rng(3)
    place = folder / "layout"
    place.mkdir()
    dump(place / "base.pkl", each(plain(), lambda part: [part.pop(m) for m in ("audio", "vision")]))
    same = plain()
    for m in ("audio", "vision"):
        content: Content = {}
        for name, part in plain().items():
            order = random.permutation(len(part["id"]))[1:]
            content[name] = {m: part[m][order], f"{m}_lengths": part[f"{m}_lengths"][order]}
            content[name]["id"] = [part["id"][row] for row in order]
            lost = list(set(range(len(part["id"]))) - set(order.tolist()))
            same[name][m] = np.where(np.isin(np.arange(len(part["id"])), lost)[:, None, None], 0, part[m])
            same[name][f"{m}_lengths"] = np.where(np.isin(np.arange(len(part["id"])), lost), 0, part[f"{m}_lengths"])
        dump(place / f"{m}.pkl", content)
    each(same, lambda part: part.update(text=part["text"]))
    return place, dump(folder / "same.pkl", same)


LAYOUTS: Mapping[str, Callable[[Path], Pair]] = {
    make.__name__: make
    for make in (
        mmsa_fet, torch_file, data_pre, without_lengths, with_emotions, with_a_fourth_split, other_names,
        low_rank_fusion, multibench_vectors, factorized, unpadded, gzipped, zipped, misa, mmim, unimse, cenet,
        vectors_by_split, file_per_modality,
    )
}  # fmt: skip
