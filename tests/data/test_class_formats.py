"""Files of emotions, intents, humour and sarcasm are read with their task, classes and dialogues."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from classdata import CLASS_FORMATS, INTENTS, SIZES, emotions, labelled, mintrec, mmin
from commandline import Done, bench
from dataformats import dump, read_dataset
from layouts import LAYOUTS

from qamoe_bench.analysis.clusters import BY_IDS
from qamoe_bench.contract import label_indicators
from qamoe_bench.data.known_classes import MINTREC
from qamoe_bench.data.open import open_dataset
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.errors import BenchError

Bench = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The command, in this process."""
    return lambda *arguments: bench(arguments, capsys, monkeypatch)


@pytest.mark.parametrize("name", CLASS_FORMATS)
def test_a_format_is_read_with_its_task_and_dialogues(name: str, tmp_path: Path) -> None:
    write, kind, names, first = CLASS_FORMATS[name]
    data = open_dataset(str(write(tmp_path)))
    assert data.task.kind == kind
    assert data.task.names == (names or MINTREC)
    assert sum(data.spec.class_shares) == pytest.approx(1)
    test = data.splits["test"]
    holds = label_indicators(test.target, data.task)
    assert (holds.sum(1) == 1).all()
    top = 2 ** len(data.task.names) - 1 if kind == "multi-label" else len(data.task.names) - 1
    assert data.label_range == (0, top)
    if first:
        assert test.ids[0] == first
    if "$_$" in first:
        dialogues = {split: {name.partition("$_$")[0] for name in part.ids} for split, part in data.splits.items()}
        if name != "MIntRec":  # whose episodes are in all splits
            assert not dialogues["train"] & (dialogues["valid"] | dialogues["test"])
        clusters = BY_IDS.clusters(data.splits["train"].ids)
        assert clusters is not None
        assert clusters.count == len(dialogues["train"])


def test_labels_and_features_of_an_utterance_belong_together(tmp_path: Path) -> None:
    data = read_dataset(mintrec(tmp_path))
    test = data.splits["test"]
    assert test.ids[:2] == ("S04_E01$_$22", "S04_E02$_$23")
    assert [data.task.names[int(code)] for code in test.target] == [INTENTS[n % 4] for n in range(22, 30)]
    assert test.raw_text[0] == 'it\'s "fine" 22'
    assert test.features["audio"][0, 0, 0] == 23
    assert test.lengths["vision"].tolist() == [1, 2] * 4
    assert data.notes[0].startswith("text: the data have words but no features of them")


def test_the_fold_of_mmin_is_chosen_by_its_path(tmp_path: Path) -> None:
    place = mmin(tmp_path)
    first = read_dataset(place)
    note = f"labels: of 2 folds the first was read, target/1; the path {place / 'target' / '2'} reads another."
    assert note in first.notes
    second = read_dataset(place / "target" / "2")
    assert second.splits["test"].ids[0] == "Ses02F_impro01$_$F000"
    assert read_dataset(place / "target" / "1").digest == first.digest
    assert first.splits["test"].features["audio"][0, 0, 0] == 1
    (place / "target" / "1" / "val_label.npy").unlink()
    with pytest.raises(BenchError, match=r"val_label\.npy: expected an array of numbers as np\.save writes it"):
        read_dataset(place)


def test_training_dialogues_are_held_out_where_there_is_no_validation_split(tmp_path: Path) -> None:
    data = read_dataset(CLASS_FORMATS["GCNet"][0](tmp_path))
    (note,) = [note for note in data.notes if note.startswith("valid: ")]
    assert note == (
        "valid: the files have no validation split; 1 of 3 training dialogues, every 10th by name, were taken."
    )
    assert {name.partition("$_$")[0] for name in data.splits["valid"].ids} == {"Ses03F_impro02"}


def test_emotions_of_mult_may_be_read_as_classes(tmp_path: Path) -> None:
    path = CLASS_FORMATS["MulT"][0](tmp_path)
    data = open_dataset(str(path), options=ReadingOptions(task="classes", classes=("neutral", "happy", "sad", "angry")))
    assert data.splits["test"].target.tolist() == emotions(SIZES["test"]).tolist()
    several = open_dataset(str(path))
    assert several.splits["test"].target.tolist() == (2.0 ** emotions(SIZES["test"])).tolist()


def test_samples_of_lists_keep_names_and_all_seven_columns(tmp_path: Path) -> None:
    path, _ = LAYOUTS["unimse"](tmp_path)
    assert read_dataset(path).task.is_regression
    data = open_dataset(str(path), options=ReadingOptions(task="multi-label"))
    assert set(data.splits["test"].target.tolist()) == {4.0 + 16.0}  # anger and disgust
    lists = {}
    for name, count in SIZES.items():
        frames = np.ones((2, 3))
        words = ["it", "is"]
        lists[name] = [((words, frames, frames), ("calm", "angry")[n % 2], f"{name}[{n}]") for n in range(count)]
    assert read_dataset(dump(tmp_path / "mag.pkl", lists)).task.names == ("angry", "calm")


def test_a_converted_folder_keeps_the_task(tmp_path: Path, run: Bench) -> None:
    path = labelled(tmp_path / "tiny.pkl", lambda count: [("sad", "happy", "angry")[n % 3] for n in range(count)])
    done = run("data", "convert", path, tmp_path / "folder", "--classes", "happy,sad,angry")
    assert done.code == 0, done.err
    options = ReadingOptions(classes=("happy", "sad", "angry"))
    data = open_dataset(str(tmp_path / "folder"))
    assert data.digest == open_dataset(str(path), options=options).digest
    assert data.task.names == options.classes
    assert open_dataset(str(tmp_path / "folder"), options=options).digest == data.digest
    message = run("data", "inspect", tmp_path / "folder", "--classes", "sad,happy,angry").refusal()
    assert "expected no other --task or --classes, because its labels are known to be classes of happy, sad" in message
    assert run("data", "inspect", tmp_path / "folder").code == 0


def test_inspection_shows_classes_and_no_scale(tmp_path: Path, run: Bench) -> None:
    path = labelled(tmp_path / "tiny.pkl", lambda count: np.eye(3)[np.arange(count) % 4 % 3])
    done = run("data", "inspect", path, "--classes", "calm,tense,angry")
    assert done.code == 0, done.err
    assert "3 classes, one per sample" in done.out
    assert "labels from" not in done.out
    row = next(line for line in done.out.splitlines() if "calm" in line and "20" in line)
    assert row.split() == ["calm", "20", "50.0", "6", "50.0", "10", "50.0"]


def test_exported_files_are_of_sentiments_only(tmp_path: Path, run: Bench) -> None:
    path = labelled(tmp_path / "tiny.pkl", lambda count: np.eye(3)[np.arange(count) % 3])
    words = ("export", "--protocol", "clean", "--data", path, "--output", tmp_path / "out", "--seeds", 1)
    assert "expected labels of regression, got classes" in run(*words).refusal()
    assert not (tmp_path / "out").exists()
