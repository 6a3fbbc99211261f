"""Rounds of random faults during a small study, which has to end with nothing lost and nothing corrupt.

Each round requests more seeds and is disturbed by one fault; later rounds finish the rest. At the end every cell
is compared, bit for bit, with one undisturbed serial run. Then files of a small store are damaged one at a time (see
`damages`), which has to be noticed. Run by `make soak`; prints the counts, and exits with status 1 after a failed
assertion.
"""

import argparse
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from damages import damage_files
from forkedworkers import workers_of
from illmannered import MANNERS
from smallstudy import SHORT, assert_same_cells, predictions
from tinydata import mmsa_content

from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.grid import Grid
from qamoe_bench.run.planner import plan_all
from qamoe_bench.run.runner import run_plans
from qamoe_bench.run.study import load_study
from qamoe_bench.store.store import Store
from qamoe_bench.store.temporary import temporary_name

SEEDS_PER_ROUND = 3
DISK_MIB = 256
MODELS = ("late-fusion", "text-only", "mm-boosting", "mean")
STUDY = f"""
schema = 1
data = ["tiny.pkl"]
protocols = ["clean", "random-missing"]
models = {list(MODELS)}
configs = ["{SHORT}"]
device = "cpu"
"""


class Soak:
    """A store on a separate small disk, and the faults that disturb runs into it."""

    def __init__(self, folder: Path, random_numbers: random.Random, *, own_disk: bool) -> None:
        self.folder = folder
        self.random = random_numbers
        self.own_disk = own_disk
        self.store = Store(folder / "disk" / "results")
        self.counts: Counter[str] = Counter()
        self.seeds = 0
        self.stored = 0
        self.faults: dict[str, Callable[[], None]] = {
            "worker killed": self.worker_killed,
            "run killed": self.run_killed,
            "disk full": self.disk_full,
            "truncated temporary files": self.truncated_files,
            "two runs at once, one killed": self.two_runs,
            "edited cell": self.edited_cell,
            "ill-mannered model": self.ill_mannered,
            "interrupted twice": self.interrupted,
            "worker stopped": self.worker_stopped,
            "data edited": self.edited_data,
        }

    def round(self, fault: str) -> None:
        """Request more seeds during a fault; then nothing that was stored may be lost or unreadable."""
        self.seeds += SEEDS_PER_ROUND
        self.counts[fault] += 1
        self.faults[fault]()
        stored = len(self.store.cells())
        assert stored >= self.stored, f"{self.stored} cells were stored, and now {stored}"
        print(f"{fault}: {stored - self.stored} cells made, {stored} stored", flush=True)  # noqa: T201
        self.stored = stored

    def start(self, file_limit: int | None = None, *more: str, results: Path | None = None) -> subprocess.Popen[str]:
        """Start the command in a new process group, optionally with a limit on the size of its files and more words."""
        seeds = ",".join(map(str, range(1, self.seeds + 1)))
        words = ("run", "study.toml", "--seeds", seeds, "--executor", "processes", "--jobs", "2", *more)
        command = [sys.executable, "-m", "qamoe_bench", *words, "--results", str(results or self.store.root)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

        def limit() -> None:
            if file_limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True, preexec_fn=limit,
        )  # fmt: skip

    def finish(self, run: subprocess.Popen[str], *statuses: int) -> str:
        """Wait for a run, check its exit status, and return its standard error."""
        _, messages = run.communicate(timeout=300)
        assert run.returncode in statuses, f"exit status {run.returncode}, expected one of {statuses}:\n{messages}"
        self.counts[f"exit status {run.returncode}"] += 1
        return messages

    def wait_for_work(self, run: subprocess.Popen[str]) -> None:
        """Wait until a run has written a file, and a little longer."""
        before = self.files()
        while run.poll() is None and self.files() <= before:
            time.sleep(0.01)
        time.sleep(self.random.uniform(0, 0.5))

    def files(self) -> int:
        """The number of files in the store."""
        return sum(1 for _ in self.store.runs.glob("*/*/*"))

    def worker_killed(self) -> None:
        """Kill a worker; its job is tried once more, so the run does not fail."""
        run = self.start()
        self.wait_for_work(run)
        if workers := workers_of(run.pid):
            os.kill(self.random.choice(workers), signal.SIGKILL)
            self.counts["workers killed"] += 1
        self.finish(run, 0)

    def run_killed(self) -> None:
        """Kill the parent alone, or the whole group; workers end with their parent."""
        run = self.start()
        self.wait_for_work(run)
        workers = workers_of(run.pid)
        if self.random.random() < 0.5:
            os.killpg(run.pid, signal.SIGKILL)
        else:
            os.kill(run.pid, signal.SIGKILL)
        self.finish(run, 0, -signal.SIGKILL)
        self.counts["runs killed"] += run.returncode < 0
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert time.monotonic() < deadline, f"workers outlived their parent: {workers}"
            time.sleep(0.01)

    def disk_full(self) -> None:
        """Fill the disk except for a little room; without a separate disk, limit the size of files instead."""
        ballast = self.folder / "disk" / "ballast"
        room = self.random.randrange(0, 300_000)  # bytes
        if self.own_disk:
            free = os.statvfs(ballast.parent)
            with ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - room))
            messages = self.finish(self.start(), 0, 2)
            ballast.unlink()
        else:
            messages = self.finish(self.start(file_limit=room // 10), 0, 2)
        self.counts["runs that reported a full disk"] += "cannot write" in messages

    def truncated_files(self) -> None:
        """Plant temporary files of dead processes of this machine, which are removed, and of another, which stay."""
        originals = [*self.store.runs.glob("*/*/*.parquet"), *self.store.runs.glob("*/*/*.safetensors")]
        process = subprocess.Popen(["true"])
        process.wait()
        planted = []
        for original in self.random.sample(originals, min(8, len(originals))):
            content = original.read_bytes()
            *start, host, _, random, ending = temporary_name(original.name).rsplit(".", 4)
            host = self.random.choice([host, "another"])
            path = original.with_name(".".join([*start, host, str(process.pid), random, ending]))
            path.write_bytes(content[: self.random.randrange(len(content))])
            planted.append(path)
        self.finish(self.start(), 0)
        self.counts["temporary files truncated"] += len(planted)
        for path in planted:
            path.unlink(missing_ok=True)

    def two_runs(self) -> None:
        """Start the same run twice and kill one; the other finishes."""
        first = self.start()
        second = self.start()
        self.wait_for_work(first)
        os.killpg(second.pid, signal.SIGKILL)
        self.finish(second, 0, -signal.SIGKILL)
        self.counts["runs killed"] += second.returncode < 0
        self.finish(first, 0)

    def edited_cell(self) -> None:
        """Change one byte of a stored cell: it is named, not used, and computed again."""
        path = self.random.choice(sorted(self.store.runs.glob("*/predictions/[!.]*.parquet")) or [None])
        if path is not None:
            content = bytearray(path.read_bytes())
            content[self.random.randrange(4, len(content) - 8)] ^= 1 << self.random.randrange(8)
            path.write_bytes(content)
            self.stored -= 1
            self.counts["cells edited"] += 1
        self.finish(self.start(), 0)
        # Another run has stored it again, and the message of the store says to remove the damaged file.
        for damage in self.store.contents().damaged:
            damage.path.unlink()

    def ill_mannered(self) -> None:
        """Add a model that changes, ends or hangs its process; the others' cells are the same without it."""
        manner = self.random.choice([*MANNERS])
        model = f"illmannered:build:manner={manner},{SHORT}"
        store = self.folder / f"ill-mannered-{self.counts['ill-mannered model']}"
        words = ("--model", model, "--model", f"late-fusion:{SHORT}", "--model", f"mean:{SHORT}", "--seeds", "1")
        run = self.start(None, *words, "--cell-timeout", "60" if manner != "hang" else "20", results=store)
        self.finish(run, 0, 1)
        self.counts[f"manner {manner}"] += 1
        made = predictions(Store(store))
        for name, expected in predictions(self.store).items():
            if name in made:
                assert made[name].equals(expected), f"{name} is another one beside {model}"
        shutil.rmtree(store)
        self.finish(self.start(), 0)

    def interrupted(self) -> None:
        """Press Ctrl-C once or twice; no process of the group outlives the run."""
        run = self.start()
        self.wait_for_work(run)
        for _ in range(self.random.randint(1, 2)):
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGINT)
            time.sleep(self.random.uniform(0, 0.3))
        messages = self.finish(run, 0, 130, -signal.SIGINT)
        assert "Traceback" not in messages, messages
        self.counts["runs interrupted"] += run.returncode != 0
        deadline = time.monotonic() + 60
        while _group_lives(run.pid):
            assert time.monotonic() < deadline, "a process outlived the interrupted run"
            time.sleep(0.01)

    def worker_stopped(self) -> None:
        """Stop a worker for a while, as a machine that is suspended does."""
        run = self.start()
        self.wait_for_work(run)
        for worker in workers_of(run.pid)[:1]:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGSTOP)
                time.sleep(self.random.uniform(0.5, 3))
                os.kill(worker, signal.SIGCONT)
                self.counts["workers stopped"] += 1
        self.finish(run, 0)

    def edited_data(self) -> None:
        """Change the data between two runs: all cells are computed anew under other keys, and the old ones stay."""
        place = self.folder / "tiny.pkl"
        content = place.read_bytes()
        changed = mmsa_content()
        changed["test"]["text"] = changed["test"]["text"] + 1
        place.write_bytes(pickle.dumps(changed))
        other = self.folder / "other"
        self.finish(self.start(None, "--seeds", "1", results=other), 0)
        place.write_bytes(content)
        assert not predictions(Store(other)).keys() & predictions(self.store).keys()
        shutil.rmtree(other)
        self.finish(self.start(), 0)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def own_disk(place: Path) -> Iterator[bool]:
    """Mount a small tmpfs if possible; yields whether it is mounted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(place)]
    mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def main() -> None:
    """Run every round and the rest, and compare the store with a serial run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--damages", type=int, default=1000, help="of single files, after the rounds")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name, own_disk(Path(name) / "disk") as mounted:
        folder = Path(name)
        random_numbers = random.Random(options.seed)
        (folder / "study.toml").write_text(STUDY, encoding="utf-8")
        (folder / "tiny.pkl").write_bytes(pickle.dumps(mmsa_content()))
        soak = Soak(folder, random_numbers, own_disk=mounted)
        faults = [*soak.faults] * -(-options.rounds // len(soak.faults))
        random_numbers.shuffle(faults)
        for fault in faults[: options.rounds]:
            soak.round(fault)
        soak.finish(soak.start(), 0)
        os.chdir(folder)
        plans = plan_all(load_study(Path("study.toml"), Grid(seeds=tuple(range(1, soak.seeds + 1)))))
        serial = Store(folder / "serial")
        run_plans(plans, serial, Execution("local"))
        soak.counts["cells stored by both of two runs"] += assert_same_cells(soak.store, serial)
        cells = sum(len(plan.cells) for plan in plans)
        assert len(soak.store.cells()) == cells
        small = Store(folder / "small")
        run_plans(plan_all(load_study(Path("study.toml"), Grid(seeds=(1, 2, 3)))), small, Execution("local"))
        soak.counts += damage_files(small.root, folder / "tiny.pkl", MODELS, random_numbers, options.damages)
        for event, count in soak.counts.items():
            print(f"{count:4} {event}")  # noqa: T201
        disk = "a tmpfs" if mounted else "a limit of file sizes"
        print(  # noqa: T201
            f"{options.rounds} rounds in {time.monotonic() - start:.0f} s, full disk by {disk}: {cells} cells, "
            "none lost or corrupt, all equal to a serial run"
        )


if __name__ == "__main__":
    main()
