"""The commands of docs/sharing.md run as they stand."""

import re
import shlex
from pathlib import Path

import pytest
from commandline import bench
from fakestore import noisy, write_store

from qamoe_bench.store.store import Store

PAGE = Path(__file__).parents[2] / "docs" / "sharing.md"


def test_the_commands_and_the_example_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    commands = re.findall(r"^qamoe-bench (.*)$", text, re.MULTILINE)
    assert len(commands) == 5
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "machine-a", {"late-fusion": noisy(1.0)}, seeds=(1, 2), run="a")
    write_store(tmp_path / "machine-b", {"late-fusion": noisy(1.0)}, seeds=(2, 3), run="b")
    for command in commands:
        done = bench(tuple(shlex.split(command)), capsys, monkeypatch)
        assert done.code == 0, done
    assert len(Store("reviewed").cells()) == 3
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {}
    exec(example, names)
    assert len(str(names["digest"])) == 64
    store = names["store"]
    assert isinstance(store, Store)
    assert len(store.cells()) == 3
