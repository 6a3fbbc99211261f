"""A model that returns something wrong is refused before its training, in one line with the remedy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import bench as bench_here
from process import bench
from smallstudy import SHORT, assert_same, small_plan
from torch import nn

from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.runner import run_plans
from qamoe_bench.store.store import Store

PORTED = """
import torch
from torch import nn
from torch.nn import functional as F

from qamoe_bench.contract import Output


class Ported(nn.Module):
    def __init__(self, spec, returned, width=1, **options):
        super().__init__()
        self.head = nn.Linear(spec.widths["text"], width)
        self.returned = returned
        for name, value in options.items():
            setattr(self, name, value)

    def forward(self, batch):
        pooled = batch.features["text"].mean(dim=1)
        return self.returned(self, self.head(pooled), batch)


class Objective(Ported):
    def loss(self, output, batch):
        return self.objective(output, batch)


class Halves(Ported):
    def encode_modality(self, batch, modality):
        return batch.features["text"].mean(dim=1) if modality == "audio" else batch.features[modality].mean(dim=1)

    def fuse(self, encoded):
        return Output(self.head(encoded["text"])[:, 0])


def model(kind, returned, **options):
    return lambda spec: kind(spec, returned, **options)


def good(self, y, batch):
    return Output(y[:, 0])


def undefined(self, y, batch):  # the norm of a missing modality is 0
    x = batch.features["text"].mean(dim=1)
    return Output((self.head(x / x.norm(dim=1, keepdim=True)))[:, 0])


def steep(self, y, batch):  # finite, but its derivative at 0 is not
    return Output(y[:, 0] + (batch.features["text"].mean(dim=1) * self.head.weight[0]).norm(dim=1).square().sqrt())


def fails(self, y, batch):
    return Output(self.missing_layer(y)[:, 0])


def asks(self, y, batch):
    return Output(y[:, 0] + batch.features["depth"].mean())


def labels(self, y, batch):
    return Output(y[:, 0] + 0 * batch.target)


def one(self, y, batch):
    return Output(y.squeeze())


def in_evaluation(other):
    return lambda self, y, batch: good(self, y, batch) if self.training else other(y)


column = model(Ported, lambda self, y, batch: Output(y))
mapping = model(Ported, lambda self, y, batch: {"M": y, "T": y})
pair = model(Ported, lambda self, y, batch: (y, y))
tensor = model(Ported, lambda self, y, batch: y[:, 0])
nothing = model(Ported, lambda self, y, batch: None)
logits = model(Ported, lambda self, y, batch: Output(y), width=7)
averaged = model(Ported, lambda self, y, batch: Output(y.mean()))
variance = model(Ported, lambda self, y, batch: Output(y[:, 0], variance=y.square()))
negative = model(Ported, lambda self, prediction, batch: Output(prediction[:, 0], -prediction[:, 0].square() - 1))
unknown = model(Ported, lambda self, prediction, batch: Output(prediction[:, 0], prediction[:, 0] / 0 * 0))
nan = model(Ported, undefined)
gradient = model(Ported, steep)
exception = model(Ported, fails)
modality = model(Ported, asks)
target = model(Ported, labels)
single = model(Ported, one)
detached = model(Ported, lambda self, y, batch: Output(y[:, 0].detach()))
later_column = model(Ported, in_evaluation(lambda y: Output(y)))
later_mapping = model(Ported, in_evaluation(lambda y: {"M": y}))
later_nan = model(Ported, in_evaluation(lambda y: Output(y[:, 0] / 0)))
loss_of_each = model(Objective, good, objective=lambda o, b: (o.prediction - b.target).abs())
loss_mapping = model(Objective, good, objective=lambda o, b: {"total": (o.prediction - b.target).abs().mean()})
loss_nan = model(Objective, good, objective=lambda o, b: (0 * o.prediction - 1).log().mean())
halves = model(Halves, good)

