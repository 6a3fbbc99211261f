"""The command line as scripts use it: exit codes, one-line errors, and only results on standard output."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process import bench, refused
from smallstudy import SHORT
from tinydata import mmsa_content

Content = dict[str, dict[str, Any]]


COMMAND = (
    "run", "--protocol", "random-missing", "--protocol", "quality-degradation", "--data", "tiny.pkl",
    "--model", f"late-fusion:{SHORT}", "--model", f"qa-moe:{SHORT}", "--seeds", "1,2", "--jobs", "1",
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one run on a tiny file with text and audio."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "tiny.pkl").write_bytes(pickle.dumps(mmsa_content(("text", "audio"))))
    done = bench(*COMMAND, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "run.out").write_text(done.stdout, encoding="utf-8")
    (folder / "run.err").write_text(done.stderr, encoding="utf-8")
    return folder


def test_run_prints_tables_on_stdout_and_messages_on_stderr(store: Path) -> None:
    out = (store / "run.out").read_text(encoding="utf-8")
    err = (store / "run.err").read_text(encoding="utf-8")
    for words in (
        "random-missing on tiny",
        "late-fusion",
        "qa-moe",
        "dialect: mmsa",
        "spectrum",
        "% of modalities missing",
        "Ranking by mae",
        "seeds: 1, 2",
    ):
        assert words in out
    assert "oracle" not in out  # the law of this data is not known
    assert "trained 4 models, evaluated 8 cells, reused 0" in err


def test_a_repeated_command_reports_that_nothing_is_to_do(store: Path) -> None:
    done = bench(*COMMAND, cwd=store)
    assert "nothing to do: all 8 cells are stored already; trained 0, evaluated 0" in done.stderr
    assert done.stdout == (store / "run.out").read_text(encoding="utf-8")


def test_report_prints_what_the_run_printed(store: Path) -> None:
    assert bench("report", cwd=store).stdout == (store / "run.out").read_text(encoding="utf-8")


def test_report_as_markdown_in_another_dialect_into_a_file(store: Path, tmp_path: Path) -> None:
    done = bench("report", "--format", "markdown", "--dialect", "mai", "--output", str(tmp_path / "r.md"), cwd=store)
    assert (done.returncode, done.stdout) == (0, "")
    text = (tmp_path / "r.md").read_text(encoding="utf-8")
    assert "metric dialect: mai" in text
    assert "| model | η=0 | 0.1 |" in text
    for title in ("acc2_non0, %: summary", "acc7, %: summary", "mae: summary", "corr: summary"):
        assert text.count(f"**{title} over all levels**") == 2  # protocols


def test_report_shows_the_given_metrics(store: Path) -> None:
    out = bench("report", "--metric", "f1_has0", cwd=store).stdout
    assert "f1_has0, %" in out
    assert "mae" not in out


def test_lists_are_tables_or_json(store: Path) -> None:
    names = {}
    for kind in ("models", "protocols", "datasets", "metrics", "runs"):
        entries = json.loads(bench("ls", kind, "--json", cwd=store).stdout)
        names[kind] = [entry["name"] for entry in entries]
        table = bench("ls", kind, cwd=store).stdout
        assert all(name in table for name in names[kind])
    assert {"qa-moe", "c-mib", "late-fusion", "text-only", "mean"} <= set(names["models"])
    assert {"clean", "random-missing", "quality-degradation"} <= set(names["protocols"])
    assert names["datasets"][0] == "synthetic"
    assert "mosi-unaligned" in names["datasets"]
    assert names["metrics"][:2] == ["acc2_has0", "acc2_non0"]
    assert len(names["runs"]) == 1


def test_a_user_provided_protocol_file_runs(store: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n[[corruption]]\nkind = "frame-missing"\nrate = 0.5\n',
        encoding="utf-8",
    )
    done = bench(
        "run", "--protocol", str(tmp_path / "mine.toml"), "--data", "tiny.pkl", "--seeds", "1",
        "--model", f"late-fusion:{SHORT}", cwd=store,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mine on tiny" in done.stdout
    assert "trained 0 models, evaluated 1 cells" in done.stderr


RUN = ("run", "--protocol", "clean", "--model", f"late-fusion:{SHORT}", "--data")


def spoil(key: str, value: Callable[[Any], object]) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        content["test"][key] = value(content["test"][key])

    return change


def nan_label(labels: Any) -> Any:
    return np.where(np.arange(len(labels)) == 3, np.nan, labels)


BAD_CONTENT: dict[str, tuple[Callable[[Content], object], str]] = {
    "wrong key": (lambda c: c["train"].update(txt=c["train"].pop("text")), "txt"),
    "no labels": (lambda c: c["test"].pop("regression_labels"), "regression_labels"),
    "NaN label": (spoil("regression_labels", nan_label), "nan in test 'test3'"),
    "lengths disagree": (spoil("text_lengths", lambda n: n[:-1]), "text_lengths"),
    "negative length": (spoil("audio_lengths", lambda n: n - 100), "audio_lengths"),
    "empty split": (lambda c: c.update(valid={k: v[:0] for k, v in c["valid"].items()}), "valid"),
    "one sample": (lambda c: c.update(test={k: v[:1] for k, v in c["test"].items()}), "at least 2 samples"),
    "missing split": (lambda c: c.pop("valid"), "valid"),
}


@pytest.mark.parametrize("case", BAD_CONTENT)
def test_bad_data_is_refused_in_one_line_and_nothing_is_written(
    case: str, write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    change, word = BAD_CONTENT[case]
    line = refused(bench(*RUN, str(write_pickle(change)), cwd=tmp_path))
    assert word in line
    assert not (tmp_path / "results").exists()


class _Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


def test_bad_files_are_refused_in_one_line_and_run_no_code(write_pickle: Callable[..., Path], tmp_path: Path) -> None:
    good = write_pickle()
    cases = {
        "truncated.pkl": good.read_bytes()[:-100],
        "code.pkl": pickle.dumps(_Payload()),
        "text.pkl": b"not a pickle",
        "empty.pkl": b"",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        assert name in refused(bench(*RUN, name, cwd=tmp_path))
    assert "no such file" in refused(bench(*RUN, "absent.pkl", cwd=tmp_path))
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "results").exists()


BAD_ARGUMENTS = [
    (("run", "--protocol", "random-mising"), "did you mean 'random-missing'"),
    (("run", "--protocol", "clean", "--model", "qa-mo"), "did you mean 'qa-moe'"),
    (("run", "--protocol", "clean", "--model", "no.such:build"), "no module 'no.such'"),
    (("run", "--protocol", "clean", "--regime", "clen"), "did you mean 'clean'"),
    (("run", "--protocol", "clean", "--preset", "quik"), "did you mean 'quick'"),
    (("run", "--protocol", "clean", "--seeds", "1,x"), "expected whole numbers"),
    (("run", "--protocol", "clean", "--dialect", "mmas"), "did you mean 'mmsa'"),
    (("run", "--protocol", "clean", "--device", "gpu"), "unknown device"),
    (("run", "--protocol", "clean", "--model", "qa-moe:-quality-gat"), "did you mean '-quality-gate'"),
    (("run", "--protocol", "clean", "--model", "qa-moe:widht=3"), "did you mean 'width'"),
    (("run", "--protocol", "clean", "--checkpoint", "x", "--regime", "clean"), "leave one out"),
    (("run", "--protocol", "clean", "--checkpoint", "x"), "expected one --model"),
    (("report",), "no finished cells"),
    (("report", "--format", "markdwn"), "did you mean 'markdown'"),
    (("ls", "model"), "did you mean 'models'"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD_ARGUMENTS, ids=[" ".join(a) for a, _ in BAD_ARGUMENTS])
def test_bad_arguments_are_refused_in_one_line(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    assert words in refused(bench(*arguments, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_key_in_a_protocol_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('schema = 1\ntitel = "t"\n', encoding="utf-8")
    assert "did you mean 'title'" in refused(bench("run", "--protocol", "p.toml", cwd=tmp_path))


@pytest.mark.parametrize("folder", ["/proc/results", "file"])
def test_an_unwritable_results_folder_is_refused_before_any_work(
    folder: str, write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    line = refused(bench(*RUN, str(write_pickle()), "--results", folder, cwd=tmp_path))
    assert "cannot write" in line
    assert "name a place that can be written to" in line


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_full_disk_is_reported_and_no_file_is_incomplete(
    write_pickle: Callable[..., Path], tmp_path: Path, jobs: str
) -> None:
    done = bench(*RUN, str(write_pickle()), "--jobs", jobs, "--seeds", "1", cwd=tmp_path, file_limit=20_000)
    assert "cannot write" in refused(done)
    left = [p for p in (tmp_path / "results").rglob("*") if p.is_file()]
    assert [p.name for p in left] == ["run.json"]
