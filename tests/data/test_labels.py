"""Labels become one sentiment per sample, or are refused with the samples and an option that reads the file."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Done, bench
from dataformats import dump
from numpy.typing import NDArray
from tinydata import mmsa_content

from qamoe_bench import load_data
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.label_scale import look_of_classes, scale_note, suggested_range
from qamoe_bench.data.open import as_dataset, open_dataset, read
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.dialects import DIALECTS, scores
from qamoe_bench.page.provenance import command
from qamoe_bench.run.planner import plan
from qamoe_bench.run.remote import pack_call, store_marker
from qamoe_bench.run.request import Request
from qamoe_bench.store.store import Store

Bench = Callable[..., Done]
Labels = NDArray[np.float64]
SAMPLES = 72  # of the tiny data set, over all splits


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The command, in this process."""
    return lambda *arguments: bench(arguments, capsys, monkeypatch)


def write(tmp_path: Path, make: Callable[[Labels], object], key: str = "regression_labels") -> Path:
    """The tiny data set with labels made from sentiments in [-3, 3]."""
    content: dict[str, dict[str, Any]] = mmsa_content()
    for part in content.values():
        part[key] = make(part.pop("regression_labels").astype(np.float64))
    return dump(tmp_path / "tiny.pkl", content)


def load(path: Path, **options: Any) -> Dataset:
    return as_dataset(read(path), ReadingOptions(**options))


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(BenchError) as caught:
        load(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def classes(count: int, start: int = 0) -> Callable[[Labels], Labels]:
    return lambda y: (start + np.arange(len(y)) % count).astype(np.float64)


def with_some(*values: float) -> Callable[[Labels], Labels]:
    """The first labels of each split replaced."""

    def change(y: Labels) -> Labels:
        y[: len(values)] = values
        return y

    return change


# Another scale.

SCALES = {
    (1, 7): lambda y: np.clip(y + 4, 1, 7),
    (1, 5): lambda y: np.clip(y * 2 / 3 + 3, 1, 5),
    (0, 100): lambda y: (y + 3) / 6 * 100,
    (0, 10): lambda y: (y + 3) / 6 * 10,
}


@pytest.mark.parametrize("scale", SCALES)
def test_a_scale_is_suggested_and_then_read_around_its_middle(scale: tuple[int, int], tmp_path: Path) -> None:
    path = write(tmp_path, SCALES[scale])
    low, high = scale
    message = refusal(path)
    assert message.endswith(f"read this scale with --label-range {low} {high}")
    data = load(path, label_range=scale)
    half = (high - low) / 2
    assert data.label_range == data.spec.label_range == (-half, half)
    stored = SCALES[scale](mmsa_content()["test"]["regression_labels"].astype(np.float64))
    np.testing.assert_allclose(data.splits["test"].target, stored - (low + high) / 2, atol=1e-5)
    assert data.notes == (scale_note(scale),)


def test_the_note_says_what_metrics_mean_on_the_scale() -> None:
    assert "divide at 4" in scale_note((1, 7))
    assert "ACC7 are its seven" in scale_note((1, 7))
    assert "ACC5 are its five" in scale_note((1, 5))
    for scale in ((0, 100), (0, 10), (0, 1)):
        assert "ACC5 and ACC7, whose classes are whole steps from -3 to 3, do not apply" in scale_note(scale)


def test_the_choice_changes_the_digest_and_the_python_face_has_it(tmp_path: Path) -> None:
    path = write(tmp_path, lambda y: y)
    assert load(path).digest == load(path, label_range=(-3, 3)).digest
    assert len({load(path, label_range=(-3, high)).digest for high in (3, 4, 5)}) == 3
    assert load_data(path, label_range=(-5, 5)).label_range == (-5, 5)


@pytest.mark.parametrize("scale", [(7, 1), (1, 1), (float("nan"), 1), (0, float("inf"))])
def test_a_scale_that_is_none_is_refused(scale: tuple[float, float]) -> None:
    with pytest.raises(BenchError, match="--label-range .*: expected two numbers in ascending order"):
        ReadingOptions(scale)


def test_labels_outside_of_a_given_scale_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, SCALES[1, 7])
    message = refusal(path, label_range=(1, 5))
    assert "expected labels from 1 to 5 (--label-range), got " in message
    assert message.endswith("read this scale with --label-range 1 7")