right = model(Ported, good)
right_column = model(Ported, lambda self, prediction, batch: Output(prediction[:, 0]))
right_logits = model(Ported, lambda self, y, batch: Output(y.softmax(1) @ torch.arange(-3.0, 4.0)), width=7)
right_single = model(Ported, lambda self, prediction, batch: Output(prediction.squeeze().reshape(-1)))
"""

WRONG = {
    "column": "predicted a tensor of shape (16, 1) for 16 samples: expected (16,); return Output(prediction[:, 0])",
    "mapping": "returned a dict of 2 ('M': a tensor of shape (16, 1), .* in training mode.*Output(result['M'][:, 0])",
    "pair": "returned a tuple of 2 (a tensor of shape (16, 1), .*return Output(result[0][:, 0])",
    "tensor": "returned a tensor of shape (16,) in training mode: expected .*Output; return Output(prediction)",
    "nothing": "returned None in training mode: .*end the forward pass with: return Output(prediction)",
    "logits": "tensor of shape (16, 7) for 16 samples: .*scores of 7 classes, Output(prediction.softmax(1) @ labels)",
    "averaged": "predicted a tensor of shape () for 16 samples: expected (16,); return one value per sample",
    "variance": "variance is a tensor of shape (16, 1) for 16 samples: expected (16,); give one number per sample",
    "negative": "variance is negative or not a number in training mode: expected squared .*end with softplus or exp",
    "unknown": "variance is negative or not a number in training mode",
    "nan": "predictions are not finite in training mode (.* of 16 samples); a missing modality is all zeros",
    "gradient": "the gradient of the loss at head.weight is not finite before training; sqrt and norm have no finite",
    "exception": "forward pass in training mode raised AttributeError: .*missing_layer.*(ported.py, line .*batch of 16",
    "modality": "raised KeyError: 'depth' (ported.py, line .* with text, audio; correct it there",
    "target": "forward pass in evaluation mode raised AttributeError: .*'target'",
    "single": "predicted a tensor of shape () for 1 sample: expected (1,); return Output(prediction.reshape(-1))",
    "detached": "prediction does not depend on its parameters: expected a gradient; remove detach()",
    "later_column": "predicted a tensor of shape (16, 1) for 16 samples: .*return Output(prediction[:, 0])",
    "later_mapping": "returned a dict of 1 .* in evaluation mode",
    "later_nan": "predictions are not finite in evaluation mode (16 of 16 samples)",
    "loss_of_each": "loss returned a tensor of shape (16,): expected one number; return the mean over the batch",
    "loss_mapping": "loss returned a dict of 1 ('total': a tensor of shape ()): expected one number",
    "loss_nan": "loss is nan before training: expected a finite number; do not take the logarithm of 0",
    "halves": "encode_modality and fuse in evaluation mode raised KeyError: 'text'",
}
RIGHT = ("right", "right_column", "right_logits", "right_single")


def as_pattern(words: str) -> list[str]:
    return words.split(".*")


def contains(text: str, words: str) -> bool:
    """Whether the parts of the words occur in the text in this order."""
    place = 0
    for part in as_pattern(words):
        place = text.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return True


@pytest.fixture(scope="module")
def reasons(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """One run of all models without the type checker of the tests: the reason of every failure, by model."""
    import pickle

    from tinydata import mmsa_content

    folder = tmp_path_factory.mktemp("ported")
    (folder / "ported.py").write_text(PORTED, encoding="utf-8")
    (folder / "tiny.pkl").write_bytes(pickle.dumps(mmsa_content(("text", "audio"))))
    short = SHORT.replace("validation_samples=12", "validation_samples=12,train.batch_size=16")
    # 40 training samples make batches of 16, 16 and 8; `single` meets a single sample as the remainder of 13.
    settings = dict.fromkeys((*WRONG, *RIGHT), short) | {"single": short.replace("16", "13")}
    models = [word for name in settings for word in ("--model", f"ported:{name}:{settings[name]}")]
    done = bench(
        "run", "--protocol", "clean", "--data", "tiny.pkl", "--seeds", "1", "--executor", "local", *models, cwd=folder
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert line.startswith(f"failed: {len(WRONG)} of {len(WRONG) + len(RIGHT)} cells")
    records = [json.loads(path.read_text("utf-8")) for path in folder.rglob("failures/*.json")]
    return folder, {record["cell"]["model"].split(":")[1]: record["reason"] for record in records}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_output_is_refused_in_one_line_with_the_remedy(name: str, reasons: tuple[Path, dict[str, str]]) -> None:
    words = WRONG[name].replace("16", "13") if name == "single" else WRONG[name]
    assert contains(reasons[1][name], words), reasons[1][name]
    assert "\n" not in reasons[1][name]


def test_nothing_wrong_is_trained_and_all_other_models_are(reasons: tuple[Path, dict[str, str]]) -> None:
    folder, refused = reasons
    assert set(refused) == set(WRONG)
    store = Store(folder / "results")
    assert {c.cell.model.split(":")[1] for c in store.cells()} == set(RIGHT)
    assert len(list(folder.rglob("*.safetensors"))) == len(RIGHT)


DRAWING = """
import random

