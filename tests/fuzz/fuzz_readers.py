"""A fuzzer that passes damaged data files to every reader for a given time; `make fuzz`.

Each file must either be read as a valid data set or be refused in one line. Anything else is a failure: another
exception, more than five seconds, more than half a gigabyte, or a crash of the process. Failing files are kept in
build/fuzz, and the same --seed reproduces them.
"""

import argparse
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

from classdata import CLASS_FORMATS
from dataformats import FORMATS, read_dataset
from layouts import LAYOUTS

from qamoe_bench.curation.audit import audit
from qamoe_bench.curation.convert import write
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError

LONGEST_S = 5.0
MOST_MIB = 512
KEPT = Path("build/fuzz")


def work(pipe: Connection, seeds: dict[str, Path], place: Path, first: int) -> None:
    """Break and read one file for each number that comes, below `place`, and tell what became of it."""
    from mutations import mutate

    warnings.simplefilter("ignore")  # a file that is refused may be warned of
    base = resident_mib("VmRSS")
    while (number := pipe.recv()) is not None:
        chance = random.Random(f"{first} {number}")
        name = chance.choice([*seeds])
        with tempfile.TemporaryDirectory(dir=place) as folder:
            path = mutate(seeds[name], Path(folder), chance)
            pipe.send(str(path))
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak
            outcome = read_broken(path, deeply=chance.random() < 0.1)
            more = resident_mib("VmHWM") - base
            pipe.send((name, outcome if more < MOST_MIB else f"took {more} MiB"))
            pipe.recv()  # what failed is kept before it goes


def read_broken(path: Path, *, deeply: bool) -> str:
    """`read`, `refused`, or what should not have happened."""
    try:
        data = read_dataset(path)
        check(data)
        if deeply:
            audit(path)
            again = path.parent / "again"
            digest = write(data, again, {})
            assert read_dataset(again).digest == digest == data.digest
    except BenchError as error:
        line = str(error)
        return "refused" if line.isprintable() and len(line) < 1000 else f"a bad message: {line!r:.300}"
    except BaseException:
        return traceback.format_exc()
    return "read"


def check(data: Dataset) -> None:
    """What a data set promises."""
    low, high = data.label_range
    for split in data.splits.values():
        batch = split.batch()
        assert len({*split.ids}) == len(split)
        assert split.target.min() >= low
        assert split.target.max() <= high
        for m in batch.modalities:
            assert batch.features[m].isfinite().all()
            assert not batch.features[m][~batch.mask(m)].any()
            assert (split.lengths[m] >= 0).all()
            assert (split.lengths[m] <= batch.features[m].shape[1]).all()
        for text in (*split.ids, *split.raw_text):
            text.encode()
    assert all(std.isfinite().all() for std in data.spec.feature_std.values())


def resident_mib(what: str) -> int:
    """Resident memory of this process, now (VmRSS) or at most (VmHWM)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[what].split()[0]) // 1024


class Worker:
    """A process that reads broken files, and can be replaced."""

    def __init__(self, seeds: dict[str, Path], place: Path, first: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, seeds, place, first), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, number: int) -> tuple[str, str, str]:
        """The path, the format and the outcome of one file."""
        self.pipe.send(number)
        path = ""
        name = "unknown"
        outcome = ""
        try:
            if not self.pipe.poll(120):
                return path, name, "could not be broken in time"
            path = self.pipe.recv()
            if not self.pipe.poll(LONGEST_S):
                return path, name, f"took longer than {LONGEST_S:g} s"
            name, outcome = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join(5)
            return path, name, f"the process died ({self.process.exitcode})"
        return path, name, outcome

    def end(self) -> None:
        """Whatever it is doing."""
        self.process.kill()
        self.process.join()


def main() -> int:
    """Fuzz for a while; 1 if something failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        seeds = {}
        for name, make in FORMATS.items():
            (Path(folder) / name).mkdir()
            seeds[name] = make(Path(folder) / name)
        for name, (make, *_) in CLASS_FORMATS.items():
            (Path(folder) / name).mkdir()
            seeds[name] = make(Path(folder) / name)
        for name, make_pair in LAYOUTS.items():
            (Path(folder) / name).mkdir()
            seeds[name], _ = make_pair(Path(folder) / name)
        return fuzz(seeds, Path(folder), options.seconds, options.seed)


def fuzz(seeds: dict[str, Path], place: Path, seconds: float, seed: int) -> int:
    """Files until the time is over; all lie below `place`, whose owner removes them."""
    counts = Counter[str]()
    failed = 0
    number = 0
    end = time.monotonic() + seconds
    worker = Worker(seeds, place, seed)
    while time.monotonic() < end:
        path, name, outcome = worker.ask(number)
        good = outcome in ("read", "refused")
        counts[f"{name} {outcome if good else 'failed'}"] += 1
        if not good:
            failed += 1
            keep(path, seed, number, outcome)
        if good or "Traceback" in outcome or "MiB" in outcome:
            worker.pipe.send("next")
        else:
            worker.end()
            worker = Worker(seeds, place, seed)
        number += 1
    worker.end()
    for name, count in sorted(counts.items()):
        print(f"{name:20} {count:8}")  # noqa: T201
    print(f"{number} files, {failed} failed, seed {seed}")  # noqa: T201
    return int(failed > 0)


def keep(broken: str, seed: int, number: int, outcome: str) -> None:
    """Copy what failed to where it can be looked at."""
    print(f"{number}: {broken}: {outcome}", flush=True)  # noqa: T201
    if not broken:
        return
    path = Path(broken)
    place = KEPT / f"{seed}-{number}"
    shutil.rmtree(place, ignore_errors=True)
    if path.is_dir():
        shutil.copytree(path, place / path.name, symlinks=True)
    elif path.is_file():
        place.mkdir(parents=True)
        shutil.copy(path, place)


if __name__ == "__main__":
    sys.exit(main())
