"""A malformed data file is refused in one line with exit status 2, and no files are created."""

import json
import pickle
import signal
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commandline import bench
from dataformats import csd_video, dump, write_converted, write_csd, write_mag, write_mmsa, write_multibench
from tinydata import mmsa_content

LONGEST_S = 5
Make = Callable[[Path], Path]


def content_of(path: Path) -> Any:
    return pickle.loads(path.read_bytes())


def changed(write: Make, change: Callable[[Any], object]) -> Make:
    """A file whose content is modified by `change`."""

    def make(folder: Path) -> Path:
        path = write(folder)
        content = content_of(path)
        change(content)
        return dump(path, content)

    return make


def with_bytes(content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / "data.pkl").write_bytes(content)
        return folder / "data.pkl"

    return make


def cut(write: Make, share: float, file: str = "") -> Make:
    """A file that is truncated to its first part."""

    def make(folder: Path) -> Path:
        path = write(folder)
        target = path / file if file else path
        target.write_bytes(target.read_bytes()[: int(share * target.stat().st_size)])
        return path

    return make


# Pickles.


def set_all(key: str, value: Callable[[int], object]) -> Callable[[Any], object]:
    return lambda content: [part.update({key: value(len(part["id"]))}) for part in content.values()]


def first_words(words: object) -> Callable[[Any], object]:
    def change(content: Any) -> None:
        (_, *features), label, name = content["train"][0]
        content["train"][0] = ((words, *features), label, name)

    return change


def endless() -> list[Any]:
    value: list[Any] = [1.0]
    value.append(value)
    return value


def bomb(depth: int = 24) -> list[Any]:
    """A few bytes that expand to 2 to the power of `depth` numbers."""
    value: list[Any] = [1.0, 2.0]
    for _ in range(depth):
        value = [value, value]
    return value


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        archive.writestr("../../outside.txt", "x")
    return folder / "data.zip"


def one_sample(folder: Path) -> Path:
    content = mmsa_content()
    for part in content.values():
        part.update({key: values[:1] for key, values in part.items()})
    return dump(folder / "one.pkl", content)


LONG = "word " * 20_000
PICKLES: Mapping[str, Make] = {
    "nothing there": lambda folder: folder / "absent.pkl",
    "an empty file": with_bytes(b""),
    "text": with_bytes(b"id,label\na,1\n"),
    "an archive": zipped,
    "half a pickle": cut(write_mmsa, 0.5),
    "os.system": with_bytes(b"cos\nsystem\n(Vtouch outside\ntR."),
    "builtins.eval": with_bytes(b"cbuiltins\neval\n(Vopen('outside','w')\ntR."),
    "a chain of getattr": with_bytes(b"cbuiltins\ngetattr\n(cos\nsys\nVmodules\ntR."),
    "BUILD on an allowed name": with_bytes(b"\x80\x04cnumpy\ndtype\n}V__call__\nK\x01sb."),
    "a huge memo index": with_bytes(b"\x80\x04Nr\xff\xff\xff\x7f."),
    "a huge array of few bytes": with_bytes(
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01\x8a\x06\x00\x10\xa5\xd4\xe8\x00\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x00tb."
    ),
    "many equal hashes": with_bytes(b"\x80\x02(" + b"\x8a\x01\x05" * 20_000 + b"l."),
    "a thousand sets a kilobyte": with_bytes(b"\x80\x04(" + b"\x8f" * 20_000 + b"l."),
    "a list that holds itself": changed(write_mmsa, set_all("audio", lambda n: endless())),
    "a bomb of lists": changed(write_mmsa, set_all("audio", lambda n: [bomb()] * n)),
    "a bomb that hides behind a short list": changed(
        write_mmsa, set_all("audio", lambda n: [[1.0], *[bomb()] * (n - 1)])
    ),
    "one long text again and again": changed(write_mmsa, set_all("raw_text", lambda n: [LONG] * n)),
    "labels beyond a float": changed(write_mmsa, set_all("regression_labels", lambda n: [10**400, *[0.5] * (n - 1)])),
    "labels without a dimension": changed(write_mmsa, set_all("regression_labels", lambda n: np.array(0.5))),
    "ids without a dimension": changed(write_mmsa, set_all("id", lambda n: np.array("a"))),
    "words without a dimension": changed(write_mag, first_words(np.array("a"))),
    "labels that are not finite": changed(write_mmsa, set_all("regression_labels", lambda n: [np.nan] * n)),
    "words that are numbers": changed(write_mmsa, set_all("raw_text", lambda n: [1] * n)),
    "seven emotions": changed(write_multibench, set_all("labels", lambda n: np.zeros((n, 1, 7)))),
    "a split too few": changed(write_mmsa, lambda content: content.pop("test")),
    "a misspelt modality": changed(write_mmsa, lambda c: [p.update(visions=p.pop("vision")) for p in c.values()]),
    "another width in one split": changed(write_mmsa, lambda c: c["test"].update(audio=np.ones((20, 6, 9)))),
    "one sample": one_sample,
    "tuples of two": changed(write_mag, lambda c: c.update(train=[sample[:2] for sample in c["train"]])),
    "a word without a frame": changed(
        write_mag, lambda c: c["dev"].insert(0, ((["a", "b"], np.ones((1, 3)), np.ones((2, 3))), 0.5, "x[0]"))
    ),
    "one sample again and again": changed(
        write_mag, lambda c: c.update(test=[((["a"] * 999, np.ones((999, 3)), np.ones((999, 3))), 0.5, "x")] * 9_999)
    ),
    "one long sample among short ones": changed(
        write_mag,
        lambda c: c["train"].extend(
            [*[c["train"][0]] * 900, ((["a"] * 5_000, *[np.ones((5_000, 3), np.int8)] * 2), 0.5, "x")]
        ),
    ),
}


