"""Labels of classes: what is recognised, what the options decide, and what is refused with advice that works."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from classdata import SIZES, emotions, labelled
from commandline import Done, bench
from dataformats import dump
from numpy.typing import NDArray
from tinydata import mmsa_content

from qamoe_bench import load_data
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import as_dataset, read
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.errors import BenchError
from qamoe_bench.page.provenance import command
from qamoe_bench.run.grid import Grid
from qamoe_bench.run.study import load_study

Bench = Callable[..., Done]
Make = Callable[[int], object]
NAMES = ("happy", "sad", "angry", "neutral")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The command, in this process."""
    return lambda *arguments: bench(arguments, capsys, monkeypatch)


def load(path: Path, **options: Any) -> Dataset:
    return as_dataset(read(path), ReadingOptions(**options))


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(BenchError) as caught:
        load(path, **options)
    assert str(caught.value).isprintable()
    return str(caught.value)


def names(count: int) -> list[str]:
    return [NAMES[code] for code in emotions(count)]


def replaced(make: Make, value: object, size: int = SIZES["test"]) -> Make:
    """The first label of one split replaced."""

    def change(count: int) -> object:
        labels: Any = make(count)
        if count == size:
            labels[0] = value
        return labels

    return change


def one_hot(count: int) -> NDArray[np.float64]:
    return np.eye(4)[emotions(count)]


def several(count: int) -> NDArray[np.float64]:
    """Three labels of which any may hold."""
    return np.stack([np.arange(count) % 2, np.arange(count) % 3 == 0, np.arange(count) % 4 > 1], 1).astype(float)


# What is recognised.


@pytest.mark.parametrize(
    ("make", "kind", "expected"),
    [
        (names, "classes", tuple(sorted(NAMES))),
        (lambda count: np.array(names(count)), "classes", tuple(sorted(NAMES))),
        (lambda count: np.array(names(count), "S7")[:, None], "classes", tuple(sorted(NAMES))),
        (one_hot, "classes", tuple("0123")),
        (lambda count: one_hot(count).astype(bool)[:, None], "classes", tuple("0123")),
        (several, "multi-label", tuple("012")),
        (lambda count: np.eye(2)[several(count).astype(int)], "multi-label", tuple("012")),
    ],
)
def test_labels_that_leave_no_doubt_are_read_without_options(
    make: Make, kind: str, expected: tuple[str, ...], tmp_path: Path
) -> None:
    data = load(labelled(tmp_path / "x.pkl", make))
    assert (data.task.kind, data.task.names) == (kind, expected)
    target = data.splits["test"].target.tolist()
    if kind == "multi-label":
        assert target == (several(SIZES["test"]) @ (1, 2, 4)).tolist()
    else:
        wanted = [NAMES[code] for code in emotions(SIZES["test"])]
        codes = [data.task.names.index(name) for name in wanted] if "sad" in expected else emotions(SIZES["test"])
        assert target == list(map(float, codes))
    assert data.spec.task == data.task


def test_spellings_of_one_class_are_joined(tmp_path: Path) -> None:
    data = load(labelled(tmp_path / "x.pkl", replaced(names, " Happy ", SIZES["train"])))
    assert data.task.names == tuple(sorted(NAMES))
    assert "labels: spellings of one class were joined: 'Happy', 'happy'." in data.notes
    assert (
        load(labelled(tmp_path / "x.pkl", names), classes=("HAPPY", "sad", "angry", "neutral")).task.names[0] == "HAPPY"
    )


def test_texts_that_are_no_names_of_classes_are_refused(tmp_path: Path) -> None:
    message = refusal(labelled(tmp_path / "x.pkl", lambda count: [f"sentence {count} {n}" for n in range(count)]))
    assert "expected names of at most 100 classes, each of several samples, got 72 different texts" in message


# What the options decide.


def test_numbers_are_classes_by_option(tmp_path: Path) -> None:
    path = labelled(tmp_path / "x.pkl", emotions)
    data = load(path, task="classes")
    assert data.task.names == ("0", "1", "2", "3")
    assert data.notes[0] == "labels: 4 classes by their numbers: 0, 1, 2, 3; --classes names them."
    assert load_data(path, classes=NAMES).task.names == NAMES
    assert load(path, classes=NAMES, task="classes").digest == load(path, classes=NAMES).digest != data.digest
    assert load(path, label_range=(0, 3)).task.is_regression
    assert load(path, task="regression").label_range == (-3, 3)


