"""Small files of emotions, intents, humour and sarcasm in the layouts in which the field shares them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from dataformats import dump
from numpy.typing import NDArray
from tinydata import mmsa_content

SIZES = {"train": 40, "valid": 12, "test": 20}  # of the tiny data set
IEMOCAP_FOLDS = {"train": ["Ses01F_impro01", "Ses02M_script01_1", "Ses03F_impro02"], "test": ["Ses05M_impro03"]}


def labelled(path: Path, make: Callable[[int], object], key: str = "labels") -> Path:
    """The tiny data set with other labels: `make` gets the number of samples of a split."""
    content: dict[str, dict[str, Any]] = mmsa_content()
    for part in content.values():
        del part["regression_labels"]
        part[key] = make(len(part["id"]))
    return dump(path, content)


def features(names: Sequence[str], place: Path, folders: Sequence[str] = ("roberta", "hubert", "clip")) -> None:
    """A file [2, 3] for each utterance and extractor."""
    for folder in folders:
        (place / "features" / folder).mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):
            np.save(place / "features" / folder / f"{name}.npy", np.full((2, 3), number + 1.0))


def iemocap_names(dialogues: Sequence[str]) -> dict[str, list[str]]:
    """Six utterances of each dialogue."""
    return {dialogue: [f"{dialogue}_{'FM'[n % 2]}{n:03}" for n in range(6)] for dialogue in dialogues}


def multibench(folder: Path, values: tuple[int, int]) -> Path:
    """MultiBench's pickles of two classes: labels [N, 1], widths of UR-FUNNY and MUStARD."""
    random = np.random.default_rng(0)
    content = {}
    for name, count in SIZES.items():
        part: dict[str, Any] = {"vision": 371, "audio": 81, "text": 300}
        for modality, width in part.items():
            part[modality] = random.standard_normal((count, 2, width)).astype(np.float32)
        part["labels"] = np.array(values)[np.arange(count) % 2][:, None].astype(np.float64)
        part["id"] = np.arange(count)[:, None]
        content[name] = part
    return dump(folder / "multibench.pkl", content)


def mult_iemocap(folder: Path) -> Path:
    """MulT's iemocap_data.pkl: a pair (no, yes) for each of four emotions, one of which holds."""
    return labelled(
        folder / "iemocap_data.pkl", lambda count: np.eye(2, dtype=int)[np.eye(4, dtype=int)[emotions(count)]]
    )


def emotions(count: int) -> NDArray[np.int64]:
    """Classes 0 to 3, of which 0 is the most frequent."""
    return np.arange(count) % 5 % 4


def gcnet_iemocap(folder: Path) -> Path:
    """GCNet's list of IEMOCAP: six parts, without validation dialogues."""
    names = iemocap_names([dialogue for part in IEMOCAP_FOLDS.values() for dialogue in part])
    labels = {dialogue: [n % 6 for n in range(6)] for dialogue in names}
    speakers = {dialogue: ["F", "M"] * 3 for dialogue in names}
    sentences = {dialogue: [f"line {n}" for n in range(6)] for dialogue in names}
    folds = [set(part) for part in IEMOCAP_FOLDS.values()]
    features([name for part in names.values() for name in part], folder)
    dump(folder / "IEMOCAP_features_raw_6way.pkl", [names, labels, speakers, sentences, *folds])
    return folder


def merbench_iemocap(folder: Path) -> Path:
    """MERBench's archive of IEMOCAP: one corpus of all sessions."""
    names = iemocap_names([dialogue for part in IEMOCAP_FOLDS.values() for dialogue in part])
    corpus = {name: {"emo": n % 4, "val": -10} for part in names.values() for n, name in enumerate(part)}
    features(list(corpus), folder)
    np.savez_compressed(folder / "label_4way.npz", whole_corpus=np.array(corpus, object))
    return folder


def merbench_meld(folder: Path) -> Path:
    """MERBench's archive of MELD: seven emotions by number."""
    corpora = {}
    for name in ("train", "val", "test"):
        utterances = [f"{name}_dia{d}_utt{u}" for d in range(3) for u in range(4)]
        corpora[f"{name}_corpus"] = {utterance: {"emo": n % 7, "val": -10} for n, utterance in enumerate(utterances)}
    features([name for corpus in corpora.values() for name in corpus], folder)
    arrays = {name: np.array(corpus, object) for name, corpus in corpora.items()}
    np.savez_compressed(folder / "label.npz", allow_pickle=True, **arrays)
    return folder


