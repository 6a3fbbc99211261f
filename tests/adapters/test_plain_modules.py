"""Modules that know nothing of the contract: how they are built, called and trained, and what is refused."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import bench
from safetensors.torch import load_file
from tinydata import make_dataset, training_batch
from torch import nn

from qamoe_bench.adapters.module import AdaptedModule
from qamoe_bench.contract import HasLoss, Output
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.registry import find_model
from qamoe_bench.store.store import Store
from qamoe_bench.training.building import build_model
from qamoe_bench.training.phases import loss_of

NETWORK = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, {constructor}):
        super().__init__()
        self.text = nn.Linear({text}, 4)
        self.audio = nn.Linear({audio}, 4)
        self.vision = nn.Linear({vision}, 4)
        self.head = nn.Linear(12, {classes})

    def fused(self, text, audio, vision):
        parts = [self.text(text.mean(1)), self.audio(audio.mean(1)), self.vision(vision.mean(1))]
        return self.head(torch.relu(torch.cat(parts, 1)))

    def forward(self, {arguments}):
        {body}
"""
SIZES = {"constructor": "", "text": 5, "audio": 3, "vision": 4, "classes": 1}
PLAIN = {"arguments": "text, audio, vision", "body": "return self.fused(text, audio, vision)"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("plainnet", None)


def write(folder: Path, before: str = "", after: str = "", **parts: Any) -> None:
    """A file `plainnet.py` with the class `Net`."""
    (folder / "plainnet.py").write_text(before + NETWORK.format(**{**SIZES, **PLAIN, **parts}) + after, "utf-8")


def built(data: Dataset, name: str = "plainnet.py:Net", seed: int = 1) -> nn.Module:
    ref = find_model(name)
    return build_model(ref, ref.settings, data.spec, data.examples, seed)


CALLS = {
    "vision": ("text, audio, vision", "return self.fused(text, audio, vision)", "forward(text, audio, vision)"),
    "video": ("text_x, audio_x, video_x", "return self.fused(text_x, audio_x, video_x)", "text_x=text, audio_x=audio"),
    "letters": ("l, a, v", "return self.fused(l, a, v)", "forward(l=text, a=audio, v=vision)"),
    "another order": ("visual, language, acoustic", "return self.fused(language, acoustic, visual)", "visual=vision"),
    "all optional": ("text=None, audio=None, video=None", "return self.fused(text, audio, video)", "video=vision"),
    "unknown names": ("x1, x2, x3", "return self.fused(x2, x1, x3)", "forward(x1=audio, x2=text, x3=vision)"),
    "one unknown name": ("text, x, vision", "return self.fused(text, x, vision)", "x=audio"),
    "star": ("*inputs", "return self.fused(*inputs)", "forward(text, audio, vision)"),
    "keyword only": ("*, text, audio, vision", "return self.fused(text, audio, vision)", "forward(text, audio"),
    "lengths": (
        "text, audio, video, text_lengths, audio_lens, vision_len",
        "return self.fused(text / text_lengths.view(-1, 1, 1), audio / audio_lens.view(-1, 1, 1), video)",
        "text_lengths, audio_lens=audio_lengths, vision_len=vision_lengths",
    ),
    "lengths of the text": (
        "text, audio, vision, lengths",
        "assert lengths.dtype == torch.int64; return self.fused(text / lengths.view(-1, 1, 1), audio, vision)",
        "lengths=text_lengths",
    ),
    "optional lengths": (
        "text, audio, vision, lengths=None",
        "return self.fused(text / lengths.view(-1, 1, 1), audio, vision)",
        "lengths=text_lengths",
    ),
    "MMSA's tuples": (
        "text, audio, video",
        "audio, n = audio; video, k = video; return self.fused(text / n.view(-1, 1, 1), audio, video)",
        "audio=(audio, audio_lengths), video=(vision, vision_lengths)",
    ),
    "tuples everywhere": (
        "text, audio, video",
        "return self.fused(text[0], audio[0] / audio[1].view(-1, 1, 1), video[0])",
        "text=(text, text_lengths)",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_the_call_is_detected(case: str, folder: Path, tiny: Dataset) -> None:
    arguments, body, words = CALLS[case]
    write(folder, arguments=arguments, body=body.replace("; ", "\n        "))
    model = built(tiny)
    assert isinstance(model, AdaptedModule)
    assert words in model.call.sentence
    assert model.call.sentence in repr(model)
    assert model.training
    output = model(tiny.splits["test"].batch())
    assert output.prediction.shape == (20,)


RETURNS = {
    "(B, 1)": ("{}", "a tensor of shape (B, 1)"),
    "(B,)": ("{}[:, 0]", "a tensor of shape (B,)"),
    "squeezed": ("{}.squeeze()", "a tensor of shape (B,)"),
    "M": ("{{'Feature_t': text.mean(1)[:, 0], 'M': {}}}", "dict['M'] of shape (B, 1)"),
    "logits": ("{{'logits': {}, 'loss': text.mean()}}", "dict['logits'] of shape (B, 1)"),
    "pred": ("{{'hidden': text, 'pred_sentiment': {}}}", "dict['pred_sentiment']"),
    "another key": ("{{'hidden': text, 'score': {}}}", "dict['score']"),
    "tuple": ("{}, text.mean(1)", "tuple[0] of shape (B, 1)"),
    "second of a tuple": ("text, {}", "tuple[1] of shape (B, 1)"),
    "object": ("__import__('types').SimpleNamespace(hidden=text, logits={})", "SimpleNamespace['logits']"),
    "ordered": ("__import__('collections').OrderedDict(M={})", "OrderedDict['M']"),
    "Output": ("__import__('qamoe_bench').Output({}[:, 0])", "an Output"),
}


@pytest.mark.parametrize("case", RETURNS)
def test_the_prediction_is_detected(case: str, folder: Path, tiny: Dataset) -> None:
    expression, words = RETURNS[case]
    write(folder, body="return " + expression.format("self.fused(text, audio, vision)"))
    model = built(tiny).eval()
    assert isinstance(model, AdaptedModule)
    assert words in model.call.sentence
    samples = tiny.splits["test"].batch()
    with torch.no_grad():
        expected = model.module.fused(*samples.features.values())[:, 0]  # type: ignore[operator]
        assert torch.equal(model(samples).prediction, expected)
        assert model(samples.rows(slice(0, 1))).prediction.shape == (1,)


def test_nothing_is_drawn_or_changed_by_the_detection(folder: Path, tiny: Dataset) -> None:
    write(folder, body="import numpy; numpy.random.rand(); torch.rand(1); return self.fused(text, audio, vision)")
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # type: ignore[index]  # noqa: NPY002
    model = built(tiny)
    assert np.array_equal(np.random.get_state()[1], before[0])  # type: ignore[index]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])
    again = built(tiny)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


CONSTRUCTORS = {
    "spec": ("spec", "spec.widths['text']", "spec.widths['audio']", "spec.widths['vision']"),
    "widths": ("text_dim, audio_dim, vision_dim", "text_dim", "audio_dim", "vision_dim"),
    "other order": ("video_dim, audio_dim, text_dim, hidden=4", "text_dim", "audio_dim", "video_dim"),
    "prefix": ("d_l, d_a, d_v", "d_l", "d_a", "d_v"),
    "orig": ("orig_d_l, orig_d_a, orig_d_v", "orig_d_l", "orig_d_a", "orig_d_v"),
    "defaults": ("text_in=768, audio_in=74, visual_in=35", "text_in", "audio_in", "visual_in"),
    "tuple": ("feature_dims, dropout=0.1", *(f"feature_dims[{i}]" for i in range(3))),
    "keyword only": ("*, text_size, audio_size, video_size", "text_size", "audio_size", "video_size"),
    "lengths too": (
        "text_dim, audio_dim, vision_dim, audio_len",
        "text_dim",
        "audio_dim + 0 * audio_len",
        "vision_dim",
    ),
    "numbers written out": ("", "5", "3", "4"),
}


@pytest.mark.parametrize("case", CONSTRUCTORS)
def test_the_constructor_is_filled_from_the_data(case: str, folder: Path, tiny: Dataset) -> None:
    constructor, text, audio, vision = CONSTRUCTORS[case]
    write(folder, constructor=constructor, text=text, audio=audio, vision=vision)
    inner = built(tiny).module
    assert isinstance(inner, nn.Module)
    assert [getattr(inner, m).in_features for m in ("text", "audio", "vision")] == [5, 3, 4]


def test_settings_reach_the_constructor(folder: Path, tiny: Dataset) -> None:
    write(folder, constructor="text_dim, audio_dim, vision_dim, classes", classes="classes", text="text_dim")
    model = built(tiny, "plainnet.py:Net:classes=1")
    assert model.module.head.out_features == 1  # type: ignore[union-attr]
    with pytest.raises(BenchError, match="plainnet:Net takes no such setting"):
        built(tiny, "plainnet.py:Net:classes=1,klasses=1")


def test_a_declaration_decides(folder: Path, tiny: Dataset) -> None:
    declared = {
        "arguments": ("audio", "text_with_lengths", "vision", "text_mask"),
        "prediction": "second",
        "constructor": {"first": "text_width", "rest": "widths", "classes": 1},
    }
    write(
        folder,
        after=f"\n\nADAPTER = {declared!r}\n",
        constructor="first, rest, classes",
        text="first",
        audio="rest[1]",
        vision="rest[2]",
        classes="classes",
        arguments="x, y, z, w",
        body="""assert y[1].shape == (len(x),) and w.dtype == torch.bool and w.shape == y[0].shape[:2]
        return {'first': x.mean((1, 2)), 'second': self.fused(y[0], x, z)}""",
    )
    model = built(tiny)
    assert isinstance(model, AdaptedModule)
    assert model.call.sentence == (
        "is called as forward(audio, (text, text_lengths), vision, text_mask) and returns dict['second'] of shape "
        "(B, 1)"
    )
    assert model(tiny.splits["test"].batch()).prediction.shape == (20,)


def test_a_class_may_hold_the_declaration(folder: Path, tiny: Dataset) -> None:
    write(
        folder,
        after='    ADAPTER = {"prediction": 1}\n',
        body="return text.mean((1, 2)), self.fused(text, audio, vision)",
    )
    model = built(tiny)
    assert isinstance(model, AdaptedModule)
    assert "tuple[1]" in model.call.sentence


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown required argument": (
        {"constructor": "text_dim, audio_dim, vision_dim, depth"},
        "expected arguments of Net that the data say, such as text_dim, or that have a default, got 'depth'; give it "
        "as a setting after the name, as in :depth=VALUE",
    ),
    "namespace": (
        {"constructor": "args", "text": "args.text_dim"},
        r"expected Net\(spec\) to build it, got AttributeError: 'DataSpec' object has no attribute 'text_dim'; write a "
        r"function build\(spec\)",
    ),
    "wrong number": (
        {"text": 7},
        r"expected forward\(text, audio, vision\) to accept a batch, got RuntimeError: mat1 and mat2",
    ),
    "two unknown of one": (
        {"arguments": "text, x, y, z"},
        r"expected arguments that say what they hold.*got forward\(text, x, y, z\); declare ADAPTER",
    ),
    "label": (
        {"arguments": "text, audio, vision, label"},
        r"expected arguments that say what they hold.*got forward\(text, audio, vision, label\)",
    ),
    "mask": (
        {"arguments": "text, audio, vision, mask"},
        r"expected arguments that say what they hold.*got forward\(text, audio, vision, mask\); declare",
    ),
    "no argument": ({"arguments": ""}, "expected a forward pass with arguments"),
    "classes": ({"classes": 7}, r"expected a prediction with one number for each of 5 samples, got a tensor of shape"),
    "class logits": (
        {"classes": 7, "body": "return {'logits': self.fused(text, audio, vision)}"},
        r"expected a prediction with one number.*got a dict of 1 \('logits': a tensor of shape \(5, 7\)\)",
    ),
    "None": ({"body": "self.fused(text, audio, vision)"}, "expected a prediction.*got None; return it as a tensor"),
    "two predictions": (
        {"body": "y = self.fused(text, audio, vision)\n        return y, y"},
        r"expected one prediction, got a tuple of 2 .* where 0 and 1 have one number per sample; declare ADAPTER = "
        r"\{'prediction': 0\}",
    ),
    "wrong order declared": (
        {"after": "\nADAPTER = {'arguments': ('audio', 'text', 'vision')}\n"},
        "to accept a batch, got RuntimeError",
    ),
    "misspelt argument": (
        {"after": "\nADAPTER = {'arguments': ('text', 'audoi', 'vision')}\n"},
        "unknown argument in ADAPTER in plainnet 'audoi'.*did you mean 'audio'",
    ),
    "misspelt key": (
        {"after": "\nADAPTER = {'argument': ('text',)}\n"},
        "unknown key of ADAPTER in plainnet 'argument'.*did you mean 'arguments'",
    ),
    "misspelt fact": (
        {"after": "\nADAPTER = {'constructor': {'a': 'text_widht'}}\n"},
        "unknown value in 'constructor' of ADAPTER in plainnet 'text_widht'.*did you mean 'text_width'",
    ),
    "no dictionary": ({"after": "\nADAPTER = 'M'\n"}, "ADAPTER in plainnet: expected a dictionary, got 'M'"),
    "prediction elsewhere": (
        {"after": "\nADAPTER = {'prediction': 'M'}\n"},
        "expected one number per sample at 'M', which ADAPTER declares, got a tensor of shape",
    ),
    "an instance": ({"after": "\nnet = Net()\n", "name": "plainnet.py:net"}, "got a module that exists already.*Net"),
    "no such class": ({"name": "plainnet.py:Nett"}, "expected a function or class 'Nett' in plainnet, got None"),
    "no such file": ({"name": "plainet.py:Net"}, "model plainet.py:Net: expected a Python file, got 'plainet.py'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_detected_is_refused_with_what_to_declare(case: str, folder: Path, tiny: Dataset) -> None:
    parts, words = REFUSED[case]
    write(folder, **{key: value for key, value in parts.items() if key != "name"})
    with pytest.raises(BenchError, match=words) as raised:
        built(tiny, str(parts.get("name", "plainnet.py:Net")))
    assert "\n" not in str(raised.value)


def test_equal_widths_leave_the_order_open(folder: Path) -> None:
    data = make_dataset()
    same = {}
    for name, split in data.splits.items():
        features = {m: x[:, :4, :3].contiguous() for m, x in split.features.items()}
        lengths = {m: n.clamp(max=4) for m, n in split.lengths.items()}
        same[name] = type(split)(split.ids, split.target, features, lengths)
    equal = Dataset("equal", same, digest="equal")
    write(folder, arguments="x, y, z", body="return self.fused(x, y, z)", text=3, audio=3, vision=3)
    with pytest.raises(BenchError, match=r"got forward\(x, y, z\), which accepts 6 orders of the modalities; declare"):
        built(equal)
    with (folder / "plainnet.py").open("a") as file:
        file.write("\nADAPTER = {'arguments': ('text', 'audio', 'vision')}\n")
    sys.modules.pop("plainnet")
    assert isinstance(built(equal), AdaptedModule)


def test_a_modality_that_the_data_lack_is_refused_or_left_out(folder: Path) -> None:
    data = make_dataset(("text", "audio"))
    write(folder)
    with pytest.raises(BenchError, match="expected data with vision, which its forward pass takes, got text, audio"):
        built(data)
    sys.modules.pop("plainnet")
    write(folder, constructor="text_dim, audio_dim, vision_dim")
    with pytest.raises(BenchError, match="expected data with vision, which its constructor takes"):
        built(data)
    sys.modules.pop("plainnet")
    write(folder, arguments="text, audio, vision=None", body="return self.text(text.mean(1)).sum(1)")
    model = built(data)
    assert isinstance(model, AdaptedModule)
    assert "forward(text, audio) and" in model.call.sentence


def test_a_prediction_that_depends_on_the_size_of_the_batch_is_named(folder: Path, tiny: Dataset) -> None:
    write(folder, body="y = self.fused(text, audio, vision)\n        return y if len(y) == 5 else y[:2]")
    with pytest.raises(RunFailed, match=r"returned a tensor of shape \(2, 1\) for a batch of 20: expected one number"):
        built(tiny)(tiny.splits["test"].batch())


LOSSES = {
    "none": ("", 1),
    "method": ("    def loss(self, returned, target):\n        return (returned['M'] - target).square().mean()\n", 2),
    "criterion": ("    loss = nn.MSELoss()\n", 2),
}


@pytest.mark.parametrize("case", LOSSES)
def test_a_loss_of_the_class_replaces_the_mean_absolute_error(case: str, folder: Path, tiny: Dataset) -> None:
    method, power = LOSSES[case]
    write(folder, body="return {'M': self.fused(text, audio, vision)}", after=method)
    model = built(tiny)
    assert isinstance(model, HasLoss) == (case != "none")
    batch = training_batch(tiny.splits["train"])
    output = model(batch)
    assert isinstance(output, Output)
    expected = (output.prediction - batch.target).abs().pow(power).mean()
    torch.testing.assert_close(loss_of(model, output, batch), expected)


def test_a_run_says_how_a_module_is_called_trains_it_and_reuses_it(
    folder: Path, write_pickle: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_pickle()
    (folder / "elsewhere").mkdir()
    write(folder / "elsewhere", constructor="text_dim, audio_dim, vision_dim", text="text_dim")
    name = "elsewhere/plainnet.py:Net"
    command = ("run", "--protocol", "random-missing", "--data", data, "--seeds", "1", "--executor", "local")
    done = bench((*command, "--model", f"{name}:train.epochs=6", "--results", "r"), capsys, monkeypatch)
    assert done.code == 0, done.err
    line = (
        "note: model plainnet.py:Net:train.epochs=6 is called as forward(text, audio, vision) and returns a tensor of "
    )
    assert f"{line}shape (B, 1)" in done.err.splitlines()
    assert "plainnet.py:Net:train.epochs=6" in done.out
    (checkpoint,) = folder.glob("r/runs/*/checkpoints/*.safetensors")
    assert "text.weight" in load_file(checkpoint)  # the names of the module itself
    given = (*command, "--model", name, "--checkpoint", checkpoint, "--results", "s")
    assert bench(given, capsys, monkeypatch).code == 0
    first, second = (Store(folder / results).cells() for results in ("r", "s"))
    for one, other in zip(first, second, strict=True):
        assert one.cell.model.startswith("plainnet.py:Net")
        assert np.array_equal(one.column("prediction"), other.column("prediction"))
    again = bench((*command, "--model", f"{name}:train.epochs=6", "--results", "r"), capsys, monkeypatch)
    assert "nothing to do" in again.err


def test_a_change_to_the_module_is_another_model(folder: Path, tiny: Dataset) -> None:
    write(folder)
    before = find_model("plainnet.py:Net").code().digest
    sys.modules.pop("plainnet")
    write(folder, classes="2 - 1")
    assert find_model("plainnet.py:Net").code().digest != before


def test_a_file_called_like_another_module_is_refused(folder: Path) -> None:
    write(folder)
    (folder / "plainnet.py").rename(folder / "random.py")
    with pytest.raises(BenchError, match="expected a file that is not called like another module, got random.py"):
        find_model("random.py:Net").builder()


def test_the_cost_of_a_module_is_measured(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        folder, constructor="text_dim, audio_dim, vision_dim", text="text_dim", audio="audio_dim", vision="vision_dim"
    )
    done = bench(("cost", "--model", "plainnet.py:Net", "--batch", "1", "--json"), capsys, monkeypatch)
    assert done.code == 0, done.err
    (cost,) = json.loads(done.out)
    assert cost["model"] == "plainnet.py:Net"
    assert cost["parameters"] > 0