# Computational sequences.


AUDIO = "CMU_TINY_COVAREP.csd"
LABELS = "CMU_TINY_Opinion_Labels.csd"


def csd(file: str, change: Callable[[h5py.File, Path], object]) -> Make:
    """Sequences one of which is modified by `change`."""

    def make(folder: Path) -> Path:
        place = write_csd(folder)
        with h5py.File(place / file, "a") as opened:
            change(opened, folder)
        return place

    return make


def relinked(link: Callable[[Path], object]) -> Make:
    def change(opened: h5py.File, folder: Path) -> None:
        del opened["COVAREP/data/a/features"]
        opened["COVAREP/data/a/features"] = link(folder)

    return csd(AUDIO, change)


def remade(**options: Any) -> Make:
    """Features of one video, created again with other options."""

    def change(opened: h5py.File, folder: Path) -> None:
        del opened["COVAREP/data/a/features"]
        opened["COVAREP/data/a"].create_dataset("features", **options)

    return csd(AUDIO, change)


def virtual(opened: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "secret.h5", "w") as other:
        other["x"] = np.ones((60, 4))
    layout = h5py.VirtualLayout((60, 4), np.float32)
    layout[:] = h5py.VirtualSource(folder / "secret.h5", "x", (60, 4))
    del opened["COVAREP/data/a/features"]
    opened.create_virtual_dataset("COVAREP/data/a/features", layout)


def external(opened: h5py.File, folder: Path) -> None:
    del opened["COVAREP/data/a/features"]
    (folder / "secret.bin").write_bytes(bytes(960))
    opened["COVAREP/data/a"].create_dataset(
        "features", (60, 4), np.float32, external=[(str(folder / "secret.bin"), 0, 960)]
    )


def overlapping(opened: h5py.File, folder: Path) -> None:
    at = opened["Opinion Segment Labels/data/a"]
    del at["features"], at["intervals"]
    at.create_dataset("features", data=np.zeros((200_000, 1), np.float32), compression="gzip")
    at.create_dataset("intervals", data=np.tile([0.0, 9.0], (200_000, 1)), compression="gzip")


def without(*files: str) -> Make:
    def make(folder: Path) -> Path:
        place = write_csd(folder)
        for file in files:
            (place / file).unlink()
        return place

    return make


def folds(text: str, name: str = "folds.json") -> Make:
    def make(folder: Path) -> Path:
        place = without("cmu_tiny_std_folds.py")(folder)
        (place / name).write_text(text, encoding="utf-8")
        return place

    return make


def single(folder: Path) -> Path:
    return write_csd(folder) / AUDIO


SEQUENCES: Mapping[str, Make] = {
    "one sequence alone": single,
    "half a sequence": cut(write_csd, 0.5, AUDIO),
    "a sequence that is none": csd(AUDIO, lambda opened, _: opened.pop("COVAREP") and None),
    "a link to another file": relinked(lambda folder: h5py.ExternalLink(str(folder / "secret.h5"), "/x")),
    "a soft link": relinked(lambda folder: h5py.SoftLink("/COVAREP/data/b/features")),
    "a virtual array": csd(AUDIO, virtual),
    "values in another file": csd(AUDIO, external),
    "a terabyte that is not there": remade(shape=(2**20, 2**18), dtype=np.float32),
    "a gigabyte of zeros": remade(shape=(2**18, 2**10), dtype=np.float32, chunks=(2**10, 2**10), compression="gzip"),
    "an unusual filter": remade(data=np.ones((60, 4)), compression="lzf"),
    "strings of any length": remade(data=["a"] * 60, dtype=h5py.string_dtype()),
    "frames without times": csd(AUDIO, lambda opened, _: opened["COVAREP/data/a"].pop("intervals") and None),
    "segments that all overlap": csd(LABELS, overlapping),
    "no labels": without(LABELS),
    "no words": without("CMU_TINY_TimestampedWords.csd", "CMU_TINY_TimestampedWordVectors.csd"),
    "unknown videos": without("cmu_tiny_std_folds.py"),
    "folds that are none": folds('{"train": ["a"], "valid": 1}'),
    "folds that share a video": folds('{"train": ["a"], "valid": ["a", "b"], "test": ["c"]}'),
    "folds nested without end": folds("[" * 100_000),
    "folds of other videos": folds('{"train": ["x"], "valid": ["y"], "test": ["w"]}'),
}


