"""Another number of training samples: nested, the same for everybody, and nothing else of the data changes."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tinydata import CLASSES, make_dataset

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import open_dataset
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.data.synthetic.law import BLOCK
from qamoe_bench.data.synthetic.synthetic import synthetic
from qamoe_bench.data.train_size import train_size_facts, with_train_size
from qamoe_bench.errors import BenchError
from qamoe_bench.protocol.spec import Condition


@pytest.fixture(scope="module")
def law() -> Dataset:
    return synthetic()


def assert_begins_with(larger: Dataset, smaller: Dataset) -> None:
    """The training split of one is the beginning of the other's, bit for bit."""
    a = smaller.splits["train"]
    b = larger.splits["train"]
    assert b.ids[: len(a)] == a.ids
    assert torch.equal(b.target[: len(a)], a.target)
    for m in a.modalities:
        assert torch.equal(b.features[m][: len(a)], a.features[m])
        assert torch.equal(b.lengths[m][: len(a)], a.lengths[m])
        assert np.array_equal(larger.reliability["train"][m][: len(a)], smaller.reliability["train"][m])


def test_embedded_samples_are_nested_below_and_beyond_the_split(law: Dataset) -> None:
    sizes = (2, 300, BLOCK, BLOCK + 1, 3000)
    resized = [with_train_size(law, size) for size in sizes]
    assert [len(data.splits["train"]) for data in resized] == [*sizes]
    for smaller, larger in pairwise(resized):
        assert_begins_with(larger, smaller)
    assert_begins_with(resized[-1], law)
    assert len(set(resized[-1].splits["train"].ids)) == 3000
    assert len({data.digest for data in resized}) == len(sizes)


def test_the_number_of_all_training_samples_is_the_data_set_itself(law: Dataset, tiny: Dataset) -> None:
    assert with_train_size(law, len(law.splits["train"])) is law
    assert with_train_size(tiny, 40) is tiny
    assert train_size_facts(tiny) == {}


@pytest.mark.parametrize("size", [300, 2000])
def test_the_test_split_its_corruption_and_the_oracle_stay(law: Dataset, size: int) -> None:
    other = with_train_size(law, size)
    for name in ("valid", "test"):
        assert other.splits[name] is law.splits[name]
    for m in law.spec.modalities:
        assert torch.equal(other.reference.std[m], law.reference.std[m])
        assert torch.equal(other.reference.pool[m], law.reference.pool[m])
        assert not torch.equal(other.spec.feature_std[m], law.spec.feature_std[m])  # models see their own samples
    clean = Condition("clean", {}, ())
    assert law.oracle is not None
    assert other.oracle is not None
    batch = law.splits["test"].batch()
    expected = law.oracle.predict("test", batch, clean)
    got = other.oracle.predict("test", batch, clean)
    assert all(np.array_equal(expected[name], got[name]) for name in expected)
    assert len(other.oracle.predict("train", other.splits["train"].batch(), clean)["prediction"]) == size


def test_parts_of_a_file_are_nested_in_its_order_and_depend_on_its_content_alone(tiny: Dataset) -> None:
    parts = [with_train_size(tiny, size).splits["train"] for size in (2, 10, 39)]
    everything = tiny.splits["train"].ids
    for smaller, larger in pairwise(parts):
        assert set(smaller.ids) < set(larger.ids)
    for part in parts:
        assert list(part.ids) == [name for name in everything if name in part.ids]
        rows = [everything.index(name) for name in part.ids]
        assert torch.equal(part.features["text"], tiny.splits["train"].features["text"][rows])
        assert torch.equal(part.target, tiny.splits["train"].target[rows])
    assert with_train_size(make_dataset(), 10).splits["train"].ids == parts[1].ids
    others = with_train_size(make_dataset(signal=0.5), 10)
    assert others.splits["train"].ids == parts[1].ids  # the fixture's digest does not tell them apart
    assert with_train_size(make_dataset(("text", "audio")), 10).splits["train"].ids != parts[1].ids


def test_names_notes_and_facts_tell_the_size(tiny: Dataset) -> None:
    part = with_train_size(tiny, 10)
    assert part.name == "tiny (n=10)"
    assert part.notes == ("10 training samples chosen at random instead of 40; other splits are unchanged",)
    assert train_size_facts(part) == {"samples": 10, "base_samples": 40, "base": "tiny", "base_digest": tiny.digest}


def test_a_class_without_training_samples_has_no_share() -> None:
    part = with_train_size(make_dataset(task=CLASSES), 2)
    assert sum(part.spec.class_shares) == pytest.approx(1)
    assert 0.0 in part.spec.class_shares


def test_files_are_read_once_for_all_sizes(write_pickle: object, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write_pickle())  # type: ignore[operator]
    sizes = [len(open_dataset(path, "", ReadingOptions(train_size=n)).splits["train"]) for n in (5, 40, 20)]
    assert sizes == [5, 40, 20]
    Path(path).unlink()
    assert len(open_dataset(path, "", ReadingOptions(train_size=7)).splits["train"]) == 7


def test_more_samples_than_there_are_are_refused(tiny: Dataset, law: Dataset) -> None:
    with pytest.raises(BenchError, match=r"^--train-size 41: expected at most the 40 training samples of 'tiny'"):
        with_train_size(tiny, 41)
    with pytest.raises(BenchError, match=r"^--train-size 100001: expected at most 100000 training samples of 'synth"):
        with_train_size(law, 100_001)
    assert len(with_train_size(tiny, 40).splits["train"]) == 40  # the advice: a smaller size
