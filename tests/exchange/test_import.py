"""Predictions made elsewhere are stored like those of a run, or refused in one line with nothing stored."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from process import bench, refused
from tinydata import make_dataset

import qamoe_bench
from qamoe_bench.errors import BenchError
from qamoe_bench.exchange.export import export_samples
from qamoe_bench.exchange.imports import import_predictions
from qamoe_bench.exchange.manifest import sealed
from qamoe_bench.store.store import Store

Table = pd.DataFrame


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "out"
    export_samples(folder, "random-missing", make_dataset(), (1, 2), layout="npz")
    return folder


def predicted(exported: Path) -> Table:
    """A prediction of every case, as the loader of the export makes it easy to write."""
    manifest = json.loads((exported / "manifest.json").read_text(encoding="utf-8"))
    tables = []
    for case in manifest["cases"]:
        samples = np.load(exported / case["file"])
        keys = {key: case[key] for key in ("protocol_digest", "data_digest", "seed", "draw", "condition")}
        values = samples["text"].mean((1, 2)) + samples["audio"].mean((1, 2)).astype(np.float64)
        tables.append(Table({**keys, "id": samples["id"].astype(object), "prediction": values}))
    return pd.concat(tables, ignore_index=True)


@pytest.fixture
def table(exported: Path) -> Table:
    return predicted(exported)


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def as_csv(table: Table, path: Path) -> None:
    table.to_csv(path, index=False)


def as_csv_with_rows(table: Table, path: Path) -> None:
    table.to_csv(path, encoding="utf-8-sig", quoting=csv.QUOTE_ALL, lineterminator="\r\n")


def as_parquet(table: Table, path: Path) -> None:
    table.astype({"condition": "category"}).to_parquet(path)


def arrays(table: Table) -> dict[str, Any]:
    columns = {str(name): table[name].to_numpy() for name in table}
    return {name: c.astype(str) if c.dtype == object else c for name, c in columns.items()}


def as_npz(table: Table, path: Path) -> None:
    np.savez(path, **arrays(table))


WRITERS: tuple[Callable[[Table, Path], None], ...] = (as_csv, as_csv_with_rows, as_parquet, as_npz)


@pytest.mark.parametrize("write", WRITERS)
def test_every_format_stores_the_same_cells_in_any_order(
    write: Callable[[Table, Path], None], exported: Path, table: Table, tmp_path: Path
) -> None:
    path = tmp_path / ("p.npz" if write is as_npz else "p.dat")  # np.savez adds its own ending
    write(table.sample(frac=1, random_state=0), path)
    store = import_predictions(path, exported, "ridge", tmp_path / "results", "my tool 1", "abc")
    expected = import_predictions(table, exported, "ridge", tmp_path / "expected", "my tool 1", "abc")
    names = [stored.path.name for stored in store.cells()]
    assert names == [stored.path.name for stored in expected.cells()]
    assert len(names) == 2
    for first, second in zip(store.cells(), expected.cells(), strict=True):
        pd.testing.assert_frame_equal(first.predictions, second.predictions, rtol=0, atol=1e-7)


def test_cells_have_the_columns_of_a_run(exported: Path, table: Table, tmp_path: Path) -> None:
    data = make_dataset()
    model = qamoe_bench.load_model("mean", data)
    run = qamoe_bench.evaluate(model, data, "random-missing", seeds=(1, 2)).save(tmp_path / "run")
    store = import_predictions(table, exported, "ridge", tmp_path / "results", parameters=12)
    for ours, theirs in zip(store.cells(), run.cells(), strict=True):
        assert ours.facts.conditions == theirs.facts.conditions
        assert (ours.cell.data_digest, ours.cell.protocol_digest) == (data.digest, theirs.cell.protocol_digest)
        assert (ours.cell.regime, ours.facts.parameters, ours.facts.seconds_per_sample) == ("imported", 12, 0)
        columns = [name for name in theirs.predictions if not str(name).startswith("prediction_")]
        wanted = theirs.predictions[columns].drop(columns="prediction")
        pd.testing.assert_frame_equal(ours.predictions[list(wanted)], wanted, check_categorical=False)
        keys = ["condition", "id"]
        mine = table[table["seed"] == ours.cell.seed].set_index(keys)["prediction"].astype(np.float32)
        read = ours.predictions.astype({"condition": str, "id": str}).set_index(keys)["prediction"]
        pd.testing.assert_series_equal(read, mine.loc[read.index])


def test_a_repeated_import_adds_nothing_and_other_predictions_are_refused(
    exported: Path, table: Table, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    import_predictions(table, exported, "ridge", results, commit="1")
    before = content_of(results)
    import_predictions(table, exported, "ridge", results, commit="1")
    assert content_of(results) == before
    changed = table.assign(prediction=table["prediction"] + 0.1)
    with pytest.raises(BenchError, match="give another --commit or --model, or remove that file") as caught:
        import_predictions(changed, exported, "ridge", results, commit="1")
    assert content_of(results) == before
    import_predictions(changed, exported, "ridge", results, commit="2")  # the first advice
    import_predictions(changed, exported, "ridge 2", results, commit="1")  # the second
    assert len(Store(results).cells()) == 6
    for seed in (1, 2):  # the third, for the file of each seed
        (path,) = (
            c.path
            for c in Store(results).cells()
            if c.cell.label.startswith(f"ridge imported {seed}") and c.facts.imported["commit"] == "1"
        )
        path.unlink()
    assert "ridge-imported-1" in str(caught.value)
    import_predictions(changed, exported, "ridge", results, commit="1")
    assert len(Store(results).cells()) == 6


def test_seeds_of_several_exports_are_one_row(exported: Path, table: Table, tmp_path: Path) -> None:
    export_samples(tmp_path / "more", "random-missing", make_dataset(), (3,), layout="npz")
    import_predictions(table, exported, "ridge", tmp_path / "results", "t", "c")
    import_predictions(predicted(tmp_path / "more"), tmp_path / "more", "ridge", tmp_path / "results", "t", "c")
    (analysis,) = qamoe_bench.analyse(tmp_path / "results", metrics=["mae"])
    assert [(row.name, row.seeds) for row in analysis.section.rows] == [("ridge (imported)", (1, 2, 3))]


def test_further_outputs_are_stored(exported: Path, table: Table, tmp_path: Path) -> None:
    outputs = table.assign(
        variance=0.5, quality_text=0.25, quality_audio=1, quality_vision=0.0, prediction_mae=0.3,
        **{"probability_-1": 0.25, "probability_1": 0.75},
    )  # fmt: skip
    store = import_predictions(outputs, exported, "ridge", tmp_path / "results")
    for stored in store.cells():
        assert (stored.column("variance") == 0.5).all()
        assert (stored.column("prediction_mae") == np.float32(0.3)).all()
        assert {"quality_text", "probability_-1", "length_text", "energy_audio"} <= stored.names
    report = bench("report", "--all", "--results", "results", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    assert "Calibration of the predicted variances" in report.stdout


def test_probabilities_may_be_one_array(exported: Path, table: Table, tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", probabilities=np.full((len(table), 4), 0.25), **arrays(table))
    store = import_predictions(tmp_path / "p.npz", exported, "ridge", tmp_path / "results")
    assert (store.cells()[0].column("probability_3") == 0.25).all()


def one(table: Table, column: str, value: Any) -> Table:
    changed = table.astype({column: object})
    changed.loc[5, column] = value
    return changed


def every(column: str, value: Any) -> Callable[[Table], Table]:
    return lambda table: table.assign(**{column: value})


# What is wrong with the predictions, and words of the line that says so.
CHANGES: dict[str, tuple[Callable[[Table], Table], str]] = {
    "a missing id": (lambda t: t.drop(index=5), r"got none of 'test5' \(seed 1, draw 0, condition 'eta=0'\);"),
    "missing ids": (
        lambda t: t[t["id"] != "test7"], r"none of 'test7' .seed 1.*'eta=0.1'\), 'test7' .* and 13 more; predict every"
    ),
    "a missing condition": (lambda t: t[t["condition"] != "eta=0.3"], "'eta=0.3'.* and 37 more"),
    "a missing seed": (lambda t: t[t["seed"] != 2], "none of 'test0' .seed 2"),
    "no rows": (lambda t: t[:0], "none of 'test0'"),
    "a doubled row": (lambda t: pd.concat([t, t[5:6]]), "several of 'test5' .*; remove the doubled rows"),
    "a doubled file": (lambda t: pd.concat([t, t]), "several of 'test0' .* and 317 more"),
    "an unknown id": (lambda t: one(t, "id", "train3"), "such as 'test0', got 'train3'; give each id as the loader"),
    "ids of another split": (
        lambda t: t.assign(id=t["id"].str.replace("test", "valid")), "got 'valid0', 'valid1', 'valid2' and 17 more"
    ),
    "an unknown condition": (lambda t: one(t, "condition", "eta=0.95"), "got 'eta=0.95'"),
    "a wrong seed": (every("seed", 1111), "expected seed 1, 2 as in the export, got 1111; predict the samples"),
    "one wrong seed": (lambda t: one(t, "seed", 3), "got 3;"),
    "a seed that is no number": (lambda t: one(t, "seed", "one"), "whole numbers as 'seed', got 'one' in row 6"),
    "half a seed": (lambda t: one(t, "seed", 1.5), "whole numbers as 'seed', got"),
    "a wrong draw": (every("draw", 1), "expected draw 0 as in the export, got 1"),
    "NaN": (lambda t: one(t, "prediction", np.nan), "finite number as 'prediction'.* for 'test5' .seed 1"),
    "infinity": (lambda t: one(t, "prediction", np.inf), "finite number as 'prediction' of every sample, got "),
    "beyond float32": (lambda t: one(t, "prediction", 1e39), "finite number as 'prediction'"),
    "text as a prediction": (lambda t: one(t, "prediction", "good"), "got 'good' for 'test5'"),
    "another protocol": (
        every("protocol_digest", "41d77572436e"), "expected protocol_digest 41d77572436f of 'random-missing'"
    ),
    "another protocol in one row": (lambda t: one(t, "protocol_digest", "0" * 12), "got '000000000000'"),
    "other data": (every("data_digest", "0123456789ab"), "expected data_digest tinytextaudi of 'tiny' in every row"),
    "an empty digest": (every("data_digest", ""), "expected data_digest"),
    "class indices": (
        lambda t: t.assign(prediction=np.arange(len(t)) % 7), "from -3 to 3 as 'prediction', got only whole numbers"
    ),
    "two classes": (lambda t: t.assign(prediction=np.arange(len(t)) % 2), "got only 0 and 1, as two classes"),
    "polarities": (lambda t: t.assign(prediction=np.arange(len(t)) % 3 - 1.0), "got only -1, 0 and 1"),
    "indices for one metric": (lambda t: t.assign(prediction_mae=np.arange(len(t)) % 7), "as 'prediction_mae'"),
    "a column too few": (lambda t: t.drop(columns="draw"), "add draw"),
    "other columns": (lambda t: t.rename(columns={"id": "name"}), "expected columns seed, draw.*; add id"),
    "a misspelled column": (every("varience", 1.0), "unknown column 'varience'.*did you mean 'variance', or remove it"),
    "quality of no modality": (every("quality_smell", 1.0), "unknown column 'quality_smell'"),
    "a variance of zero": (every("variance", 0.0), "expected a positive number as 'variance'"),
    "quality beyond 1": (every("quality_text", 1.5), "expected a number from 0 to 1 as 'quality_text'"),
    "probabilities that add up to 2": (every("probability_0", 0.5), "probabilities that add up to 1, got 0.5"),
    "other labels": (every("target", 0.123), "expected the labels of the export as 'target'"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_wrong_predictions_are_refused_in_one_line_and_nothing_is_stored(
    case: str, exported: Path, table: Table, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    import_predictions(table, exported, "first", results)
    before = content_of(results)
    change, words = CHANGES[case]
    as_csv(change(table), tmp_path / "p.csv")
    with pytest.raises(BenchError, match=words) as caught:
        import_predictions(tmp_path / "p.csv", exported, "ridge", results)
    message = str(caught.value)
    assert "\n" not in message
    assert re.search(r"(expected .*, got .*|unknown column .*): |; ", message)
    assert len(message) < 700
    assert content_of(results) == before


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda p: None, "expected a file of predictions, got 'No such file or directory'"),
    "a folder": (lambda p: p.mkdir(), "expected a file of predictions, got a folder"),
    "empty": (lambda p: p.write_bytes(b""), "got an unreadable one .Empty CSV file"),
    "no header": (lambda p: p.write_text("1,0,a,b,0.5\n"), "got '1', '0', 'a', 'b', '0.5'; add seed, draw"),
    "binary": (lambda p: p.write_bytes(bytes(range(256)) * 9), "got an unreadable one"),
    "damaged Parquet": (lambda p: p.write_bytes(b"PAR1" + b"\0" * 99), "got an unreadable one"),
    "damaged archive": (lambda p: p.write_bytes(b"PK\x03\x04" + b"\0" * 99), "got an unreadable one"),
    "objects": (lambda p: save_objects(p), "got an unreadable one .Object arrays cannot be loaded"),
    "semicolons": (lambda p: p.write_text("seed;draw;id\n1;0;a\n"), "got another separator; write commas"),
    "too many values": (lambda p: p.write_text("seed,draw,condition,id,prediction\n1,0,a,b,c,d\n"), "unreadable"),
    "a column twice": (lambda p: p.write_text("seed,draw,condition,id,id,prediction\n"), "got one twice"),
}  # fmt: skip


def save_objects(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, id=np.array(["a", 1], object))


@pytest.mark.parametrize("case", FILES)
def test_unreadable_files_are_refused(case: str, exported: Path, tmp_path: Path) -> None:
    write, words = FILES[case]
    write(tmp_path / "p")
    with pytest.raises(BenchError, match=words) as caught:
        import_predictions(tmp_path / "p", exported, "ridge", tmp_path / "results")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "results").exists()


def edit(**changes: Any) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")

    return write


def edit_facts(folder: Path) -> None:
    with (folder / "facts.npz").open("ab") as file:
        file.write(b"x")


def of_another_split(folder: Path) -> None:
    content = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    unsealed = {key: value for key, value in content.items() if key != "digest"}
    (folder / "manifest.json").write_text(json.dumps(sealed({**unsealed, "split": "train"})), encoding="utf-8")


MANIFESTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "edited": (edit(seeds=[1]), "expected the manifest as it was written, got an edited or damaged one; restore it"),
    "edited digest": (edit(digest="0"), "got an edited or damaged one"),
    "of another protocol": (edit(protocol={"name": "x"}), "got an edited or damaged one"),
    "newer": (edit(schema=2), "expected schema 1 or older, got 2; update qamoe-bench"),
    "without a schema": (edit(schema=None), "expected schema 1 or older, got None"),
    "another file": (edit(format="x"), "got another file; name an export's folder"),
    "cut": (lambda f: (f / "manifest.json").write_text('{"format": '), "expected JSON"),
    "a list": (lambda f: (f / "manifest.json").write_text("[]"), "got another file"),
    "removed": (lambda f: (f / "manifest.json").unlink(), "got no such file; name the folder"),
    "facts edited": (edit_facts, "expected the SHA-256 in the manifest, got another"),
    "facts removed": (lambda f: (f / "facts.npz").unlink(), "facts.npz: expected a readable file"),
    "of the training split": (of_another_split, "expected an export of the test split, got 'train'"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_manifests_that_cannot_be_trusted_are_refused(case: str, exported: Path, table: Table, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(exported, folder)
    change, words = MANIFESTS[case]
    change(folder)
    with pytest.raises(BenchError, match=words):
        import_predictions(table, folder, "ridge", tmp_path / "results")
    assert not (tmp_path / "results").exists()


NAMES = {
    "qa-moe": "built-in 'qa-moe'; add a word, such as 'qa-moe .official.'", "QA_MoE": "built-in 'qa-moe'",
    "oracle": "built-in 'oracle'", "Late Fusion": "built-in 'late-fusion'", "": "1 to 60 letters", "a:b": "1 to 60",
    "@paper": "1 to 60", "a\nb": "1 to 60", "x" * 61: "1 to 60", " ": "1 to 60", "--": "1 to 60", "a*": "1 to 60",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_other_models_and_names_that_tables_cannot_show_are_refused(
    name: str, exported: Path, table: Table, tmp_path: Path
) -> None:
    with pytest.raises(BenchError, match=NAMES[name]) as caught:
        import_predictions(table, exported, name, tmp_path / "results")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "results").exists()


def test_the_advised_name_is_accepted(exported: Path, table: Table, tmp_path: Path) -> None:
    for name in ("qa-moe (official)", "Ridge 2.0", "模型", "a/b+c"):
        import_predictions(table, exported, name, tmp_path / "results")
    assert len(Store(tmp_path / "results").cells()) == 8


def test_a_failure_while_storing_leaves_the_store_as_it_was(
    exported: Path, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    import_predictions(table, exported, "first", results)
    before = content_of(results)
    write = Store.write_cell

    def fail_at_the_second(store: Store, run_id: str, cell: Any, *rest: Any) -> None:
        if cell.seed == 2:
            raise BenchError("disk full")
        write(store, run_id, cell, *rest)

    monkeypatch.setattr(Store, "write_cell", fail_at_the_second)
    with pytest.raises(BenchError, match="disk full"):
        import_predictions(table, exported, "ridge", results)
    assert content_of(results) == before
    assert len(list((results / "runs").iterdir())) == 1


def test_the_command_reports_one_line_and_runs_without_torch(exported: Path, table: Table, tmp_path: Path) -> None:
    as_csv(table, tmp_path / "p.csv")
    (tmp_path / "torch.py").write_text("raise ImportError", encoding="utf-8")  # hides the library
    arguments = ("import", "p.csv", "--manifest", str(exported), "--model", "ridge", "--tool", "t", "--commit", "c")
    done = bench(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr == "stored 2 cells of 'ridge' in results/runs; 'qamoe-bench report' compares them\n"
    assert "nothing to do" in bench(*arguments, cwd=tmp_path).stderr
    as_csv(table[1:], tmp_path / "p.csv")
    assert "got none of 'test0'" in refused(bench(*arguments, cwd=tmp_path))
    done = bench("import", "p.csv", "--manifest", str(exported), "--model", "qa-moe", cwd=tmp_path)
    assert "built-in" in refused(done)
    done = bench(*arguments[:-1], "two\nlines", cwd=tmp_path)
    assert "--commit: expected one line" in refused(done)


def test_results_of_other_data_under_the_same_name_are_pointed_out(
    exported: Path, table: Table, tmp_path: Path
) -> None:
    data = make_dataset()
    model = qamoe_bench.load_model("mean", data)
    qamoe_bench.evaluate(model, replace(data, digest="other"), "random-missing").save(tmp_path / "results")
    as_csv(table, tmp_path / "p.csv")
    done = bench("import", "p.csv", "--manifest", str(exported), "--model", "ridge", cwd=tmp_path)
    assert done.stderr.endswith("not in the same table as Mean, whose data or protocol of this name differ\n")