# Our own folder.


def manifest(change: Callable[[dict[str, Any]], object]) -> Make:
    def make(folder: Path) -> Path:
        place = write_converted(folder)
        content = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
        change(content)
        (place / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
        return place

    return make


def in_folder(change: Callable[[Path], object]) -> Make:
    def make(folder: Path) -> Path:
        place = write_converted(folder)
        change(place)
        return place

    return make


def flip(file: str) -> Callable[[Path], object]:
    """Change one bit of the last byte."""

    def change(place: Path) -> None:
        content = bytearray((place / file).read_bytes())
        content[-1] ^= 1
        (place / file).write_bytes(content)

    return change


def linked(place: Path) -> None:
    (place / "train.text.npy").rename(place.parent / "elsewhere.npy")
    (place / "train.text.npy").symlink_to(place.parent / "elsewhere.npy")


def without_arrays(place: Path) -> None:
    for path in place.glob("*.npy"):
        path.unlink()


def objects(place: Path) -> None:
    np.save(place / "train.text.npy", np.array([{}, []], dtype=object), allow_pickle=True)


def empty(folder: Path) -> Path:
    (folder / "data").mkdir()
    return folder / "data"


FOLDERS: Mapping[str, Make] = {
    "an empty folder": empty,
    "a manifest alone": in_folder(without_arrays),
    "no manifest": in_folder(lambda place: (place / "manifest.json").unlink()),
    "a manifest that is no JSON": in_folder(lambda place: (place / "manifest.json").write_text("{", encoding="utf-8")),
    "a manifest nested without end": in_folder(
        lambda place: (place / "manifest.json").write_text('{"a":' * 99_999, encoding="utf-8")
    ),
    "a later schema": manifest(lambda content: content.update(schema=99)),
    "another format": manifest(lambda content: content.update(format="x")),
    "a missing split": manifest(lambda content: content["splits"].pop("valid")),
    "a changed label": in_folder(flip("test.labels.npy")),
    "a changed feature": in_folder(flip("train.audio.npy")),
    "a changed id": in_folder(flip("valid.id.json")),
    "half an array": cut(write_converted, 0.5, "train.vision.npy"),
    "an array of objects": in_folder(objects),
    "a link out of the folder": in_folder(linked),
    "another shape": manifest(lambda content: content["splits"]["train"]["arrays"]["text"].update(shape=[2**40, 4, 5])),
    "another type": manifest(lambda content: content["splits"]["train"]["arrays"]["text"].update(dtype="object")),
    "another digest": manifest(lambda content: content.update(digest="0" * 64)),
    "another label range": manifest(lambda content: content.update(label_range=[-1, 1])),
}

BAD_LABELS = ("labels beyond a float", "labels that are not finite", "seven emotions")

MALFORMED = {**PICKLES, **SEQUENCES, **FOLDERS}


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Ends what takes longer."""

    def end(*_: object) -> None:
        raise AssertionError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_there_are_many_of_them() -> None:
    assert len(MALFORMED) >= 40


@pytest.mark.parametrize("kind", MALFORMED)
def test_it_is_refused_in_one_line_and_leaves_nothing(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = MALFORMED[kind](tmp_path)
    before = {*tmp_path.rglob("*")}
    monkeypatch.chdir(tmp_path)
    for command in (("data", "inspect", path), ("data", "convert", path, tmp_path / "out" / "put")):
        with at_most(LONGEST_S):
            done = bench(command, capsys, monkeypatch)
        if kind in BAD_LABELS and command[1] == "inspect":
            assert "Features as stored" in done.out  # everything else is shown
            done = replace(done, out="")
        line = done.refusal()
        assert line.count(": expected ") >= 1, line
        assert "; " in line, line  # what to do
        assert line.isprintable()
        assert len(line) < 700
    assert {*tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    "content", [pickle.dumps({"w": [1]}), b"", b"\x10\0\0\0\0\0\0\0{}", b"\xff" * 99, b"\2\0\0\0\0\0\0\0{}"]
)
def test_a_checkpoint_that_is_no_safetensors_file_is_refused(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_mmsa(tmp_path)
    checkpoint = tmp_path / "weights.safetensors"
    checkpoint.write_bytes(content)
    words = ("run", "--protocol", "clean", "--model", "late-fusion", "--data", data, "--checkpoint", checkpoint)
    done = bench((*words, "--results", tmp_path / "results"), capsys, monkeypatch)
    assert "expected its weights as a safetensors file" in done.refusal()
    assert not (tmp_path / "results").exists()


def test_csd_videos_are_what_the_table_changes() -> None:
    assert csd_video("a")["COVAREP"][0].shape == (60, 4)
