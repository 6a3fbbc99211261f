"""Embedded data by name: opening, listing, inspecting, and what is said about names that are none."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commandline import Done, bench
from dataformats import dump
from tinydata import mmsa_content

from qamoe_bench.curation.audit import audit
from qamoe_bench.curation.audit_tables import audit_chapter
from qamoe_bench.data.embedded import EMBEDDED
from qamoe_bench.data.open import open_dataset

Bench = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Runs the command in this process."""
    return lambda *words: bench(words, capsys, monkeypatch)


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_data_are_opened_by_name_and_have_an_oracle(name: str) -> None:
    data = open_dataset(name)
    assert data.name == name
    assert data.oracle is not None
    assert set(data.reliability) == set(data.splits)


def test_the_sentiment_data_have_not_changed() -> None:
    data = open_dataset("synthetic")
    assert data.digest == "cf53ac1995cf156335928cdc9070c65ce0e91b424146f293799e090d7f585790"
    exact = hashlib.sha256()
    for split in data.splits.values():
        exact.update(split.target.numpy().tobytes())
        for m in split.modalities:
            exact.update(split.lengths[m].numpy().tobytes())
    for scatter in data.reliability.values():
        for tau in scatter.values():
            exact.update(tau.tobytes())
    assert exact.hexdigest().startswith("ba2c600c316f9f94")
    # The last bit of a feature may differ between machines, so these are summed with fixed weights instead of hashed.
    for m, expected in {"text": -155.633436, "audio": -361.138532, "vision": -886.962892}.items():
        x = data.splits["test"].features[m].double().numpy().ravel()
        assert x @ np.cos(np.arange(x.size)) == pytest.approx(expected, abs=1e-3)


def test_embedded_data_are_listed_first(run: Bench) -> None:
    entries = json.loads(run("ls", "datasets", "--json").out)
    assert [entry["name"] for entry in entries if entry["here"] == "yes"] == ["synthetic", "synthetic-emotion"]
    assert "synthetic-emotion" in run("run", "--help").out


def test_inspecting_emotions_shows_names_and_shares() -> None:
    report = audit("synthetic-emotion")
    chapter = audit_chapter(report)
    assert "format: embedded data" in chapter.lines
    assert any("6 classes" in line and "labels from" not in line for line in chapter.lines)
    table = chapter.tables[-1]
    assert [row[0] for row in table.rows] == ["happy", "sad", "neutral", "angry", "excited", "frustrated"]
    frustrated = table.rows[-1]
    assert frustrated[0] == "frustrated"
    assert float(frustrated[2]) == pytest.approx(100 * int(frustrated[1]) / 1284, abs=0.05)
    record = json.loads(json.dumps(report.record()))
    assert record["task"] == {"kind": "classes", "names": [row[0] for row in table.rows]}
    assert sum(record["labels"][2]["histogram"].values()) == 686
    assert record["labels"][0]["mean"] is None


def test_inspecting_sentiment_by_name_shows_its_scale(run: Bench) -> None:
    done = run("data", "inspect", "synthetic")
    assert done.code == 0
    assert "labels from -3 to 3" in done.out


@pytest.mark.parametrize(
    ("given", "end"),
    [
        ("synthetic_emotoin", "no such file; did you mean 'synthetic-emotion'?"),
        ("Synthetic", "no such file; did you mean 'synthetic'?"),
        ("synth/synthetic.pkl", "no such file"),
        ("./synthetic", "no such file"),
    ],
)
def test_a_name_that_is_none_is_refused_with_those_that_are(given: str, end: str, run: Bench) -> None:
    start = f"error: data '{given}': expected 'synthetic', 'synthetic-emotion' or the path of a data file or folder; "
    for words in (("data", "inspect", given), ("run", "--protocol", "clean", "--data", given)):
        assert run(*words).refusal() == start + end


def test_a_path_in_front_of_the_name_means_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Bench
) -> None:
    dump(tmp_path / "synthetic", mmsa_content())
    monkeypatch.chdir(tmp_path)
    assert json.loads(run("data", "inspect", "./synthetic", "--json").out)["format"] != "embedded data"
    assert len(open_dataset("./synthetic").splits["test"]) == 20


def test_embedded_data_load_no_reader_of_files() -> None:
    code = (
        "import sys\n"
        "from qamoe_bench.data.open import open_dataset\n"
        "from qamoe_bench.provenance.engine import engine_digest\n"
        "open_dataset('synthetic')\n"
        "engine_digest()\n"  # looks at the source of the readers
        "print(*{'qamoe_bench.data.data_files', 'qamoe_bench.data.readers.layouts'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
