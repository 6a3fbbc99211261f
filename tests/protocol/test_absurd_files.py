"""TOML files with numbers, keys and nesting out of all proportion: one line each, and at once."""

import time
from pathlib import Path

import pytest

from qamoe_bench.errors import BenchError
from qamoe_bench.protocol.parse import parse_protocol
from qamoe_bench.run.grid import Grid
from qamoe_bench.run.study import load_study

HEAD = 'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n'
STEP = '[[corruption]]\nkind = "modality-missing"\nrate = "x"\n[axes]\nx = [0.0, 0.5]\n'
GRID = "\n".join(f"x{i} = [{', '.join(f'0.{k}' for k in range(10))}]" for i in range(8))
ABSURD = {
    "a level of 400 digits": (HEAD + STEP.replace("0.5", "1" * 401), "whole numbers of at most 300 digits"),
    "an integer of 5000 digits": (HEAD + f"draws = {'1' * 5000}\n" + STEP, "not valid TOML .Exceeds the limit"),
    "a hexadecimal number": (HEAD + f"draws = 0x{'f' * 6000}\n" + STEP, "whole numbers of at most 300 digits"),
    "a float of 5000 digits": (HEAD + STEP.replace("0.5", "1" * 5000 + ".0"), "levels from 0 up in axis 'x'"),
    "deep lists": (HEAD + f"draws = {'[' * 20000}{']' * 20000}\n" + STEP, "nested too deeply"),
    "deep tables": (HEAD + f"draws = {'{a=' * 9000}1{'}' * 9000}\n" + STEP, "nested too deeply"),
    "a key of 20000 parts": (HEAD + ".".join(["a"] * 20000) + " = 1\n" + STEP, "keys of at most 100 parts"),
    "a quoted key": (HEAD + " . ".join(['"a"'] * 20000) + " = 1\n" + STEP, "keys of at most 100 parts"),
    "a table of 20000 parts": (f"{HEAD}{STEP}[{'.'.join(['a'] * 20000)}]\n", "keys of at most 100 parts"),
    "a billion draws": (HEAD + "draws = 1_000_000_000\n" + STEP, "from 1 to 1000 in 'draws', got 1000000000"),
    "a grid of 10^8 points": (HEAD + STEP.replace("x = [0.0, 0.5]", GRID), "at most 100000 conditions, got 100000000"),
    "steps that are texts": (HEAD + 'corruption = ["x"]\n', "corruption 1: expected a table, got 'x'"),
    "steps that are lists": (HEAD + "corruption = [[1]]\n", r"corruption 1: expected a table, got \[1\]"),
    "a schema that is true": (HEAD.replace("1", "true") + STEP, "expected 'schema = 1', got True"),
    "a schema that is a float": (HEAD.replace("1", "1.0") + STEP, "expected 'schema = 1', got 1.0"),
    "sixteen megabytes": (HEAD + "#" * 2**24 + "\n" + STEP, "at most 16777216 bytes, got"),
}


@pytest.mark.parametrize("case", ABSURD)
def test_an_absurd_protocol_is_one_short_line_at_once(case: str) -> None:
    content, words = ABSURD[case]
    start = time.monotonic()
    with pytest.raises(BenchError, match=words) as raised:
        parse_protocol("p", content)
    assert time.monotonic() - start < 2
    assert len(str(raised.value)) < 500
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schema = true\n", "expected 'schema = 1', got True"),
        ('schema = 1\nmodels = ["NAME.py:X"]\n', "expected a Python file"),
        ('schema = 1\nprotocols = ["NAME.toml"]\n', "cannot be read"),
        ('schema = 1\nprotocols = ["a\\u0000.toml"]\n', "cannot be read .embedded null"),
        ('schema = 1\nmodels = ["a\\u0000.py:X"]\n', "expected a Python file"),
        (f"schema = 1\nseeds = [{'1' * 5000}]\n", "not valid TOML"),
    ],
)
def test_an_absurd_study_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text.replace("NAME", "a" * 5000), "utf-8")
    with pytest.raises(BenchError, match=words) as raised:
        load_study(path, Grid())
    assert "\n" not in str(raised.value)


def test_prose_with_many_dots_is_no_key() -> None:
    prose = "One, two and three. " * 200 + "." * 300
    protocol = parse_protocol("p", HEAD.replace('"d"', f'"""\n{prose}\n"""') + STEP)
    assert protocol.definition == prose.strip()
