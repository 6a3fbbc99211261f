"""A converted data set is whole or not there, the same to the bit, and need not fit into memory."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from dataformats import read_dataset
from tinydata import make_dataset

from qamoe_bench.curation import convert
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.digest import content_digest
from qamoe_bench.data.folder import mapped
from qamoe_bench.data.folder.mapped import MappedArrays
from qamoe_bench.errors import BenchError


@pytest.fixture
def tiny() -> Dataset:
    data = make_dataset()
    return Dataset("tiny", data.splits, content_digest(data.splits, (-3, 3)), notes=("a note",))


def test_everything_comes_back_when_converted(tiny: Dataset, tmp_path: Path) -> None:
    digest = convert.write(tiny, tmp_path / "data", {"file": "x"})
    converted = read_dataset(tmp_path / "data")
    assert converted.digest == digest == tiny.digest
    assert (converted.name, converted.notes, converted.label_range) == (tiny.name, tiny.notes, tiny.label_range)
    for name, split in tiny.splits.items():
        again = converted.splits[name]
        assert (again.ids, again.raw_text, again.modalities) == (split.ids, split.raw_text, split.modalities)
        assert torch.equal(again.target, split.target)
        for m in split.modalities:
            assert torch.equal(again.features[m], split.features[m])
            assert torch.equal(again.lengths[m], split.lengths[m])
    for m, std in tiny.spec.feature_std.items():
        assert torch.equal(converted.spec.feature_std[m], std)
        assert torch.equal(converted.reference.pool[m], tiny.reference.pool[m])
    convert.write(converted, tmp_path / "again", {"file": "x"})
    for path in (tmp_path / "data").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_every_change_of_content_changes_the_digest(tiny: Dataset) -> None:
    digests = {tiny.digest, content_digest(tiny.splits, (-1, 1)), content_digest(tiny.splits, (-3, 3), {"text": 1})}
    train = tiny.splits["train"]
    for changed in (
        {"ids": ("x", *train.ids[1:])},
        {"raw_text": ("x",) * len(train)},
        {"target": train.target + 0.1},
        {"lengths": {**train.lengths, "audio": train.lengths["audio"] + 1}},
        {"features": {**train.features, "audio": train.features["audio"].half()}},
        {"tokens": torch.ones(len(train), 3, 2, dtype=torch.int32)},
    ):
        splits = {**tiny.splits, "train": type(train)(**{**vars(train), **changed})}
        digests.add(content_digest(splits, (-3, 3)))
    assert len(digests) == 9


@pytest.mark.parametrize("what", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_nothing_is_left_when_a_conversion_fails(what: BaseException, tiny: Dataset, tmp_path: Path) -> None:
    def fail(_: int) -> None:
        raise what

    with pytest.raises((KeyboardInterrupt, BenchError)) as caught:
        convert.write(tiny, tmp_path / "data", {}, fail)
    assert not [*tmp_path.iterdir()]
    if caught.type is BenchError:
        assert "(No space left on device); free space" in str(caught.value)


def test_a_killed_conversion_leaves_nothing_that_opens_and_is_cleared_away(tiny: Dataset, tmp_path: Path) -> None:
    script = f"""
        import os, signal, sys
        sys.path.append({str(Path(__file__).parents[1] / "helpers")!r})
        from pathlib import Path
        from tinydata import make_dataset
        from qamoe_bench.curation.convert import write
        write(make_dataset(), Path("data"), {{}}, lambda _: os.kill(os.getpid(), signal.SIGKILL))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".data.")
    with pytest.raises(BenchError, match="expected a folder written by 'qamoe-bench data convert'"):
        read_dataset(left)
    live = tmp_path / left.name.replace(f".{left.name.split('.')[-3]}.", f".{os.getpid()}.")
    live.mkdir()  # of a process that is still at work
    convert.write(tiny, tmp_path / "data", {})
    assert {p.name for p in tmp_path.iterdir()} == {"data", live.name}


def test_what_is_there_already_is_left_alone(tiny: Dataset, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").touch()
    with pytest.raises(BenchError, match="expected a new or empty folder"):
        convert.write(tiny, tmp_path / "data", {})
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["mine"]


def test_changes_of_a_mapped_array_reach_no_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    arrays = MappedArrays()
    arrays.add("text", tmp_path / "x", 8, torch.float32, (2, 2))
    arrays["text"][0] = 9
    assert np.fromfile(tmp_path / "x", np.float32).tolist() == [0, 1, 2, 3, 4, 5]
    assert [*arrays] == ["text"]
    assert len(arrays) == 1
    assert "text" in arrays
    assert "audio" not in arrays


def test_pages_are_given_back_when_they_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 64
    width = 2**18
    limit = 2**23
    (tmp_path / "x").write_bytes(np.arange(rows * width, dtype=np.float32).tobytes())  # 64 MiB
    monkeypatch.setattr(mapped, "RELEASE", limit)
    arrays = MappedArrays()
    arrays.add("text", tmp_path / "x", 0, torch.float32, (rows, width))
    before = mapped._resident_file_bytes()
    most = 0
    for row in range(rows):
        assert arrays["text"][row].sum() > 0
        most = max(most, mapped._resident_file_bytes() - before)
    assert 2**20 < most < 2 * limit + 2**22
