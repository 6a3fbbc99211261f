"""Messages of errors: one line of bounded length, whatever they quote."""

import pickle
from pathlib import Path

import pytest

from qamoe_bench.errors import LONGEST_MESSAGE, LONGEST_WORD, BenchError, RunFailed, unknown_name
from qamoe_bench.run.grid import Grid
from qamoe_bench.run.study import load_study


@pytest.mark.parametrize("kind", [BenchError, RunFailed])
def test_a_message_is_one_line_of_bounded_length(kind: type[Exception]) -> None:
    assert str(kind("expected a,\ngot b;\r\nwrite a\n")) == "expected a, got b; write a"
    name = str(kind(f"unknown key {'1' * 5000!r}; expected model"))
    assert name.startswith("unknown key '111")
    assert name.endswith("; expected model")
    assert "…" in name
    assert len(name) < LONGEST_WORD + 50
    many = str(kind(f"expected {'one of these ' * 1000}; choose one"))
    assert len(many) <= LONGEST_MESSAGE + 1
    assert many.startswith("expected one")
    assert many.endswith("choose one")


def test_an_ordinary_path_is_quoted_whole() -> None:
    path = "/" + "/".join(["folder-of-a-user"] * 20)
    assert path in str(BenchError(f"{path}: expected a file, got a folder; name the file"))


def test_a_message_survives_the_way_from_a_worker() -> None:
    error = BenchError("x" * 5000)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_names_from_files_are_shortened(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(f"schema = 1\n{'1' * 5000} = 3\n")
    with pytest.raises(BenchError, match="unknown key") as caught:
        load_study(study, Grid())
    assert len(str(caught.value)) < LONGEST_MESSAGE
    assert len(str(unknown_name("model", "y" * 9000, ["late-fusion"]))) < LONGEST_MESSAGE
