"""Ten levels of lost frames in this suite and with the loader and test loop of MMSA; run by `make benchmark-peers`.

The same test split, of CMU-MOSI's unaligned size for LMF and its aligned size for MulT, untrained models, times
measured alternately within this run. MMSA's way is that of its own code: per level it reads the data file, draws the
masks with its `generate_m` and passes the split through its `do_test`; the package draws masks for TFR-Net only, so
that its functions are called here for the other two models. A second ratio leaves reading the file out, because it
could be read once. MMSA's functions that choose a GPU are not
called, because they fail without one.
"""

import argparse
import os
import pickle
import statistics
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from wall_time import seconds_of

from qamoe_bench.data.open import open_dataset
from qamoe_bench.evaluation.sweep import sweep_model
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.registry import find_model

os.environ["TQDM_DISABLE"] = "1"  # before MMSA is imported, whose loops would print bars

from MMSA.config import get_config_regression
from MMSA.data_loader import MMDataset
from MMSA.models import AMIO
from MMSA.trains import ATIO

SPLITS = {"train": 64, "valid": 8, "test": 686}
FRAMES = {"unaligned": {"text": 50, "audio": 375, "vision": 500}, "aligned": {"text": 50, "audio": 50, "vision": 50}}
WIDTHS = {"text": 768, "audio": 5, "vision": 20}
RATES = [round(0.1 * k, 1) for k in range(10)]
PROTOCOL = f"""
schema = 1
title = "Ten levels of lost frames"
source = "the rates of TFR-Net's evaluation but the last"
definition = "Each valid frame is lost with probability η."

[axes]
eta = {RATES}

[[corruption]]
kind = "frame-missing"
rate = "eta"
"""


@dataclass(frozen=True)
class Pair:
    """A model of MMSA, and those of this suite that are compared with it."""

    peer: str
    size: str
    ours: tuple[str, ...]


PAIRS = (
    Pair("lmf", "unaligned", ("mmsa:lmf", "lmf", "late-fusion")),
    Pair("mult", "aligned", ("mmsa:mult", "mult")),
)


