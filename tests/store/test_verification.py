"""A cell means its key: what was edited in its rows or metadata is named, is not used, and is computed again."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commandline import bench
from fakestore import noisy, write_store
from storedcell import CELL, COLUMNS, FACTS, rewrite_cell

from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.store.cell import digest_of
from qamoe_bench.store.checksum import UNSEALED, seal
from qamoe_bench.store.intact import MOST_FILES, intact_keys
from qamoe_bench.store.store import Store
from qamoe_bench.store.stored_cell import METADATA_KEY, DamagedCell, check_whole, has_checksum


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Four cells of 60 samples under 3 conditions."""
    return write_store(tmp_path / "results", {"late-fusion": noisy(1.0), "ours": noisy(0.5)}, seeds=(1, 2))


def damage(store: Store) -> str:
    """Why the first cell of the store is not used, while the others are."""
    contents = store.contents()
    (damaged,) = contents.damaged
    assert len(contents.cells) == 3
    assert intact_keys(store) is None
    return damaged.reason


def first(store: Store) -> Path:
    return sorted(store.runs.glob("*/predictions/*"))[0]


def rows(order: Callable[[Any], Any]) -> Callable[[pa.Table], pa.Table]:
    """Rows in another order, of the 180."""
    return lambda table: table.take(pa.array(order(np.arange(180))))


def column(name: str, edit: Callable[[Any], Any]) -> Callable[[pa.Table], pa.Table]:
    """A column with other values."""
    return lambda table: table.set_column(
        table.schema.get_field_index(name), name, pa.array(edit(np.array(table.column(name).to_pylist())))
    )