import numpy as np
import torch
from torch import nn

from qamoe_bench.contract import Output


class Drawing(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.head = nn.Linear(spec.widths["text"], 1)
        self.calls = 0

    def forward(self, batch):
        self.calls += 1
        noise = float(torch.rand(())) + np.random.rand() + self.calls
        return Output(self.head(batch.features["text"].mean(dim=1))[:, 0] * noise)


def build(spec):
    return Drawing(spec)
"""


def test_the_trial_changes_no_number_of_any_model(
    write_pickle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drawing.py").write_text(DRAWING, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    plan = small_plan(write_pickle(), f"drawing:build:{SHORT}", f"late-fusion:{SHORT}", f"qa-moe:{SHORT}", seeds=(1,))

    def results(name: str) -> Store:
        np.random.seed(3)  # noqa: NPY002
        store = Store(tmp_path / name)
        run_plans([plan], store, Execution("local"))
        return store

    tried = results("tried")
    calls: list[Any] = []
    monkeypatch.setattr("qamoe_bench.run.worker.try_first_batch", lambda *arguments: calls.append(arguments))
    assert_same(tried, results("untried"))
    assert len(calls) == 3
    assert isinstance(calls[0][0](), nn.Module)  # the builder


def test_an_edited_helper_beside_the_model_trains_again(
    write_pickle: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As research repositories are laid out: model.py beside a package of layers that lies in no common package."""
    import sys

    layers = tmp_path / "guest_modules" / "layers.py"
    layers.parent.mkdir()
    (layers.parent / "__init__.py").touch()
    layers.write_text("SCALE = 1.0\n\n\ndef pooled(x):\n    return SCALE * x.mean(dim=1)\n", encoding="utf-8")
    model = PORTED.replace("import torch\n", "import torch\nfrom guest_modules.layers import pooled as mean\n", 1)
    model = model.replace(
        'batch.features["text"].mean(dim=1)\n        return self.r',
        'mean(batch.features["text"])\n        return self.r',
    )
    (tmp_path / "guest_model.py").write_text(model, encoding="utf-8")
    data = write_pickle()
    monkeypatch.chdir(tmp_path)
    call = ("run", "--protocol", "clean", "--model", f"guest_model:right:{SHORT}", "--seeds", "1", "--data", data)

    def run() -> str:
        for name in [name for name in sys.modules if name.startswith("guest_")]:
            monkeypatch.delitem(sys.modules, name)
        done = bench_here((*call, "--executor", "local", "--device", "cpu"), capsys, monkeypatch)
        assert done.code == 0, done.err
        return done.err

    assert "trained 1 models" in run()
    assert "nothing to do" in run()
    layers.write_text(layers.read_text("utf-8").replace("1.0", "-1.0"), encoding="utf-8")
    assert "trained 1 models, evaluated 1 cells, reused 0" in run()
    assert len(Store(tmp_path / "results").cells()) == 2