def merbench_mer2023(folder: Path) -> Path:
    """MERBench's archive of MER2023: emotions by name, no validation split, and three test sets."""
    known = ("neutral", "angry", "happy", "sad", "worried", "surprise")
    corpora = {}
    for name in ("train", "test1", "test2", "test3"):
        corpora[f"{name}_corpus"] = {f"{name}_{n:08}": {"emo": known[n % 6], "val": 1.5} for n in range(30)}
    features([name for corpus in corpora.values() for name in corpus], folder)
    arrays = {name: np.array(corpus, object) for name, corpus in corpora.items()}
    np.savez_compressed(folder / "label-6way.npz", allow_pickle=True, **arrays)
    return folder


def mmin(folder: Path) -> Path:
    """MMIN's folder of IEMOCAP with two folds."""
    names = iemocap_names([f"Ses0{session}F_impro01" for session in range(1, 6)])
    parts = list(names.values())
    for modality, file in (("A", "comparE"), ("V", "denseface"), ("L", "bert_large")):
        (folder / modality).mkdir(parents=True)
        with h5py.File(folder / modality / f"{file}.h5", "w") as opened:
            for number, name in enumerate(name for part in parts for name in part):
                opened[name] = np.full((2 + number % 3, 4), number + 1.0)
    with h5py.File(folder / "A" / "comparE_mean_std.h5", "w") as opened:
        opened["1/mean"] = np.zeros(4)
    for fold in (1, 2):
        place = folder / "target" / str(fold)
        place.mkdir(parents=True)
        order = parts[fold:] + parts[:fold]
        for short, rows in (("trn", order[:3]), ("val", order[3:4]), ("tst", order[4:])):
            flat = [name for part in rows for name in part]
            np.save(place / f"{short}_label.npy", np.eye(4)[np.arange(len(flat)) % 4])
            np.save(place / f"{short}_int2name.npy", np.array(flat, "S20")[:, None])
    return folder


INTENTS = ("Complain", "Praise", "Thank", "Ask for help")


def mintrec(folder: Path) -> Path:
    """MIntRec's folder, whose video features are lists of frames."""
    keys = []
    for file, first, count in (("train", 0, 16), ("dev", 16, 6), ("test", 22, 8)):
        lines = ["season\tepisode\tclip\ttext\tlabel"]
        for n in range(first, first + count):
            keys.append(f"S04_E0{n % 3}_{n}")
            lines.append(f'S04\tE0{n % 3}\t{n}\tit\'s "fine" {n}\t{INTENTS[n % 4]}')
        (folder / f"{file}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    video = {key: [np.full((1, 5), n + 1.0)] * (1 + n % 2) for n, key in enumerate(keys)}
    audio = {key: np.full((3, 6), n + 1.0) for n, key in enumerate(keys)}
    for name, content in (("video", video), ("audio", audio)):
        (folder / f"{name}_data").mkdir()
        dump(folder / f"{name}_data" / f"{name}_feats.pkl", content)
    return folder


EMOTIONS_OF_FOUR = ("happy", "sad", "neutral", "angry")
CLASS_FORMATS: Mapping[str, tuple[Callable[[Path], Path], str, tuple[str, ...], str]] = {
    "MUStARD": (lambda folder: multibench(folder, (-1, 1)), "classes", ("not sarcastic", "sarcastic"), ""),
    "UR-FUNNY": (lambda folder: multibench(folder, (0, 1)), "classes", ("not humorous", "humorous"), ""),
    "MulT": (mult_iemocap, "multi-label", ("neutral", "happy", "sad", "angry"), ""),
    "GCNet": (gcnet_iemocap, "classes", (*EMOTIONS_OF_FOUR, "excited", "frustrated"), "Ses05M_impro03$_$F000"),
    "MERBench IEMOCAP": (merbench_iemocap, "classes", EMOTIONS_OF_FOUR, "Ses05M_impro03$_$F000"),
    "MERBench MELD": (
        merbench_meld, "classes", ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise"),
        "test_dia0$_$utt0",
    ),
    "MERBench MER2023": (
        merbench_mer2023, "classes", ("neutral", "angry", "happy", "sad", "worried", "surprise"), "test1_00000000",
    ),
    "MMIN": (mmin, "classes", ("0", "1", "2", "3"), "Ses01F_impro01$_$F000"),
    "MIntRec": (mintrec, "classes", (), "S04_E01$_$22"),
}  # fmt: skip
"""How to write each format, its kind of task, its names (empty where they are tested apart), and its first test id."""