def without(name: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.drop_columns([name])


def identity(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda about: about["cell"].update({name: value})


def at(place: int, value: Any) -> Callable[[Any], Any]:
    return lambda values: np.where(np.arange(len(values)) == place, value, values)


def within_conditions(order: Any) -> Any:
    """All samples permuted in the same way in each condition."""
    return order.reshape(3, 60)[:, np.random.default_rng(0).permutation(60)].ravel()


EDITS = {
    "rows reversed": rows(lambda order: order[::-1]),
    "two rows exchanged": rows(lambda order: np.r_[1, 0, order[2:]]),
    "conditions exchanged": rows(lambda order: np.r_[order[60:120], order[:60], order[120:]]),
    "a row missing": rows(lambda order: order[1:]),
    "a condition missing": rows(lambda order: order[60:]),
    "a condition twice": rows(lambda order: np.r_[order, order[:60]]),
    "a row twice": rows(lambda order: np.r_[order[:1], order[:-1]]),
    "no rows": rows(lambda order: order[:0]),
    "samples permuted in all conditions": rows(within_conditions),
    "a target edited": column("target", at(0, 2.5)),
    "targets negated": column("target", lambda values: -values),
    "targets negated in a condition": column("target", lambda values: np.r_[-values[:60], values[60:]]),
    "a target that is not a number": column("target", at(3, np.nan)),
    "a prediction that is not a number": column("prediction", at(3, np.nan)),
    "an infinite prediction": column("prediction", at(3, np.inf)),
    "an id edited": column("id", at(7, "other")),
    "an id renamed in all conditions": column("id", lambda ids: np.where(ids == "s7", "other", ids)),
    "an id twice": column("id", lambda ids: np.where(ids == "s7", "s8", ids)),
    "a draw that does not exist": column("draw", at(179, 5)),
    "negative draws": column("draw", lambda draws: draws - 1),
    "predictions as text": column("prediction", lambda values: values.astype(str)),
    "ids as numbers": column("id", lambda ids: np.arange(180)),
    "a missing value": column("prediction", lambda values: [None, *values[1:].tolist()]),
    **{f"no {name}": without(name) for name in ("prediction", "target", "id", "condition", "draw")},
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_edited_rows_are_named_and_not_used_even_without_a_checksum(edit: str, store: Store) -> None:
    rewrite_cell(first(store), EDITS[edit])
    assert damage(store).startswith(("it", "the ", "two of its"))


METADATA: dict[str, Callable[[dict[str, Any]], object]] = {
    **{
        f"another {name}": identity(name, value)
        for name, value in {
            "seed": 9, "model": "theirs", "recipe": "other", "regime": "clean", "dataset": "other", "protocol": "q",
            "data_digest": "1", "protocol_digest": "2",
        }.items()
    },
    "no seed": lambda about: about["cell"].pop("seed"),
    "a seed that is true": lambda about: about["cell"].update(seed=True),
    "a model that is a list": lambda about: about["cell"].update(model=["a"]),
    "a cell that is a list": lambda about: about.update(cell=[]),
    "another key": lambda about: about.update(key="0" * 20),
    "no facts": lambda about: about.pop("facts"),
    "schema true": lambda about: about.update(schema=True),
    "schema -5": lambda about: about.update(schema=-5),
    "no schema": lambda about: about.pop("schema"),
    "no conditions": lambda about: about["facts"].update(conditions=[]),
    "other conditions": lambda about: about["facts"]["conditions"].reverse(),
    "a condition without levels": lambda about: about["facts"]["conditions"][0].pop("levels"),
    "a level of text": lambda about: about["facts"]["conditions"][0]["levels"].update(eta="high"),
    "a level that is not a number": lambda about: about["facts"]["conditions"][0]["levels"].update(eta=float("nan")),
    "a condition without the axis": lambda about: about["facts"]["conditions"][1].update(levels={}),
    "two conditions of one name": lambda about: about["facts"]["conditions"][1].update(name="eta=0"),
    "parameters of text": lambda about: about["facts"].update(parameters="many"),
    "negative parameters": lambda about: about["facts"].update(parameters=-1),
    "a time that is a list": lambda about: about["facts"].update(seconds_per_sample=[1]),
    "a training that is a list": lambda about: about["facts"].update(training=[]),
    "experts of text": lambda about: about["facts"].update(experts="all"),
    "a training size of text": lambda about: about["facts"].update(train_size={"samples": "600"}),
    "a training size without its data": lambda about: about["facts"].update(train_size={"samples": 6}),
    "permutations of numbers": lambda about: about["facts"].update(permutations={"mae": 1}),
}  # fmt: skip


@pytest.mark.parametrize("edit", METADATA)
def test_edited_metadata_are_named_and_the_cell_is_not_used(edit: str, store: Store) -> None:
    rewrite_cell(first(store), change=METADATA[edit])
    assert damage(store)


def test_a_cell_under_the_name_of_another_is_not_used(store: Store) -> None:
    a, b, *_ = sorted(store.runs.glob("*/predictions/*"))
    a.write_bytes(b.read_bytes())
    assert "they give another key" in damage(store)


@pytest.mark.parametrize("place", [0, 4, 1000, -700, -100, -9, -5, -1])
def test_a_single_changed_byte_is_noticed(place: int, store: Store) -> None:
    path = first(store)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert damage(store)


def test_an_edit_that_keeps_the_checksum_is_noticed_and_one_that_removes_it_has_its_rows_checked(store: Store) -> None:
    path = first(store)
    table = pq.read_table(path)
    assert has_checksum(path)
    shifted = column("prediction", lambda values: values + 0.1)(table)
    pq.write_table(shifted.replace_schema_metadata(table.schema.metadata), path)
    assert damage(store) == "it was changed after it was written: its checksum does not hold"
    rewrite_cell(path)
    assert not has_checksum(path)
    assert len(store.contents().cells) == 4  # as a cell of an earlier version; who edits it so cannot be told


def test_a_cell_that_is_edited_while_a_report_reads_it_is_an_error(store: Store) -> None:
    stored = store.contents().cells[0]
    stored.path.write_bytes(stored.path.read_bytes()[:-1] + b"2")
    with pytest.raises(BenchError, match="not a file of this store .*; remove it and run again"):
        stored.column("prediction")


def test_cells_from_elsewhere_are_checked_by_their_rows_whatever_their_checksum(store: Store) -> None:
    from qamoe_bench.store.checksum import UNSEALED, seal

    path = first(store)
    about = json.loads(pq.read_schema(path).metadata[METADATA_KEY])
    reversed_table = pq.read_table(path).slice(0, 180).take(pa.array(np.arange(180)[::-1]))
    text = json.dumps({"checksum": UNSEALED, **{name: about[name] for name in about if name != "checksum"}})
    pq.write_table(reversed_table.replace_schema_metadata({METADATA_KEY: text}), path)
    path.write_bytes(seal(path.read_bytes()))
    stored = next(c for c in store.contents().cells if c.path == path)
    with pytest.raises(BenchError, match="its rows are not those of its conditions"):
        check_whole(stored)


def test_a_file_that_would_fill_the_memory_is_not_decoded(store: Store) -> None:
    path = first(store)
    many = 50_000_000
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(many, np.int8)), pa.array(["a"]))
    table = pa.table({"id": text, "condition": text})
    about = json.loads(pq.read_schema(path).metadata[METADATA_KEY])
    del about["checksum"]
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(about)}), path)
    assert path.stat().st_size < 500_000
    assert damage(store).startswith("it holds 50000000 rows in ")


def test_what_a_run_cannot_mean_is_not_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare("run")
    with pytest.raises(RunFailed, match="a.b:build spectrum 7 p cannot be stored: its column prediction has values"):
        store.write_cell("run", CELL, FACTS, {**COLUMNS, "prediction": pa.array([0, np.nan, 1], pa.float32())})
    assert store.find_cell(CELL) is None


def test_a_name_that_contains_the_mark_of_the_checksum_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare("run")
    mark = '{"checksum": "' + "0" * 64 + '"'
    cell = replace(CELL, model=mark, recipe=mark)
    store.write_cell("run", cell, replace(FACTS, config={"x": json.loads(mark + "}")}), COLUMNS)
    (stored,) = store.contents().cells
    assert stored.cell == cell
    assert has_checksum(stored.path)


