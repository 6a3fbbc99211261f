"""A small study of ill-mannered models beside good ones, and what must be stored of it."""

import re
from dataclasses import replace
from pathlib import Path

from illmannered import MANNERS
from smallstudy import SHORT, predictions, small_plan

from qamoe_bench.run.plan import Plan
from qamoe_bench.store.store import Store

SETTINGS = SHORT.replace("epochs=2", "epochs=1")
GOOD = (f"late-fusion:{SETTINGS}", f"mean:{SETTINGS}")
OWN = (*(f"illmannered:build:manner={manner},{SETTINGS}" for manner in MANNERS), f"illmannered:stages:{SETTINGS}")
FEW = tuple(name for name in OWN if re.search("=inplace|=hard-exit", name))
"""Those that matter most, where each process takes seconds to start."""
FAILING = {
    "memory": "out of memory",
    "limit": "cannot write .*; the model had changed resource limits",
    "rename": "the model kept its predictions from being stored",
    "exit": r"the model tried to end the process with sys.exit\(0\)",
    "hard-exit": "the model tried to end the process with os._exit",
    "interrupt": "the model raised KeyboardInterrupt",
    "kill": "the model tried to end the process with os.kill",
    "hang": "the model took more than 1 s",
}


def plan_with_own(data: Path, own: tuple[str, ...] = OWN) -> Plan:
    """The ill-mannered models first, so that whatever they leave behind meets the others."""
    plan = small_plan(data, *own, *GOOD, seeds=(1,), protocols=("clean",))
    jobs = [replace(job, cell_timeout=1.0 if "hang" in job.cells[0][0].model else 0.0) for job in plan.jobs]
    return replace(plan, jobs=tuple(jobs))


def check(store: Store, alone: Store, message: str, own: tuple[str, ...] = OWN) -> None:
    """The good cells are those of a run without the others, and each failure has its reason."""
    made = predictions(store)
    for name, expected in predictions(alone).items():
        assert made[name].equals(expected), name
    reasons = [path.read_text("utf-8") for path in store.root.rglob("failures/*.json")]
    failing = sum(re.search(f"manner={manner},", name) is not None for name in own for manner in FAILING)
    assert len(reasons) == failing, (message, reasons)
    assert len(made) == len(own) + len(GOOD) - failing
    # What a model does to its surroundings does not change its own predictions either.
    cells = {stored.cell.model.partition(",")[0].rpartition("=")[2]: stored.predictions for stored in store.cells()}
    for manner in cells.keys() & {"torch", "python", "fork", "print", "warn"}:
        assert cells[manner]["prediction"].equals(cells["none"]["prediction"]), manner