def test_data_whose_scale_is_known_take_no_other(tmp_path: Path, run: Bench) -> None:
    words = ("run", "--protocol", "clean", "--model", "mean", "--results", tmp_path / "r", "--label-range", 1, 7)
    assert "data 'synthetic': expected no --label-range" in run(*words).refusal()
    path = write(tmp_path, SCALES[1, 7])
    assert run("data", "convert", path, tmp_path / "folder", "--label-range", 1, 7).code == 0
    assert "data 'tiny': expected no --label-range" in refusal(tmp_path / "folder", label_range=(1, 7))
    assert load(tmp_path / "folder").digest == load(path, label_range=(1, 7)).digest


@pytest.mark.parametrize("scale", [(0.1, 0.9), (0, 100), (1, 7)])
def test_a_centred_scale_survives_conversion(scale: tuple[float, float], tmp_path: Path, run: Bench) -> None:
    low, high = scale
    path = write(tmp_path, lambda y: low + (high - low) * np.linspace(0, 1, len(y)))
    done = run("data", "convert", path, tmp_path / "folder", "--label-range", low, high)
    assert done.code == 0, done.err
    assert "reading: labels: read on the scale from" in done.err
    data = load(tmp_path / "folder")
    assert data.label_range == pytest.approx((-(high - low) / 2, (high - low) / 2))
    assert data.notes == load(path, label_range=scale).notes


# Labels that are missing or outside.


def test_bad_labels_are_named_by_sample_with_split_and_value(tmp_path: Path) -> None:
    path = write(tmp_path, with_some(4.33, 5.0, float("nan")))
    message = refusal(path)
    named = "4.33 in train 'train0', 5 in train 'train1', nan in train 'train2', 4.33 in valid 'valid0', 5 in valid"
    assert f"expected labels from -3 to 3, got {named} 'valid1' and 4 more; " in message
    assert f"leave out 9 of {SAMPLES} samples with --drop-bad-labels" in message
    data = load(path, drop_bad_labels=True)
    assert [len(split) for split in data.splits.values()] == [37, 9, 17]
    assert data.splits["valid"].ids[0] == "valid3"
    (note,) = data.notes
    assert note.startswith("labels: samples without a usable label were left out (--drop-bad-labels), train 3, valid 3")


def test_left_out_samples_are_gone_from_everything(tmp_path: Path) -> None:
    content: dict[str, dict[str, Any]] = mmsa_content()
    for part in content.values():
        count = len(part["id"])
        part["raw_text"] = [f"text {row}" for row in range(count)]
        part["text_bert"] = np.tile([[[2, 5, 3, 0]], [[1, 1, 1, 0]], [[0] * 4]], (1, count, 1)).transpose(1, 0, 2)
        part["text_bert"][:, 0, 1] = np.arange(count)
    whole = as_dataset(read(dump(tmp_path / "whole.pkl", content)))
    content["test"]["regression_labels"][4] = np.nan
    content["test"]["audio_lengths"] = content["test"]["audio_lengths"].tolist()
    data = load(dump(tmp_path / "some.pkl", content), drop_bad_labels=True)
    rows = [row for row in range(20) if row != 4]
    got, expected = data.splits["test"], whole.splits["test"]
    assert got.ids == tuple(expected.ids[row] for row in rows)
    assert got.raw_text == tuple(expected.raw_text[row] for row in rows)
    assert got.tokens is not None
    assert expected.tokens is not None
    assert got.tokens.equal(expected.tokens[rows])
    for m in got.modalities:
        assert got.features[m].equal(expected.features[m][rows])
        assert got.lengths[m].equal(expected.lengths[m][rows])