def test_a_damaged_cell_is_named_by_every_command_and_computed_again(
    write_pickle: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = (
        "run",
        "--protocol",
        "clean",
        "--model",
        "mean",
        "--seeds",
        "1,2,3",
        "--executor",
        "local",
        "--device",
        "cpu",
    )
    place = ("--data", write_pickle(), "--results", tmp_path / "r")
    bench((*call, *place), capsys, monkeypatch)
    numbers = ("report", "--format", "json", "--results", tmp_path / "r")
    before = bench(numbers, capsys, monkeypatch)
    path = sorted((tmp_path / "r").glob("runs/*/predictions/*"))[0]
    whole = pq.read_table(path)
    edited = whole.set_column(4, "prediction", pa.array(np.zeros(len(whole), np.float32)))
    pq.write_table(edited.replace_schema_metadata(whole.schema.metadata), path)
    for words in (
        ("report", "--overview"),
        ("ls", "runs"),
        ("figures", "--kind", "points", "--output", tmp_path / "f"),
    ):
        done = bench((*words, "--results", tmp_path / "r"), capsys, monkeypatch)
        notes = [line for line in done.err.splitlines() if line.startswith("note: not used: ")]
        assert len(notes) == 1, done
        assert str(path) in notes[0]
        assert notes[0].endswith("; remove it, and 'qamoe-bench run' computes it again")
    (run,) = json.loads(bench(("ls", "runs", "--json", "--results", tmp_path / "r"), capsys, monkeypatch).out)
    assert (run["cells"], run["damaged"]) == ("2/3", 1)
    check = ("check", "--metric", "mae", "--reference")
    line = bench((*check, tmp_path / "r", "--results", tmp_path / "r"), capsys, monkeypatch).refusal()
    assert str(path) in line
    again = bench((*call, *place), capsys, monkeypatch)
    assert "evaluated 1 cells, reused 2" in again.err
    assert bench(numbers, capsys, monkeypatch).out == before.out  # tables also have the time, which is measured
    assert pq.read_table(path).equals(whole)


def test_intact_cells_are_listed_without_arrow(store: Store) -> None:
    assert intact_keys(store) == {stored.cell.key for stored in store.contents().cells}
    assert intact_keys(Store(store.root / "empty")) == set()
    code = (
        "import sys; sys.modules['pyarrow'] = None; sys.modules['numpy'] = None; "
        "from qamoe_bench.cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "ls", "runs", "--json", "--results", str(store.root)]
    (run,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert (run["cells"], run["damaged"]) == ("4/4", 0)


@pytest.mark.parametrize("edit", METADATA)
def test_listing_without_arrow_sees_what_is_wrong_with_metadata_whose_checksum_holds(edit: str, store: Store) -> None:
    path = first(store)
    rewrite_cell(path, change=METADATA[edit])
    table = pq.read_table(path)
    samples = store.contents().cells[-1].samples_digest
    about = {"checksum": UNSEALED, "samples": samples, **json.loads(table.schema.metadata[METADATA_KEY])}
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(about)}), path)
    path.write_bytes(seal(path.read_bytes()))
    assert (intact_keys(store) is None) == bool(store.contents().damaged)


def test_doubtful_stores_are_not_listed_without_arrow(store: Store, tmp_path: Path) -> None:
    path = first(store)
    copy = store.runs / "other" / "predictions" / path.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(path.read_bytes())
    keys = intact_keys(store)
    assert keys is not None  # two equal files of one cell
    assert len(keys) == 4
    content = path.read_bytes()
    times = b'"seconds_per_sample": 0.0'
    assert times in content
    copy.write_bytes(seal(content.replace(times, b'"seconds_per_sample": 0.5')))
    assert intact_keys(store) is None
    assert len(store.contents().cells) == 4  # only what was measured differs
    copy.unlink()
    write_store(store.root, {"theirs": noisy(1.0)}, samples=61, run="third")
    assert intact_keys(store) is None  # the samples differ
    models = {f"m{i}": noisy(1.0) for i in range(MOST_FILES + 1)}
    assert intact_keys(write_store(tmp_path / "large", models, seeds=(1,), levels=(0.0,), samples=3)) is None


def test_a_tie_between_two_sets_of_samples_uses_neither(store: Store) -> None:
    for path in sorted(store.runs.glob("*/predictions/*"))[:2]:
        rewrite_cell(path, EDITS["targets negated"])
    contents = store.contents()
    assert contents.cells == ()
    assert {damaged.reason for damaged in contents.damaged} == {
        "its samples or targets differ from those of other cells"
    }


def test_the_key_of_a_cell_is_the_digest_of_its_identity(store: Store) -> None:
    about = json.loads(pq.read_schema(first(store)).metadata[METADATA_KEY])
    assert digest_of({**about["cell"], "schema": about["schema"]})[:20] == about["key"]


def test_a_reason_of_several_lines_is_said_in_one() -> None:
    damage = DamagedCell(Path("cell.parquet"), "cannot be read:\n  invalid header\n")
    assert "\n" not in f"{damage}{damage.note}"
    assert damage.reason == "cannot be read: invalid header"
