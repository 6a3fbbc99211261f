"""A fuzzer that passes damaged protocols, studies, manifests, cells and bundles to their readers; `make fuzz`.

Each must be read or be refused in one line within five seconds; a damaged cell may also be named and left out. Failing
files are kept in build/fuzz, and the same --seed reproduces them.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from fakestore import noisy, write_store
from storedcell import rewrite_cell

from qamoe_bench.errors import BenchError
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.run.grid import Grid
from qamoe_bench.run.study import load_study
from qamoe_bench.sharing.opening import open_bundle_file
from qamoe_bench.sharing.packing import pack
from qamoe_bench.store.store import Store

Random = random.Random
LONGEST_S = 5.0
KEPT = Path("build/fuzz")
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2**63,
        10**400,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "\0",
        "\x1b[31m",
        "../x",
    ),
    *([], {}, [[]], [None], {"a": {}}, ["x"] * 1000, "9" * 5000, "=cmd", "[/x]", "\ud800", "../x"),
)
ABSURD = ("1" * 5000, "0x" + "f" * 6000, "1e999", "[" * 3000, "a." * 500 + "a = 1", "\ufeff", "\0")
WORDS = (
    *("true", "nan", "inf", "-1", "{}", '"\\u0000"', "1979-05-27", "[]", "[[1]]", "=", "[[corruption]]", "[axes]"),
    *('"""', "#", "draws", "schema"),
    *ABSURD,
)
PROTOCOLS = Path("protocols")
STUDY = """schema = 1
data = ["synthetic"]
protocols = ["clean", "random-missing"]
models = ["late-fusion", "qa-moe"]
seeds = [1, 2]

[[grid]]
configs = ["", "width=8"]
regimes = ["clean"]
"""


def broken_bytes(content: bytes, chance: Random) -> bytes:
    """Some bytes flipped, cut out, doubled or inserted."""
    broken = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(broken) + 1)
        length = chance.randint(1, 40)
        match chance.randrange(4):
            case 0:
                del broken[place : place + length]
            case 1:
                broken[place:place] = broken[place : place + length]
            case 2:
                broken[place:place] = chance.randbytes(length)
            case 3 if place < len(broken):
                broken[place] ^= 1 << chance.randrange(8)
    return bytes(broken)


def broken_text(text: str, chance: Random) -> bytes:
    """Lines doubled, dropped or with another word; sometimes other bytes."""
    lines = text.splitlines()
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(lines))
        match chance.randrange(4):
            case 0:
                lines.insert(place, chance.choice(lines))
            case 1:
                lines[place] = ""
            case 2:
                lines[place] = lines[place].partition("=")[0] + "= " + chance.choice(WORDS)
            case 3:
                lines[place] = chance.choice(WORDS)
    content = "\n".join(lines).encode(errors="surrogatepass")
    return broken_bytes(content, chance) if chance.random() < 0.2 else content


