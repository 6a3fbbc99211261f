"""Protocol files: their meaning, and messages for mistakes in them."""

from pathlib import Path

import pytest

from qamoe_bench.corruption.apply import APPLY
from qamoe_bench.errors import BenchError
from qamoe_bench.protocol.kinds import CORRUPTION_KINDS
from qamoe_bench.protocol.parse import load_protocol, parse_protocol, protocol_names

GOOD = """
schema = 1
title = "t"
source = "s"
definition = "d"
[axes]
eta = [0.0, 0.5]
[[corruption]]
kind = "modality-missing"
rate = "eta"
"""


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_that_comes_along_loads(name: str) -> None:
    protocol = load_protocol(name)
    assert protocol.name == name
    assert len({c.name for c in protocol.conditions}) == len(protocol.conditions)


PUBLISHED = (
    "fixed-missing", "frame-missing", "gcnet-missing", "imder-missing", "imder-missing-code", "lnln-missing",
    "mixed", "mplmm-missing", "msa-robustness", "quality-degradation", "random-missing",
)  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_protocol_says_what_its_original_does_at_test_time_and_in_training(name: str) -> None:
    original = load_protocol(name).original
    assert original.startswith("Test: ")
    assert " Training: " in original


def test_the_protocols_of_the_main_job_are_there_with_their_levels() -> None:
    levels = tuple(round(0.1 * i, 1) for i in range(8))
    assert load_protocol("random-missing").axes == {"eta": levels}
    assert load_protocol("quality-degradation").axes == {"lambda": levels}
    assert [c.name for c in load_protocol("clean").conditions] == ["clean"]
    assert len(load_protocol("mixed").conditions) == 64


def test_a_condition_has_every_number_filled_in() -> None:
    condition = load_protocol("quality-degradation").conditions[3]
    assert condition.name == "lambda=0.3"
    assert [(s.kind, dict(s.levels)) for s in condition.steps] == [
        ("frame-missing", {"text": 0.3}),
        ("gaussian-noise", {"audio": 0.3, "vision": 0.3}),
    ]


def test_levels_may_differ_by_modality() -> None:
    text = GOOD.replace('rate = "eta"', 'rate = {text = "eta", audio = 0.2}')
    (step,) = parse_protocol("p", text).conditions[1].steps
    assert dict(step.levels) == {"text": 0.5, "audio": 0.2}
    assert step.options == {"keep_one": True}


def test_a_users_own_file_works_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert load_protocol(str(path)).name == "mine"


def test_the_digest_follows_meaning_and_not_prose() -> None:
    digest = parse_protocol("p", GOOD).digest
    assert parse_protocol("q", GOOD.replace('"t"', '"other"')).digest == digest
    told = parse_protocol("q", GOOD.replace('source = "s"', 'source = "s"\noriginal = "Test: one mask."'))
    assert (told.digest, told.original) == (digest, "Test: one mask.")
    assert parse_protocol("p", GOOD + "keep_one = true").digest == digest  # the default, said aloud
    assert parse_protocol("p", GOOD + "keep_one = false").digest != digest
    assert parse_protocol("p", GOOD.replace("0.5", "0.6")).digest != digest


def test_every_kind_can_be_applied() -> None:
    assert APPLY.keys() == CORRUPTION_KINDS.keys()


MISTAKES = [
    ("schema = 1", "schema = 2", "expected 'schema = 1', got 2"),
    ('title = "t"', "", "expected a sentence in 'title'"),
    ('source = "s"', 'source = "s"\noriginal = ""', "expected a sentence in 'original', got ''"),
    ("[axes]", "[axis]", "unknown key 'axis'.*did you mean 'axes'"),
    ("rate =", "rte =", "unknown key 'rte'.*did you mean 'rate'"),
    ('rate = "eta"', "", "expected 'rate', got none"),
    ('rate = "eta"', 'rate = "etta"', "unknown variable 'etta'.*did you mean 'eta'"),
    ('rate = "eta"', "rate = 0.5", "'eta' is used by no corruption"),
    ('"modality-missing"', '"modality-mising"', "did you mean 'modality-missing'"),
    ("[0.0, 0.5]", "[0.5, 0.0]", "expected rising levels"),
    ("[0.0, 0.5]", "[0.0, 1.5]", "from 0 to 1, got 1.5"),
    ("[0.0, 0.5]", "[]", "expected a list of levels"),
    ("[0.0, 0.5]", '["a"]', "expected a list of levels"),
    ("[0.0, 0.5]", "[0.0, true]", "expected a list of levels"),
    ("[[corruption]]", "[corruption]", "double the brackets"),
    ('rate = "eta"', 'rate = "eta"\nmodalities = ["txt"]', "unknown modality 'txt'.*did you mean 'text'"),
    ('rate = "eta"', 'rate = {text = "eta"}\nmodalities = ["text"]', "remove 'modalities'"),
    ('rate = "eta"', 'rate = "eta"\nkeep_one = 1', "expected true or false in 'keep_one'"),
    ('"modality-missing"', '"frame-missing"\nkeep_ends = "alway"', "expected false, true or \"always\" in 'keep_ends'"),
    ('"modality-missing"', '"frame-missing"\nshared_draws = "always"', "expected false or true in 'shared_draws'"),
    ('"modality-missing"', '"block-missing"\nplace = "left"', 'expected "random", "start", .* or "scattered" in'),
    ("[axes]", "[axes", "not valid TOML"),
    ("[axes]", '[[corruption]]\nkind = "modality-missing"\nrate = 0.1\n[axes]', "would share their draws"),
]


POINTS = """
schema = 1
title = "t"
source = "s"
definition = "d"
[points.start]
start = 0.5
[points.end]
end = 0.5
[[corruption]]
kind = "block-missing"
rate = "start"
place = "start"
[[corruption]]
kind = "block-missing"
rate = "end"
place = "end"
"""


def test_two_steps_of_one_kind_are_allowed_if_no_point_has_both() -> None:
    first, second = parse_protocol("p", POINTS).conditions
    assert [step.levels["text"] for step in first.steps] == [0.5, 0.0]
    assert [step.levels["text"] for step in second.steps] == [0.0, 0.5]
    with pytest.raises(BenchError, match="two 'block-missing' corruptions of 'text' would share their draws"):
        parse_protocol("p", POINTS.replace("end = 0.5", "end = 0.5\nstart = 0.1"))
    on_axes = POINTS.replace(
        "[points.start]\nstart = 0.5\n[points.end]\nend = 0.5", "[axes]\nstart=[0.0, 0.5]\nend=[0.0]"
    )
    assert len(parse_protocol("p", on_axes).conditions) == 2
    with pytest.raises(BenchError, match="would share their draws"):
        parse_protocol("p", on_axes.replace("end=[0.0]", "end=[0.0, 0.1]"))


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES, ids=[m[2][:40] for m in MISTAKES])
def test_a_mistake_is_reported_in_one_line(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(BenchError, match=message) as caught:
        parse_protocol("p", GOOD.replace(old, new))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_and_an_unreadable_file_are_reported() -> None:
    with pytest.raises(BenchError, match="did you mean 'random-missing'"):
        load_protocol("random-mising")
    with pytest.raises(BenchError, match="cannot be read"):
        load_protocol("/nowhere/p.toml")
