"""Functions of NumPy arrays as models: they see what every model sees, and what they return is checked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from tinydata import make_dataset
from torch import nn

import qamoe_bench
from qamoe_bench import ArrayBatch, Batch, BenchError, Output, Store
from qamoe_bench.adapters.arrays import as_arrays
from qamoe_bench.data.dataset import Dataset

Floats = NDArray[Any]


def pooled(batch: ArrayBatch) -> Floats:
    return np.concatenate([batch.mean(m) for m in batch.features], axis=1)


def first(batch: ArrayBatch) -> Floats:
    return batch.features["text"][:, 0, 0]


class Linear(nn.Module):
    """The same ridge regression in torch."""

    def __init__(self, ridge: Ridge) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(ridge.coef_, dtype=torch.float32))
        self.bias = nn.Parameter(torch.tensor(float(ridge.intercept_)))

    def forward(self, batch: Batch) -> Output:
        frames = {m: n.clamp(min=1)[:, None] for m, n in batch.lengths.items()}
        pooled = [batch.features[m].sum(1) / frames[m] for m in batch.modalities]
        return Output(torch.cat(pooled, 1) @ self.weight + self.bias)


@pytest.mark.parametrize("protocol", ["random-missing", "quality-degradation", "frame-missing"])
def test_a_ridge_regression_predicts_the_same_as_a_function_and_as_a_torch_model(protocol: str, tiny: Dataset) -> None:
    train = tiny.splits["train"]
    ridge = Ridge(alpha=1.0).fit(pooled(as_arrays(train.batch())), train.target.numpy())
    seeds = (1, 2)
    by_function = qamoe_bench.evaluate(lambda batch: ridge.predict(pooled(batch)), tiny, protocol, seeds)
    by_module = qamoe_bench.evaluate(Linear(ridge), tiny, protocol, seeds)
    columns = ["seed", "condition", "id", "target", "missing_text", "noise_audio"]
    assert by_function.predictions[columns].equals(by_module.predictions[columns])
    np.testing.assert_allclose(
        by_function.predictions["prediction"], by_module.predictions["prediction"], rtol=1e-6, atol=1e-6
    )


def test_a_function_sees_arrays_of_its_own(tiny: Dataset) -> None:
    seen = []

    def spoil(batch: ArrayBatch) -> Floats:
        seen.append(batch.size)
        assert list(batch.features) == ["text", "audio", "vision"]
        for m, x in batch.features.items():
            assert x.dtype == np.float32
            assert batch.lengths[m].dtype == np.int64
            assert np.array_equal(batch.mask(m).sum(1), batch.lengths[m])
            assert not x[~batch.mask(m)].any()
            assert np.array_equal(batch.present(m), np.abs(x).sum((1, 2)) > 0)
            x[:] = np.nan
        return np.zeros(batch.size)

    before = {m: x.clone() for m, x in tiny.splits["test"].features.items()}
    evaluation = qamoe_bench.evaluate(spoil, tiny, "random-missing")
    assert sum(seen) == 20 * 9  # eight conditions, and once to identify the function
    assert all(torch.equal(x, before[m]) for m, x in tiny.splits["test"].features.items())
    assert (evaluation.predictions["prediction"] == 0).all()


RETURNED: dict[str, Callable[[ArrayBatch], Any]] = {
    "float64": lambda batch: first(batch).astype(float),
    "(B, 1)": lambda batch: first(batch)[:, None],
    "list": lambda batch: first(batch).tolist(),
    "tensor": lambda batch: torch.tensor(first(batch), requires_grad=True),
    "dictionary": lambda batch: {"prediction": first(batch)},
}


@pytest.mark.parametrize("case", RETURNED)
def test_numbers_of_any_library_are_taken(case: str, tiny: Dataset) -> None:
    expected = qamoe_bench.evaluate(first, tiny, "clean").predictions["prediction"]
    assert qamoe_bench.evaluate(RETURNED[case], tiny, "clean").predictions["prediction"].equals(expected)


def test_variances_and_quality_scores_are_stored(tiny: Dataset, tmp_path: Path) -> None:
    def predict(batch: ArrayBatch) -> dict[str, Any]:
        return {
            "prediction": first(batch),
            "variance": np.full(batch.size, 0.5),
            "quality": {m: batch.present(m).astype(float) for m in batch.features},
        }

    evaluation = qamoe_bench.evaluate(predict, tiny, "random-missing", name="mine")
    assert (evaluation.predictions["variance"] == 0.5).all()
    assert (evaluation.predictions["quality_text"] == (evaluation.predictions["missing_text"] < 1)).all()
    (cell,) = evaluation.save(tmp_path).cells()
    assert cell.cell.model == "mine"


def test_two_functions_of_one_name_are_two_rows(tiny: Dataset, tmp_path: Path) -> None:
    for function in (first, lambda batch: -first(batch)):
        qamoe_bench.evaluate(function, tiny, "clean", seeds=(1, 2), name="function").save(tmp_path)
    cells = Store(tmp_path).cells()
    assert {stored.cell.model for stored in cells} == {"function"}
    assert len({stored.cell.recipe for stored in cells}) == 2


def missing_is_undefined(batch: ArrayBatch) -> Floats:
    with np.errstate(invalid="ignore"):
        return first(batch) / batch.present("text")


def bad(returned: Callable[[int], Any]) -> Callable[[ArrayBatch], Any]:
    return lambda batch: returned(batch.size)


REFUSED: dict[str, tuple[Any, str]] = {
    "none": (bad(lambda n: None), "expected 20 numbers as predictions, got None; return a NumPy array of numbers"),
    "one number": (
        bad(lambda n: 0.5),
        r"expected an array of shape \(20,\) as predictions, got an array of shape \(\)",
    ),
    "classes": (bad(lambda n: np.zeros((n, 7))), r"got an array of shape \(20, 7\); return one number per sample"),
    "too few": (bad(lambda n: np.zeros(n - 1)), r"expected an array of shape \(20,\).*got an array of shape \(19,\)"),
    "a row": (bad(lambda n: np.zeros((1, n))), r"got an array of shape \(1, 20\)"),
    "texts": (
        bad(lambda n: ["positive"] * n),
        "expected 20 numbers as predictions, got an array of shape .20,. and type",
    ),
    "booleans": (bad(lambda n: [True] * n), r"expected 20 numbers .* type bool"),
    "ragged": (bad(lambda n: [[0.0], [0.0, 1.0]]), "expected 20 numbers as predictions, got an object of type list"),
    "NaN": (
        missing_is_undefined,
        r"expected finite numbers as predictions, got nan \(\d+ of 20 are wrong\); a missing",
    ),
    "too large": (bad(lambda n: np.full(n, 1e300)), "expected finite numbers as predictions, got inf"),
    "unknown key": (bad(lambda n: {"predictions": np.zeros(n)}), "unknown key.*did you mean 'prediction'"),
    "no prediction": (bad(lambda n: {"variance": np.ones(n)}), "expected 'prediction' in the dictionary"),
    "empty": (bad(lambda n: {}), "expected 'prediction' in the dictionary.*got an empty one"),
    "variance": (bad(lambda n: {"prediction": np.zeros(n), "variance": np.zeros(n)}), "numbers above 0 as variances"),
    "score": (
        bad(lambda n: {"prediction": np.zeros(n), "quality": {"text": np.full(n, 1.5)}}),
        "expected numbers from 0 to 1 as quality scores of text, got 1.5",
    ),
    "score of video": (
        bad(lambda n: {"prediction": np.zeros(n), "quality": {"video": np.zeros(n)}}),
        "expected 'quality' as a dictionary with keys among text, audio, vision",
    ),
    "raises": (bad(lambda n: [][n]), "got IndexError: list index out of range; correct the function"),
    "takes nothing": (lambda: 0, "got TypeError: .*takes 0 positional arguments"),
    "a name": ("late-fusion", r"got an object of type str; load it first, load_model\('late-fusion', data\)"),
    "a class": (Ridge, "expected a torch module or a function, got the class Ridge; pass an object of it"),
    "an estimator": (Ridge(), "got an object of type Ridge; pass a function of a batch of arrays"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_anything_else_is_one_line(case: str, tiny: Dataset) -> None:
    function, words = REFUSED[case]
    with pytest.raises(BenchError, match=words) as raised:
        qamoe_bench.evaluate(function, tiny, "random-missing", seeds=(3,))
    assert "\n" not in str(raised.value)


def test_a_module_that_takes_no_batch_is_evaluated_too(tiny: Dataset) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(5, 1)

        def forward(self, text: torch.Tensor, audio: torch.Tensor, video: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"M": self.head(text.mean(1))}

    net = Net()
    evaluation = qamoe_bench.evaluate(net, tiny, "clean")
    with torch.no_grad():
        expected = net.head(tiny.splits["test"].features["text"].mean(1))[:, 0]
    np.testing.assert_allclose(evaluation.predictions["prediction"], expected.numpy(), rtol=1e-6)
    assert evaluation.cells[0].cell.model == "Net"
    assert net.training


def test_lengths_of_zero_have_a_mean_of_zero() -> None:
    batch = make_dataset().splits["test"].batch()
    empty = Batch({m: x * 0 for m, x in batch.features.items()}, {m: n * 0 for m, n in batch.lengths.items()})
    assert not as_arrays(empty).mean("audio").any()