def broken_value(value: Any, chance: Random) -> Any:
    """A JSON value in which one part is another value or is missing."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice([*value])
        if chance.random() < 0.2:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: broken_value(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        return [*value[:place], broken_value(value[place], chance), *value[place + 1 :]]
    return chance.choice(VALUES)


class Fuzzer:
    """Whole files of every kind, and the readers of broken ones."""

    def __init__(self, place: Path) -> None:
        self._store = write_store(place / "whole", {"late-fusion": noisy(1.0), "ours": noisy(0.5)}, seeds=(1,))
        self._bundle = place / "whole.zip"
        pack(self._store.cells(), self._bundle)
        self._protocols = [path.read_text("utf-8") for path in sorted(PROTOCOLS.glob("*.toml"))]
        self.kinds: dict[str, Callable[[Path, Random], None]] = {
            "protocol": self.protocol,
            "study": self.study,
            "manifest": self.manifest,
            "cell": self.cell,
            "metadata of a cell": self.metadata,
            "bundle": self.bundle,
        }

    def protocol(self, folder: Path, chance: Random) -> None:
        """A protocol file."""
        (folder / "p.toml").write_bytes(broken_text(chance.choice(self._protocols), chance))
        load_protocol(folder / "p.toml")

    def study(self, folder: Path, chance: Random) -> None:
        """A study file."""
        (folder / "s.toml").write_bytes(broken_text(STUDY, chance))
        load_study(folder / "s.toml", Grid())

    def manifest(self, folder: Path, chance: Random) -> None:
        """The manifest of a run."""
        path = self._copy(folder, "run.json")
        content = broken_value(json.loads(path.read_text("utf-8")), chance)
        text = json.dumps(content)
        path.write_bytes(broken_bytes(text.encode(), chance) if chance.random() < 0.3 else text.encode())
        Store(folder / "results").manifests()

    def cell(self, folder: Path, chance: Random) -> None:
        """The bytes of a cell."""
        path = self._copy(folder, "*.parquet")
        path.write_bytes(broken_bytes(path.read_bytes(), chance))
        self._read(folder)

    def metadata(self, folder: Path, chance: Random) -> None:
        """The metadata of a cell, as JSON and as it is found in Parquet."""
        path = self._copy(folder, "*.parquet")

        def change(about: dict[str, Any]) -> None:
            changed = broken_value(about, chance)
            about.clear()
            about.update(changed if isinstance(changed, dict) else {"schema": changed})

        rewrite_cell(path, change=change)
        if chance.random() < 0.2:
            pq.write_table(pq.read_table(path).replace_schema_metadata({b"x": chance.randbytes(9)}), path)
        self._read(folder)

    def bundle(self, folder: Path, chance: Random) -> None:
        """A bundle: its bytes, or its members."""
        path = folder / "b.zip"
        if chance.random() < 0.5:
            path.write_bytes(broken_bytes(self._bundle.read_bytes(), chance))
        else:
            with zipfile.ZipFile(self._bundle) as whole, zipfile.ZipFile(path, "w") as broken:
                for name in whole.namelist():
                    content = whole.read(name)
                    if chance.random() < 0.2:
                        content = broken_bytes(content, chance)
                    broken.writestr(name if chance.random() < 0.95 else chance.choice(("../x", "/x", "a\0b")), content)
        try:
            open_bundle_file(path, folder / "into")
        except BenchError:
            assert not (folder / "into").exists(), "a refused bundle left something"
            raise

    def _copy(self, folder: Path, pattern: str) -> Path:
        """A file of a copy of the store, without its index."""
        shutil.copytree(self._store.root, folder / "results", ignore=shutil.ignore_patterns("index.parquet"))
        return min((folder / "results").rglob(pattern))

    def _read(self, folder: Path) -> None:
        store = Store(folder / "results")
        contents = store.contents()
        for stored in contents.cells:
            stored.predictions  # noqa: B018


def outcome_of(read: Callable[[Path, Random], None], folder: Path, chance: Random) -> str:
    """`read`, `refused`, or what should not have happened."""
    start = time.monotonic()
    try:
        read(folder, chance)
        outcome = "read"
    except BenchError as error:
        line = str(error)
        outcome = "refused" if "\n" not in line and len(line) < 3000 else f"a bad message: {line!r:.300}"
    except BaseException:
        return traceback.format_exc()
    took = time.monotonic() - start
    return outcome if took < LONGEST_S else f"took {took:.0f} s"


def main() -> int:
    """Fuzz for a while; 1 if something failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    counts = Counter[str]()
    number = 0
    failed = 0
    end = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        fuzzer = Fuzzer(Path(place))
        while time.monotonic() < end:
            chance = random.Random(f"{options.seed} {number}")
            kind = chance.choice([*fuzzer.kinds])
            folder = Path(place) / "one"
            folder.mkdir()
            outcome = outcome_of(fuzzer.kinds[kind], folder, chance)
            good = outcome in ("read", "refused")
            counts[f"{kind} {outcome if good else 'failed'}"] += 1
            if not good:
                failed += 1
                print(f"{number}, {kind}: {outcome}", flush=True)  # noqa: T201
                shutil.copytree(folder, KEPT / f"{options.seed}-{number}", dirs_exist_ok=True)
            shutil.rmtree(folder)
            number += 1
    for name, count in sorted(counts.items()):
        print(f"{name:30} {count:8}")  # noqa: T201
    print(f"{number} files, {failed} failed, seed {options.seed}")  # noqa: T201
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