@pytest.mark.parametrize(
    ("values", "given", "note"),
    [
        ((-1, 1), ("no", "yes"), "labels: classes in the order of their numbers: -1 = no, 1 = yes."),
        ((-1, 0, 1), ("bad", "so", "good"), "labels: classes in the order of their numbers: -1 = bad, 0 = so, 1 ="),
        ((1, 2, 3), ("a", "b", "c"), "labels: classes in the order of their numbers: 1 = a, 2 = b, 3 = c."),
        ((0, 2), ("a", "b", "c"), "labels: no sample is of the class 'b'."),
    ],
)  # fmt: skip
def test_names_stand_for_numbers_in_their_order(
    values: tuple[int, ...], given: tuple[str, ...], note: str, tmp_path: Path
) -> None:
    path = labelled(tmp_path / "x.pkl", lambda count: np.array(values)[np.arange(count) % len(values)])
    data = load(path, task="classes", classes=given)
    assert data.task.names == given
    assert any(line.startswith(note) for line in data.notes)
    codes = [value if 0 in values and -1 not in values else i for i, value in enumerate(values)]
    assert data.splits["test"].target[: len(values)].tolist() == codes


def test_the_six_emotions_of_mosei_are_labels_by_option(tmp_path: Path) -> None:
    strengths = np.random.default_rng(0).integers(0, 4, (40, 6)) / 3

    def make(count: int) -> NDArray[np.float64]:
        return np.concatenate([np.linspace(-3, 3, count)[:, None], strengths[:count]], 1)

    path = labelled(tmp_path / "x.pkl", lambda count: make(count)[:, None])
    assert load(path).task.is_regression
    data = load(path, task="multi-label")
    assert data.task.names == ("happy", "sad", "anger", "surprise", "disgust", "fear")
    assert data.splits["test"].target.tolist() == ((strengths[:20] > 0) @ 2.0 ** np.arange(6)).tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"task": "classes", "label_range": (0, 3)}, "--label-range 0 3: expected a scale for regression, got it with"),
        (
            {"task": "multi-label", "label_range": (0, 3)},
            "got it with --task multi-label, whose labels have none; drop",
        ),
        ({"classes": ("a", "b"), "label_range": (0, 3)}, "got it with --classes, whose labels have none; drop one"),
        ({"classes": ("a", "b"), "task": "regression"}, "--classes: expected --task classes or multi-label, got regr"),
        ({"classes": ("a",)}, "--classes 'a': expected at least two different names with commas between"),
        ({"classes": ("a", "")}, "expected at least two different names"),
        ({"classes": ("a", " A")}, "expected at least two different names"),
        ({"task": "class"}, "unknown task 'class': expected one of classes, multi-label, regression; did you mean"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(BenchError, match=re.escape(expected)):
        ReadingOptions(**options)


# What is refused, with advice that works.

BAD: dict[str, tuple[Make, dict[str, Any], str]] = {
    "unknown name": (replaced(names, "hapy"), {"classes": NAMES}, "got 'hapy' in test 'test0'; did you mean 'happy'?"),
    "missing name": (replaced(names, ""), {}, "expected the name of a class, got '' in test 'test0'; leave out 1 of"),
    "no name": (replaced(names, None), {}, "expected the name of a class, got NoneType in test 'test0'; leave out 1"),
    "too few names": (emotions, {"classes": NAMES[:3]}, "name all 4 classes with --classes in the order of their"),
    "out of range": (
        replaced(emotions, 7), {"classes": NAMES}, "class indices from 0 to 3, since there are 4 names, got 7 in test",
    ),
    "negative": (
        replaced(emotions, -1), {"task": "classes"}, "expected whole numbers from 0 as classes, got -1 in test 'test0'",
    ),
    "negative beside names": (replaced(emotions, -1), {"classes": NAMES}, "class indices from 0 to 3, since there are"),
    "NaN": (
        replaced(lambda count: emotions(count).astype(float), np.nan), {"task": "classes"}, "got nan in test 'test0'",
    ),
    "half": (
        replaced(lambda count: emotions(count).astype(float), 0.5), {"task": "classes"}, "got 0.5 in test 'test0'",
    ),
    "row without 1": (replaced(one_hot, [0] * 4), {"task": "classes"}, "got [0 0 0 0] in test 'test0'; read any"),
    "row with two": (replaced(one_hot, [1, 1, 0, 0]), {"task": "classes"}, "one 1 in each row of 4 columns, got [1 1"),
    "NaN in a row": (replaced(one_hot, [np.nan] * 4), {}, "got [nan nan nan nan] in test 'test0'; leave out 1 of 72"),
    "negative strength": (replaced(several, [-1, 0, 1]), {"task": "multi-label"}, "got [-1 0 1] in test 'test0'; "),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_labels_are_named_and_may_be_left_out(kind: str, tmp_path: Path) -> None:
    make, options, expected = BAD[kind]
    path = labelled(tmp_path / "x.pkl", make)
    message = refusal(path, **options)
    assert expected in message
    (drop,) = re.findall(r"leave out (\d+) of 72 samples with --drop-bad-labels", message)
    data = load(path, drop_bad_labels=True, **options)
    assert sum(map(len, data.splits.values())) == 72 - int(drop)
    # The other advice of the line works as well.
    if "--task multi-label" in message:
        assert load(path, task="multi-label").task.kind == "multi-label"
    for given in re.findall(r"name all with --classes (\S+)", message):
        assert load(path, classes=tuple(given.split(","))).task.kind == "classes"


@pytest.mark.parametrize(
    ("make", "options", "expected"),
    [
        (one_hot, {"classes": NAMES[:3]}, "expected a name for each of 4 columns (--classes), got 3; name all"),
        (several, {"classes": NAMES}, "expected a name for each of 3 columns (--classes), got 4; name all"),
        (emotions, {"task": "multi-label"}, "expected a column per label, [N, C], got shape (40,); read one label per"),
        (names, {"task": "multi-label"}, "expected a column per label, [N, C], got shape (40,); read one label per"),
        (several, {"task": "classes"}, "expected one 1 in each row of 3 columns, got [1 1 1] in train 'train3'"),
        (
            lambda count: np.random.default_rng(0).random(count),
            {"task": "classes"},
            "got 0 different ones; read labels",
        ),
        (lambda count: ["happy"] * count, {}, "samples of at least 2 classes, got only 'happy'"),
        (
            lambda count: np.arange(count) % 4 * (count != 40),
            {"task": "classes"},
            "of at least 2 classes, got only '0'",
        ),
    ],
)
def test_labels_of_another_task_are_refused(make: Make, options: dict[str, Any], expected: str, tmp_path: Path) -> None:
    assert expected in refusal(labelled(tmp_path / "x.pkl", make), **options)


def test_classes_that_no_training_sample_has_are_noted(tmp_path: Path) -> None:
    data = load(labelled(tmp_path / "x.pkl", replaced(names, "afraid")))
    assert data.task.names == ("afraid", *sorted(NAMES))
    assert "labels: class 'afraid' is in test, and no training sample has it." in data.notes
    assert data.spec.class_shares[0] == 0
    path = labelled(tmp_path / "x.pkl", lambda count: several(count) * [1, 1, count != 40])
    assert "labels: label '2' holds for no training sample." in load(path).notes


def test_features_of_left_out_samples_are_left_out_too(tmp_path: Path) -> None:
    data = load(labelled(tmp_path / "x.pkl", replaced(names, "")), drop_bad_labels=True)
    assert data.splits["test"].ids[0] == "test1"
    expected = mmsa_content()["test"]["audio"][1:]
    np.testing.assert_array_equal(data.splits["test"].features["audio"], expected)


# On the command line, in studies and in what is recorded.


def test_the_printed_options_read_whole_numbers(tmp_path: Path, run: Bench) -> None:
    path = labelled(tmp_path / "x.pkl", emotions)
    done = run("data", "inspect", path)
    assert done.code == 2
    options = re.findall(r"with (--label-range \S+ [\d.]+|--task classes)", done.err)
    assert options == ["--task classes", "--label-range 0 3"]
    kinds = []
    for option in options:
        inspected = json.loads(run("data", "inspect", path, "--json", *shlex.split(option)).out)
        kinds.append(inspected["task"]["kind"])
    assert kinds == ["classes", "regression"]
    assert inspected["label_range"] == [-1.5, 1.5]


def test_a_study_has_the_task_and_its_classes(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    start = 'schema = 1\nprotocols = ["clean"]\nmodels = ["mean"]\n'
    study.write_text(f'{start}task = "classes"\nclasses = ["sad", "ask for help"]\n', encoding="utf-8")
    (located,) = load_study(study, Grid())
    assert located.request.reading == ReadingOptions(task="classes", classes=("sad", "ask for help"))
    (located,) = load_study(study, Grid(classes=("a", "b")))
    assert located.request.reading.classes == ("a", "b")
    words = command({"seeds": [1], "reading": {"task": "classes", "classes": ["sad", "ask for help"]}})
    assert words.endswith("--task classes --classes 'sad,ask for help'")
    for line, expected in (
        ('task = "class"', "'task': unknown task 'class'"),
        ("classes = []", "'classes': expected a list of names, got []"),
        ('task = "classes"\nlabel_range = [1, 7]', "study.toml: --label-range 1 7: expected a scale for regression"),
    ):
        study.write_text(f"{start}{line}\n", encoding="utf-8")
        with pytest.raises(BenchError, match=re.escape(expected)):
            load_study(study, Grid())


def test_files_of_sentiments_are_read_as_before(tmp_path: Path) -> None:
    path = dump(tmp_path / "x.pkl", mmsa_content())
    assert load(path).digest == load(path, task="regression").digest
    assert load(path).task.is_regression
