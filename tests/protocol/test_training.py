"""The table `[training]` of protocol files: what it means, and messages for mistakes in it."""

from pathlib import Path

import pytest
import torch
from tinydata import make_dataset

from qamoe_bench.curation.protocol_tables import protocol_chapter
from qamoe_bench.errors import BenchError
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.parse import load_protocol, parse_protocol, protocol_names

HEAD = 'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n'
STEP = '[[corruption]]\nkind = "frame-missing"\nrate = "eta"\n'
AXES = f"{HEAD}[axes]\neta = [0.1, 0.5]\n{STEP}"
POINTS = f"{HEAD}[points.a]\neta = 0.5\n[points.b]\n{STEP}"
JOINT = AXES.replace("frame-missing", "gcnet-missing")
SCHEDULE = AXES.replace("frame-missing", "imder-missing")
NOISE = AXES.replace("frame-missing", "gaussian-noise").replace("rate", "level")


def test_by_default_levels_are_shared_and_uniform_over_the_range_of_the_axis() -> None:
    training = parse_protocol("p", AXES).training
    assert training.content == {"levels": "shared", "ranges": {"eta": [0.1, 0.5]}, "untouched": 0.0}
    assert parse_protocol("p", f"{AXES}[training]\n").training == training


def test_the_published_ways_are_stated_in_the_files() -> None:
    lnln = load_protocol("lnln-missing").training
    assert lnln.content == {"levels": "per-modality", "ranges": {"eta": [0.0, 1.0]}, "untouched": 0.5}
    assert "P-RMF" in lnln.source
    shared = load_protocol("frame-missing").training
    assert shared.content == {"levels": "shared", "ranges": {"eta": [0.0, 1.0]}, "untouched": 0.0}
    assert "CMS-Mamba" in shared.source


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (AXES, "one η from U(0.1, 0.5) per sample"),
        (
            f'{AXES}[training]\nlevels = "per-modality"\nuntouched = 0.25\n',
            "one η from U(0.1, 0.5) per modality of a sample; each modality of a sample stays untouched with a chance "
            "of 25 %",
        ),
        (
            f"{POINTS}[training]\nuntouched = 0.5\n",
            "one of the 2 conditions per sample; each sample stays untouched with a chance of 50 %",
        ),
        (SCHEDULE, "one of the levels of η per sample"),
        (HEAD, "the one condition for every sample"),
    ],
)
def test_what_is_drawn_is_said_in_words(text: str, sentence: str) -> None:
    protocol = parse_protocol("p", text)
    assert protocol.training.sentence(protocol.axes, len(protocol.points)) == sentence


def test_draws_per_batch_are_said_to_be_so() -> None:
    lnln = load_protocol("lnln-missing")
    words = lnln.training.sentence(lnln.axes, 0, "batch")
    assert words.startswith("one η from U(0, 1) per modality of a batch; each modality of a batch stays untouched")
    assert load_protocol("clean").training.sentence((), 7, "batch") == "one of the 7 conditions per batch"


def test_the_definition_of_a_protocol_says_what_is_trained_on(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f'{AXES}[training]\nprotocol = "lnln-missing"\n', encoding="utf-8")
    test = TestSet(make_dataset(), 1, torch.device("cpu"))
    for name, words in {
        "fixed-missing": "on this protocol, one of the 7 conditions per sample",
        str(tmp_path / "mine.toml"): "on lnln-missing, one η from U(0, 1) per modality of a sample; each modality of a "
        "sample stays untouched with a chance of 50 % (LNLN (core/dataset.py); P-RMF and TF-Mamba train in the same "
        "way)",
    }.items():
        assert f"Training (regime sweep): {words}" in protocol_chapter(test, load_protocol(name)).lines


def test_training_does_not_change_the_digest_of_a_protocol() -> None:
    assert parse_protocol("p", f"{AXES}[training]\nuntouched = 0.5\n").digest == parse_protocol("p", AXES).digest