def test_rows_are_named_where_there_are_no_ids(tmp_path: Path) -> None:
    content: dict[str, dict[str, Any]] = mmsa_content()
    for part in content.values():
        del part["id"]
    content["valid"]["regression_labels"][7] = -np.inf
    assert "got -inf in valid row 7; " in refusal(dump(tmp_path / "tiny.pkl", content))


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda y: [f"{value:.1f}" for value in y], {}),
        (lambda y: np.array([f"{value:.1f}".encode() for value in y]), {}),
        (lambda y: np.array([np.array([value]) for value in y], object), {}),
        (lambda y: [*[f"{value:.1f}" for value in y[:-1]], ""], {"drop_bad_labels": True}),
        (lambda y: np.array([*y[:-1], None], object), {"drop_bad_labels": True}),
        (lambda y: [*y[:-1], "positive"], {"drop_bad_labels": True}),
    ],
)
def test_numbers_are_read_however_they_are_stored(
    make: Callable[[Labels], object], options: dict[str, Any], tmp_path: Path
) -> None:
    path = write(tmp_path, make)
    if options:
        assert "with --drop-bad-labels" in refusal(path)
    data = load(path, **options)
    count = len(data.splits["test"])
    assert count == (19 if options else 20)
    expected = mmsa_content()["test"]["regression_labels"][:count]
    np.testing.assert_allclose(data.splits["test"].target, expected, atol=1e-6)


def test_words_are_no_labels_on_a_scale(tmp_path: Path) -> None:
    path = write(tmp_path, lambda y: ["positive" if value > 0 else "negative" for value in y])
    for options in ({"task": "regression"}, {"label_range": (0, 1)}):
        message = refusal(path, **options)
        assert re.search("expected numbers, got others, such as '(posi|nega)tive'; store the sentiment", message)
        assert message.endswith("or read names of classes with --task classes")
    assert load(path, task="classes").task.names == ("negative", "positive")


def test_a_scale_with_gaps_needs_both_options_and_the_message_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, lambda y: with_some(float("nan"))(SCALES[1, 7](y)))
    message = refusal(path)
    assert message.endswith(
        f"read this scale with --label-range 1 7, and leave out 3 of {SAMPLES} samples with --drop-bad-labels"
    )
    assert len(load(path, label_range=(1, 7), drop_bad_labels=True).splits["test"]) == 19


def test_no_samples_are_left_out_where_none_would_remain(tmp_path: Path) -> None:
    path = write(tmp_path, lambda y: y * np.nan)
    assert "drop" not in refusal(path)
    assert "expected at least 2 samples with a label, got 0 of 40" in refusal(path, drop_bad_labels=True)


# Classes.