def write_file(path: Path, size: str) -> None:
    """Random features as a pickle of MMSA's layout, with the sizes of CMU-MOSI."""
    random = np.random.default_rng(0)
    content: dict[str, dict[str, Any]] = {}
    for split, count in SPLITS.items():
        part: dict[str, Any] = {
            m: random.standard_normal((count, frames, WIDTHS[m]), np.float32) for m, frames in FRAMES[size].items()
        }
        lengths = {m: random.integers(frames // 4, frames + 1, count) for m, frames in FRAMES[size].items()}
        if size == "aligned":
            lengths = dict.fromkeys(lengths, lengths["text"])
        for m, values in part.items():
            values[np.arange(FRAMES[size][m]) >= lengths[m][:, None]] = 0
        part["text_bert"] = np.zeros((count, 3, FRAMES[size]["text"]), np.float32)
        part["text_bert"][:, 1] = np.arange(FRAMES[size]["text"]) < lengths["text"][:, None]
        part |= {f"{m}_lengths": lengths[m].tolist() for m in ("audio", "vision")}
        part["regression_labels"] = random.uniform(-3, 3, count).astype(np.float32)
        part["id"] = [f"{split}{i // 10}$_${i}" for i in range(count)]
        part["raw_text"] = [""] * count
        content[split] = part
    path.write_bytes(pickle.dumps(content, protocol=4))


class Peer:
    """A model of MMSA with its own loader and test loop."""

    def __init__(self, name: str, path: Path, size: str) -> None:
        self.args = get_config_regression(name, "mosi")
        self.args.update(
            featurePath=str(path), custom_feature="", feature_T="", feature_A="", feature_V="", train_mode="regression",
            device=torch.device("cpu"), need_data_aligned=size == "aligned", num_classes=1, cur_seed=1,
        )  # fmt: skip
        with path.open("rb") as file:
            text = pickle.load(file)["test"]["text_bert"]  # written above
        self.text_lengths = text[:, 1].sum(1).astype(int)
        self.args["seq_lens"] = MMDataset(self.args, "train").get_seq_len()
        self.model = AMIO(self.args)
        self.trainer = ATIO().getTrain(self.args)

    def sweep(self) -> tuple[float, float]:
        """Seconds of all rates, and those of them that reading the file took."""
        start = time.perf_counter()
        reading = 0.0
        for rate in RATES:
            before = time.perf_counter()
            # Means over time are taken of the frames that are left, so they are not taken while the file is read.
            data = MMDataset(type(self.args)(self.args | {"need_normalized": False}), "test")
            reading += time.perf_counter() - before
            self.lose(data, rate)
            self.trainer.do_test(self.model, DataLoader(data, batch_size=self.args["batch_size"]), mode="TEST")
        return time.perf_counter() - start, reading

    def lose(self, data: MMDataset, rate: float) -> None:
        """Lose frames of every modality with MMSA's function, then take means where the model asks for them."""
        audio = self.text_lengths if self.args["need_data_aligned"] else data.audio_lengths
        vision = self.text_lengths if self.args["need_data_aligned"] else data.vision_lengths
        data.text = data.generate_m(data.text, None, self.text_lengths, rate, 1111, mode="audio")[0]
        data.audio = data.generate_m(data.audio, None, audio, rate, 1111, mode="audio")[0]
        data.vision = data.generate_m(data.vision, None, vision, rate, 1111, mode="vision")[0]
        if self.args.get("need_normalized"):
            data._MMDataset__normalize()


class Ours:
    """A model of this suite, and the sweep that `run` makes of it."""

    def __init__(self, name: str, path: Path, protocol: Path) -> None:
        ref = find_model(name)
        data = open_dataset(str(path))
        self.model: nn.Module = ref.builder()(data.spec, **ref.settings).eval()
        self.test = TestSet(data, 1111, torch.device("cpu"))
        self.protocol = load_protocol(str(protocol))

    def sweep(self) -> float:
        """Seconds of all rates."""
        return seconds_of(lambda: sweep_model(self.model, self.test, self.protocol, permutations=0))


def compare(pair: Pair, folder: Path, turns: int) -> None:
    """Print the times of a pair and their ratios."""
    path = folder / f"{pair.size}.pkl"
    write_file(path, pair.size)
    protocol = folder / "ten-levels.toml"
    protocol.write_text(PROTOCOL, encoding="utf-8")
    peer = Peer(pair.peer, path, pair.size)
    ours = {name: Ours(name, path, protocol) for name in pair.ours}
    peer.sweep()
    for each in ours.values():
        each.sweep()
    theirs: list[tuple[float, float]] = []
    spent: dict[str, list[float]] = {name: [] for name in ours}
    for _ in range(turns):
        theirs.append(peer.sweep())
        for name, each in ours.items():
            spent[name].append(each.sweep())
    whole = statistics.median(total for total, _ in theirs)
    rest = statistics.median(total - reading for total, reading in theirs)
    print(f"MMSA's {pair.peer}, {pair.size}: {whole:.2f} s, {rest:.2f} s without reading the file")  # noqa: T201
    for name, times in spent.items():
        ratios = [total / own for (total, _), own in zip(theirs, times, strict=True)]
        without = [(total - reading) / own for (total, reading), own in zip(theirs, times, strict=True)]
        print(  # noqa: T201
            f"  {name:12} {statistics.median(times):6.2f} s: {statistics.median(ratios):5.1f} times faster "
            f"({min(ratios):.1f} to {max(ratios):.1f}); without reading {statistics.median(without):5.1f}"
        )


def main() -> None:
    """Print all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of both, as workers of `run` have one")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for pair in PAIRS:
            compare(pair, Path(folder), options.turns)


if __name__ == "__main__":
    main()