def test_another_protocol_is_trained_on_as_its_own_file_says(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(f"{AXES}[training]\nuntouched = 0.5\n", encoding="utf-8")
    (tmp_path / "mine.toml").write_text(f'{POINTS}[training]\nprotocol = "other.toml"\n', encoding="utf-8")
    trained_on = load_protocol(tmp_path / "mine.toml").training_protocol  # relative to the file
    assert (trained_on.name, trained_on.training.untouched) == ("other", 0.5)
    built_in = parse_protocol("p", f'{AXES}[training]\nprotocol = "lnln-missing"\n')
    assert built_in.training_protocol == load_protocol("lnln-missing")
    own = parse_protocol("p", AXES)
    assert own.training_protocol is own


def test_a_protocol_that_trains_on_one_that_trains_on_another_is_refused(tmp_path: Path) -> None:
    for name, other in {"a": "b.toml", "b": "a.toml", "c": "c.toml"}.items():
        (tmp_path / f"{name}.toml").write_text(f'{AXES}[training]\nprotocol = "{other}"\n', encoding="utf-8")
    for name in ("a", "c"):
        with pytest.raises(BenchError, match="name a protocol that is trained on itself"):
            load_protocol(tmp_path / f"{name}.toml")


MISTAKES = [
    (AXES, "levles = 'shared'", "unknown key 'levles'.*did you mean 'levels'"),
    (AXES, "levels = 'per-modalty'", "unknown levels 'per-modalty'.*did you mean 'per-modality'"),
    (AXES, "levels = 3", "unknown levels '3'"),
    (AXES, "levels = ['shared']", "unknown levels "),
    (JOINT, "levels = 'per-modality'", "'gcnet-missing', which decides for all modalities together"),
    (POINTS, "levels = 'per-modality'", r"expected \[axes\].*leave 'levels' out"),
    (HEAD, "levels = 'per-modality'", r"expected \[axes\].*leave 'levels' out"),
    (AXES, "range = [0.0, 1.0]", "expected the ends of each axis in 'range'.*write it as {eta"),
    (AXES, "range = {etta = [0.0, 1.0]}", "unknown axis 'etta'.*did you mean 'eta'"),
    (AXES, "range = {eta = [1.0, 0.0]}", "expected two rising levels from 0 up, at most 1, as the range of 'eta'"),
    (AXES, "range = {eta = [0.0]}", "expected two rising levels"),
    (AXES, "range = {eta = 0.5}", "expected two rising levels"),
    (AXES, "range = {eta = [0.0, 1.5]}", "at most 1, .* got .0.0, 1.5."),
    (AXES, "range = {eta = [-0.1, 0.5]}", "expected two rising levels"),
    (AXES, "range = {eta = [false, true]}", "expected two rising levels"),
    (AXES, "range = {eta = [0.0, nan]}", "expected two rising levels"),
    (AXES, "range = {eta = ['0', '1']}", "expected two rising levels"),
    (NOISE, "range = {eta = [0.0, inf]}", "expected two rising levels from 0 up, below infinity"),
    (POINTS, "range = {eta = [0.0, 1.0]}", "the protocol has no axes; remove it"),
    (SCHEDULE, "range = {eta = [0.0, 0.7]}", "only single levels are defined; remove it"),
    (AXES, "untouched = 1", "a share from 0 to below 1 in 'untouched', got 1"),
    (AXES, "untouched = -0.5", "a share from 0 to below 1"),
    (AXES, "untouched = nan", "a share from 0 to below 1"),
    (AXES, "untouched = '50 %'", "a share from 0 to below 1"),
    (AXES, "untouched = false", "a share from 0 to below 1"),
    (AXES, "source = ''", "expected a sentence in 'source'"),
    (AXES, "source = 5", "expected a sentence in 'source', got 5"),
    (AXES, "protocol = 'frame-mising'", "'protocol': unknown protocol 'frame-mising'.*did you mean 'frame-missing'"),
    (AXES, "protocol = 'absent.toml'", "'protocol': protocol file absent.toml: cannot be read"),
    (AXES, "protocol = 1", "expected the name or path of a protocol in 'protocol', got 1"),
    (AXES, "protocol = ''", "expected the name or path of a protocol"),
    (AXES, "protocol = 'mixed'\nuntouched = 0.5", "expected 'protocol' alone.*got 'untouched' too"),
]


@pytest.mark.parametrize(("text", "table", "message"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_a_mistake_is_reported_in_one_line(text: str, table: str, message: str) -> None:
    with pytest.raises(BenchError, match=message) as caught:
        parse_protocol("p", f"{text}[training]\n{table}\n")
    assert str(caught.value).startswith("protocol 'p', [training]")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["3", "'mixed'", "[1]", "[{levels = 'shared'}]"])
def test_a_value_in_place_of_the_table_is_refused(value: str) -> None:
    with pytest.raises(BenchError, match=r"expected a table, got .*; write its keys below \[training\]"):
        parse_protocol("p", f"training = {value}\n{AXES}")


@pytest.mark.parametrize("name", protocol_names())
def test_the_default_stays_within_the_levels_that_are_evaluated(name: str) -> None:
    protocol = load_protocol(name)
    for axis, (low, high) in protocol.training.ranges.items():
        assert low <= protocol.axes[axis][0]
        assert high >= protocol.axes[axis][-1]