CLASSES = {
    "humour": (classes(2), "only 0 and 1, as two classes", "--label-range 0 1"),
    "sarcasm": (lambda y: np.where(y > 0, 1, -1), "only -1 and 1, as two classes", "--label-range -1 1"),
    "truth values": (lambda y: y > 0, "only 0 and 1, as two classes", "--label-range 0 1"),
    "four classes": (classes(4), "only whole numbers from 0 to 3, as class numbers", "--label-range 0 3"),
    "six classes": (classes(6), "only whole numbers from 0 to 5, as class numbers", "--label-range 0 5"),
    "seven points": (classes(7, 1), "only whole numbers from 1 to 7, as class numbers", "--label-range 1 7"),
    "as text": (lambda y: [str(int(value > 0)) for value in y], "only 0 and 1, as two classes", "--label-range 0 1"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_whole_numbers_are_refused_until_the_options_say_what_they_are(name: str, tmp_path: Path) -> None:
    make, look, option = CLASSES[name]
    path = write(tmp_path, make)
    message = refusal(path)
    assert f"expected a sentiment in [-3, 3], got {look}" in message
    assert message.endswith(f"if they are classes, read them with --task classes, if they are a scale, with {option}")
    assert load(path, task="classes").task.kind == "classes"
    low, high = map(float, option.split()[1:])
    assert load(path, label_range=(low, high)).label_range == (-(high - low) / 2, (high - low) / 2)


@pytest.mark.parametrize(
    "make",
    [
        lambda y: np.round(y),
        lambda y: np.sign(y),  # -1, 0 and 1: a coarse sentiment
        lambda y: np.round(y * 5 / 3) / 5,
        lambda y: np.abs(y),
        lambda y: np.zeros(len(y)),
    ],
)
def test_sentiments_are_not_taken_for_classes(make: Callable[[Labels], object], tmp_path: Path) -> None:
    assert load(write(tmp_path, make)).label_range in ((-3, 3), (-1, 1))


def test_labels_without_a_negative_one_are_noted(tmp_path: Path) -> None:
    (note,) = load(write(tmp_path, lambda y: np.abs(y) / 3)).notes
    assert note.startswith("labels: none is negative;")


def test_few_samples_that_look_like_classes_by_chance_are_noted(tmp_path: Path) -> None:
    content: dict[str, dict[str, Any]] = mmsa_content()
    for part in content.values():
        part.update({key: values[:4] for key, values in part.items()})
        part["regression_labels"] = np.array([0, 1, 2, 0])
    (note,) = load(dump(tmp_path / "few.pkl", content)).notes
    assert note.startswith(
        "labels: only whole numbers from 0 to 2, as class numbers are; they were read as a sentiment, and --task "
    )


def test_looks_and_suggestions_on_edges() -> None:
    assert look_of_classes(np.array([1.0, 1.0])) == ""
    assert look_of_classes(np.array([0.0, 50.0])) == ""
    assert suggested_range(np.array([])) is None
    assert suggested_range(np.array([-3.0, 5.0])) is None
    assert suggested_range(np.array([0.0, 1000.0])) is None


# Several columns.


def columns(*shape: int, seed: int = 0, top: int = 4) -> Callable[[Labels], object]:
    """Strengths of emotions in thirds, [N, *shape]."""
    return lambda y: np.random.default_rng(seed).integers(0, top, (len(y), *shape)) / 3


def all_labels(*axes: int) -> Callable[[Labels], object]:
    """CMU-MOSEI's seven columns, sentiment first."""
    return lambda y: np.concatenate([y[:, None], np.asarray(columns(6)(y))], 1).reshape(len(y), *axes, 7)


@pytest.mark.parametrize("axes", [(), (1,), (1, 1)])
@pytest.mark.parametrize("key", ["regression_labels", "labels"])
def test_the_first_of_seven_columns_is_the_sentiment(axes: tuple[int, ...], key: str, tmp_path: Path) -> None:
    data = load(write(tmp_path, all_labels(*axes), key))
    np.testing.assert_allclose(data.splits["test"].target, mmsa_content()["test"]["regression_labels"])
    (note,) = data.notes
    assert note.startswith(
        "labels: of 7 columns the first, sentiment, was taken; the others are emotions, which --task"
    )


STRENGTHS = {
    "strengths": (columns(6), "shape (40, 6)"),
    "strengths with an axis": (columns(1, 6), "shape (40, 6)"),
    "seven strengths": (columns(7), "shape (40, 7)"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRENGTHS)
def test_strengths_are_refused_until_the_options_say_that_they_are_labels(name: str, tmp_path: Path) -> None:
    make, shape = STRENGTHS[name]
    path = write(tmp_path, make, "labels")
    for options in ({}, {"label_range": (0, 1)}):
        message = refusal(path, **options)
        assert (
            f"expected one sentiment per sample, got several columns ({shape}); read them with --task multi" in message
        )
    data = load(path, task="multi-label")
    assert data.task.names == tuple(map(str, range(int(shape[-2]))))
    assert "labels: a label holds where its column is above 0." in data.notes


@pytest.mark.parametrize("make", [lambda y: np.eye(4)[np.arange(len(y)) % 4], lambda y: np.eye(2)[(y > 0).astype(int)]])
def test_one_hot_columns_have_no_scale(make: Callable[[Labels], object], tmp_path: Path) -> None:
    path = write(tmp_path, make)
    assert "expected one sentiment per sample, got several columns" in refusal(path, label_range=(0, 1))
    assert load(path).task.kind == "classes"


def test_other_columns_are_refused_with_advice_that_works(tmp_path: Path) -> None:
    path = write(tmp_path, lambda y: np.stack([y, y, -y], 1))
    assert "expected one label per sample, got shape (40, 3); keep the sentiment column only" in refusal(path)
    assert load(write(tmp_path, lambda y: np.stack([y, y, -y], 1)[:, :1])).label_range == (-3, 3)


# On the command line.


@pytest.mark.parametrize(
    "make",
    [SCALES[1, 7], SCALES[0, 100], with_some(float("nan")), with_some(5), classes(2), lambda y: columns(6)(y)],
)
def test_inspect_shows_everything_else_and_ends_with_the_error(
    make: Callable[[Labels], object], tmp_path: Path, run: Bench
) -> None:
    path = write(tmp_path, make)
    done = run("data", "inspect", path)
    assert done.code == 2
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert line == f"error: {refusal(path)}"
    assert "Features as stored" in done.out
    assert "train audio" in done.out
    inspected = json.loads(run("data", "inspect", path, "--json").out)
    assert inspected["defect"] == refusal(path)
    assert len(inspected["features"]) == 9
    assert inspected["digest"] == ""
    if inspected["label_range"]:
        assert [part["samples"] for part in inspected["labels"]] == [40, 12, 20]


@pytest.mark.parametrize("make", [SCALES[1, 7], with_some(4), with_some(float("nan")), classes(2), classes(5)])
@pytest.mark.parametrize("command", ["inspect", "convert", "run"])
def test_the_printed_options_read_the_file(
    make: Callable[[Labels], object], command: str, tmp_path: Path, run: Bench
) -> None:
    path = write(tmp_path, make)
    words = {
        "inspect": ("data", "inspect", path),
        "convert": ("data", "convert", path, tmp_path / "out"),
        "run": ("run", "--data", path, "--protocol", "clean", "--model", "mean", "--seeds", 1, "--dry-run"),
    }[command]
    done = run(*words)
    assert done.code == 2
    options = re.findall(r"with (--label-range \S+ [\d.]+|--drop-bad-labels|--task classes)", done.err)
    for number, option in enumerate(options if command != "run" else options[-1:]):
        place = [f"{word}{number}" if word == tmp_path / "out" else word for word in words]
        assert run(*place, *shlex.split(option)).code == 0


def test_a_run_prints_and_records_the_reading_and_leaves_acc7_undefined(tmp_path: Path, run: Bench) -> None:
    path = write(tmp_path, SCALES[0, 100])
    words = ("run", "--protocol", "random-missing", "--model", "mean", "--seeds", 1, "--data", path, "--jobs", 1)
    done = run(*words, "--results", tmp_path / "r", "--label-range", 0, 100)
    assert done.code == 0, done.err
    assert f"note: data tiny: {scale_note((0, 100))}" in done.err
    (manifest,) = Store(tmp_path / "r").manifests()
    assert manifest["data"]["notes"] == [scale_note((0, 100))]
    assert manifest["request"]["reading"]["label_range"] == [0, 100]
    assert "--label-range 0 100" in command(manifest["request"])
    # Warnings are errors in tests, so nothing computed with the undefined values.
    assert "acc7 is undefined: its classes are whole steps from -3 to 3" in " ".join(done.out.split())
    assert run("report", "--results", tmp_path / "r", "--format", "html", "--output", tmp_path / "p.html").code == 0
    assert run("figures", "--results", tmp_path / "r", "--output", tmp_path / "f").code == 0
    assert {"acc2_non0", "mae"} <= {name for path in (tmp_path / "f").glob("*.png") for name in path.stem.split("-")}


def test_metrics_of_whole_steps_are_defined_on_scales_that_have_them() -> None:
    dialect = DIALECTS["mmsa"]
    for half in (1.0, 2.0, 3.0):
        assert dialect.on_scale(np.array([-half, 0, half])) == dialect
    for half in (0.5, 3.5, 50.0):
        fitted = dialect.on_scale(np.array([-half, 0, half]))
        columns = {"prediction": np.zeros(3), "target": np.array([-half, 0, half])}
        values = scores(fitted, columns)
        assert [name for name, value in values.items() if np.isnan(value)] == ["acc5", "acc7", "corr"]
        assert list(values) == list(dialect.definitions)


def test_workers_in_other_processes_read_the_file_alike(tmp_path: Path, run: Bench) -> None:
    path = write(tmp_path, lambda y: with_some(float("nan"))(SCALES[1, 7](y)))
    options = ("--label-range", 1, 7, "--drop-bad-labels", "--protocol", "clean", "--model", "mean", "--seeds", "1,2")
    for executor, jobs in (("local", ()), ("processes", ("--jobs", 2))):
        where = ("--executor", executor, *jobs, "--results", tmp_path / executor)
        done = run("run", "--data", path, *options, *where)
        assert done.code == 0, done.err
    local, processes = (Store(tmp_path / executor).cells() for executor in ("local", "processes"))
    assert {c.cell.key for c in local} == {c.cell.key for c in processes}
    assert {c.cell.data_digest for c in local} == {load(path, label_range=(1, 7), drop_bad_labels=True).digest}


def test_a_job_for_another_machine_takes_the_reading_along(tmp_path: Path) -> None:
    reading = ReadingOptions((1, 7), drop_bad_labels=True)
    path = write(tmp_path, lambda y: with_some(float("nan"))(SCALES[1, 7](y)))
    (job,) = plan(Request(("clean",), ("mean",), str(path), (1,), device="cpu", reading=reading)).jobs
    store = Store(tmp_path / "r")
    store.prepare("run")
    with store_marker(store, "run") as marker:
        function, *arguments = pack_call(job, store, "run", marker)
        open_dataset.cache_clear()
        assert function(*arguments).evaluated == 1


STUDY = """
schema = 1
protocols = ["clean"]
models = ["mean"]
seeds = [1]
data = ["{path}"]
label_range = {scale}
"""


def test_a_study_names_the_scale(tmp_path: Path, run: Bench) -> None:
    path = write(tmp_path, lambda y: with_some(float("nan"))(SCALES[1, 7](y)))
    study = tmp_path / "study.toml"
    study.write_text(STUDY.format(path=path, scale="[1, 7]") + "drop_bad_labels = true\n", encoding="utf-8")
    assert run("run", study, "--dry-run").code == 0
    study.write_text(STUDY.format(path=path, scale="[1, 5.5]"), encoding="utf-8")
    assert "'data'" in run("run", study, "--dry-run").refusal()
    assert run("run", study, "--dry-run", "--label-range", 1, 7, "--drop-bad-labels").code == 0
    for scale in ("[7, 1]", "[1]", "[1, true]", '["1", "7"]', "7", "[1, nan]"):
        study.write_text(STUDY.format(path=path, scale=scale), encoding="utf-8")
        expected = "'label_range': expected a list of two numbers in ascending order, got "
        assert expected in run("run", study, "--dry-run").refusal()
    study.write_text(STUDY.format(path=path, scale="[1, 7]") + "drop_bad_labels = 1\n", encoding="utf-8")
    assert "'drop_bad_labels': expected true or false, got 1" in run("run", study, "--dry-run").refusal()


def test_two_readings_of_one_file_are_two_data_sets(tmp_path: Path, run: Bench) -> None:
    path = write(tmp_path, lambda y: y)
    study = tmp_path / "study.toml"
    grids = "[[grid]]\nlabel_range = [-5, 5]\n[[grid]]\nlabel_range = [-4, 4]\n"
    study.write_text(STUDY.format(path=path, scale="[-3, 3]") + grids, encoding="utf-8")
    done = run("run", study, "--results", tmp_path / "r", "--executor", "local")
    assert done.code == 0, done.err
    assert len({stored.cell.data_digest for stored in Store(tmp_path / "r").cells()}) == 2


@pytest.mark.parametrize("words", [("cost", "--model", "mean"), ("protocol", "show", "clean")])
def test_every_command_that_opens_a_file_takes_the_scale(words: tuple[str, ...], tmp_path: Path, run: Bench) -> None:
    path = write(tmp_path, SCALES[1, 7])
    assert "with --label-range 1 7" in run(*words, "--data", path).refusal()
    done = run(*words, "--data", path, "--label-range", 1, 7)
    assert done.code == 0, done.err


def test_the_cache_knows_the_options(tmp_path: Path) -> None:
    path = write(tmp_path, lambda y: y)
    wide = open_dataset(str(path), options=ReadingOptions((-5, 5)))
    assert open_dataset(str(path)).label_range == (-3, 3)
    assert wide.label_range == (-5, 5)
