"""Study files: many runs in one TOML file, read into requests.

schema = 1
data = ["synthetic", "mosi.pkl"]        what is shared by all grids, in the words of `qamoe-bench run`; all optional:
protocols = ["random-missing"]          names or paths of TOML files
models = ["late-fusion", "qa-moe"]      default: every installed model
configs = ["", "train.epochs=20"]       settings behind each model's name; "" is the model as it is
seeds = [1111, 1112, 1113]
regimes = ["clean", "spectrum"]
preset = "quick"
device = "cpu"
checkpoint = "weights.safetensors"
fine_tune = "all-MiniLM-L6-v2"          a language model that is trained with the rest

[[grid]]                                any number, each the product of its lists; a key here takes the place of
models = ["qa-moe"]                     the shared one
configs = ["k=1", "k=2", "-quality-gate"]

Without a grid the shared keys are one. Paths are those of the folder that one stands in, as on the command line. What
several grids ask for is done once.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qamoe_bench.data.open import open_dataset
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.registry import expand_groups, find_model, model_refs
from qamoe_bench.run.plan import Plan, lay_out
from qamoe_bench.run.planner import Request, find_device, plan
from qamoe_bench.run.presets import find_preset
from qamoe_bench.training.exposure import REGIMES

SCHEMA = 1


@dataclass(frozen=True)
class Asked:
    """A request, and where in a study file it stands; empty for the command line."""

    where: str
    request: Request


def load_study(path: Path, changes: Mapping[str, Any]) -> list[Asked]:
    """What a study file asks for: a request per grid and data set.

    Args:
        path: The file.
        changes: Keys that take the place of the file's, in every grid.

    Raises:
        BenchError: for an unreadable file, or any key or value that is unknown or does not fit.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"study {path}: cannot be read ({error}); give the path of a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise BenchError(f"study {path}: not valid TOML ({error}); mend that line") from error
    if (schema := table.pop("schema", None)) != SCHEMA:
        raise BenchError(
            f"study {path}: expected 'schema = {SCHEMA}', got {schema!r}; see 'Larger studies' in the README"
        )
    grids = table.pop("grid", [{}])
    if not isinstance(grids, list) or not all(isinstance(grid, dict) for grid in grids) or not grids:
        raise BenchError(f"study {path}, 'grid': expected tables that begin with [[grid]], got {grids!r}")
    _check(f"study {path}", table)
    found = []
    for number, grid in enumerate(grids, 1):
        where = f"study {path}, grid {number}" if len(grids) > 1 else f"study {path}"
        _check(where, grid)
        found += ask(where, {**table, **grid, **changes})
    return found


def ask(where: str, keys: Mapping[str, Any]) -> list[Asked]:
    """The requests of a grid: one for each data set.

    Args:
        where: What to call it in errors; empty for the command line.
        keys: Those of a study file, as far as they are given.
    """
    with _told(where):
        if not keys.get("protocols"):
            raise BenchError("expected a protocol, got none; 'qamoe-bench ls protocols' lists them")
        if keys.get("checkpoint") and keys.get("regimes"):
            raise BenchError("weights that you bring are not trained here: a checkpoint with regimes; leave one out")
    with _told(where, "models"):
        names = expand_groups(keys.get("models") or model_refs())
    if configs := keys.get("configs"):
        with _told(where, "configs"):
            names = [_configured(name, config) for name in names for config in configs]
    rest = {key: value for key, value in keys.items() if key not in ("models", "configs", "data")}
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in rest.items()}
    if keys.get("fine_tune"):
        values.setdefault("preset", "fine-tune")
    sources = keys.get("data") or [Request.data]
    return [Asked(where, Request(models=tuple(names), data=data, **values)) for data in sources]


def plan_all(study: Sequence[Asked], *, elsewhere: bool = False) -> list[Plan]:
    """One plan for each data set, with everything once that several requests ask for; `elsewhere` as of `plan`."""
    by_data: dict[tuple[str, str], list[Asked]] = {}
    for asked in study:
        by_data.setdefault((asked.request.data, asked.request.fine_tune), []).append(asked)
    return [_merged([_planned(asked, elsewhere) for asked in of_data], of_data) for of_data in by_data.values()]


def _planned(asked: Asked, elsewhere: bool) -> Plan:
    with _told(asked.where, "data"):
        open_dataset(asked.request.data, asked.request.fine_tune)
    with _told(asked.where):
        return plan(asked.request, elsewhere=elsewhere)


def _merged(plans: Sequence[Plan], study: Sequence[Asked]) -> Plan:
    if len(plans) == 1:
        return plans[0]
    protocols: dict[str, Any] = {}
    for name, about in (item for p in plans for item in p.manifest["protocols"].items()):
        if protocols.setdefault(name, about) != about:
            raise BenchError(f"two protocols are called {name!r}: expected one each; rename your file")
    jobs = [job for p in plans for job in p.jobs]
    seeds = {seed: place for place, seed in enumerate(dict.fromkeys(job.seed for job in jobs))}
    models = {name: about for p in plans for name, about in p.manifest["models"].items()}
    request = [asdict(a.request) for a in study]
    manifest = {**plans[0].manifest, "request": request, "protocols": protocols, "models": models}
    return lay_out(sorted(jobs, key=lambda job: seeds[job.seed]), manifest)  # the draws of a seed serve every model


def _configured(name: str, config: str) -> str:
    """A model's name with a config behind it, if there is one."""
    ref = find_model(name)
    between = "," if ref.settings or ref.training or ref.evaluation else ":"
    configured = f"{name}{between}{config}" if config else name
    find_model(configured)
    return configured


def _check(where: str, table: Mapping[str, Any]) -> None:
    """Refuse what is unknown or of a wrong kind, by its key."""
    for key, value in table.items():
        if key not in CHECKS:
            with _told(where):
                raise unknown_name("key", key, CHECKS)
        with _told(where, key):
            _check_value(value, *CHECKS[key])


def _check_value(value: object, words: str, kind: type, check: Callable[[Any], object]) -> None:
    values = value if isinstance(value, list) else [value]
    if isinstance(value, list) != words.startswith("a list") or not values or any(type(v) is not kind for v in values):
        raise BenchError(f"expected {words}, got {value!r}")
    for v in values:
        check(v)


def _check_model(name: str) -> None:
    for model in expand_groups([name]):
        find_model(model)


def _check_regime(name: str) -> None:
    if name not in REGIMES:
        raise unknown_name("regime", name, REGIMES)


def _check_later(_: object) -> None:
    """What only the whole request can tell."""


CHECKS: Mapping[str, tuple[str, type, Callable[[Any], object]]] = {
    "protocols": ("a list of names or paths", str, load_protocol),
    "models": ("a list of names", str, _check_model),
    "configs": ('a list of settings such as "k=2,width=32"', str, _check_later),
    "data": ("a list of names or paths", str, _check_later),
    "seeds": ("a list of whole numbers", int, _check_later),
    "regimes": ("a list of names", str, _check_regime),
    "fine_tune": ("a name or path", str, _check_later),
    "preset": ("a name", str, find_preset),
    "device": ("a name", str, lambda name: find_device(name, elsewhere=True)),
    "checkpoint": ("a path", str, _check_later),
}


@contextmanager
def _told(where: str, key: str = "") -> Iterator[None]:
    """Say of a mistake where it stands in a study file."""
    try:
        yield
    except BenchError as error:
        if not where:
            raise
        raise BenchError(f"{where}{key and f', {key!r}'}: {error}") from error
