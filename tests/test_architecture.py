"""The house stays in order: imports go downward only, and the torch-free half stays torch-free."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import qamoe_bench

PACKAGE = Path(qamoe_bench.__file__).parent
BASELINES = PACKAGE.parent / "baselines" / "qamoe_baselines"

# Floors from the ground up. A module imports only from floors below its own; `room` stands for all modules in it.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "modality", "seeding", "kinds", "cost.stages", "progress"),
    ("precision", "index"),
    ("record", "protocol", "registry", "metrics", "provenance", "interventions", "cost.operations", "cost.measure"),
    ("store", "contract", "protocol_file", "dialects", "report.table", "report.protocol_plot"),
    ("report.palette", "report.pareto"),
    (
        "figures.style",
        "figures.labels",
        "report.fitting",
        "checkpoint",
        "failures",
        "executors.serial",
        "executors.processes",
        "executors.cluster",
        "draws",
        "nn",
        "statistics",
        "report.rows",
        "report.threads",
        "report.markdown",
        "report.latex",
    ),
    (
        "corruption.state",
        "qamoe",
        "data.dataset",
        "data.language_model",
        "data.mapped",
        "data.pickle_opcodes",
        "data.known",
        "data.hdf5",
        "data.intervals",
        "report.scores",
        "report.selection",
        "report.terminal",
        "report.plain",
        "cost.counter",
        "cost.paper",
    ),
    (
        "corruption.modalities",
        "corruption.frames",
        "data.oracle",
        "data.pickle_names",
        "data.source",
        "data.digest",
        "data.folds",
        "data.tokens",
    ),
    ("data.safe_pickle", "data.names", "data.padding", "data.mmsa", "data.folder"),
    ("data.multibench", "data.mag", "data.csd", "data.cleaning"),
    (
        "report.summaries",
        "report.comparisons",
        "report.audits",
        "report.findings",
        "report.runs",
        "report.sensitivity",
        "report.quality_levels",
        "report.worst",
    ),
    ("report.analysis", "report.regressions", "report.overview"),
    ("report.check",),
    ("report.verdict", "report.metric_tables", "report.records", "report.published"),
    ("report.audit_tables", "report.formats"),
    ("report.tables", "figures.drawing"),
    ("figures.curves",),
    ("figures.plane", "figures.points", "figures.forest", "figures.pareto", "figures.quality"),
    ("figures.landscape",),
    ("figures.gallery",),
    ("page.figure", "page.symbols", "page.provenance", "page.texts"),
    ("page.marks",),
    (
        "page.curves",
        "page.landscape",
        "page.modalities",
        "page.quality",
        "page.calibration",
        "page.cost",
        "page.significance",
        "page.samples",
    ),
    ("page.leaderboard",),
    ("page.chapter",),
    ("page.document",),
    ("page.page",),
    ("corruption.values",),
    ("corruption.apply",),
    ("data.synthetic", "encodings"),
    ("answering",),
    ("data.open", "train", "sweep", "building"),
    ("presets", "job", "executors.choice", "inspection"),
    ("curation.audit", "curation.convert", "curation.download", "curation.encode"),
    ("plan", "remaining", "cli_protocol", "cli_results", "cost.setting", "curation.audit_tables", "curation.fetch"),
    ("work", "estimate", "study", "api", "cli_lists", "cli_data", "cli_figures", "cost.cost"),
    ("elsewhere",),
    ("runner", "preview", "cost.tables"),
    ("cli_cost", "cli_run"),
    ("cli",),
    ("__main__",),
)
TORCH_FREE = (
    "errors", "modality", "seeding", "kinds", "record", "protocol", "protocol_file", "registry", "metrics", "dialects",
    "environment", "statistics", "store", "failures", "progress", "report", "page", "figures", "cli", "cli_protocol",
    "cli_results", "cli_lists", "cli_cost", "cli_data", "cli_figures", "cli_run", "index",
)  # fmt: skip
CONTRACT = ("contract", "nn", "errors", "modality")


def floor_of(module: str) -> int:
    for index, rooms in enumerate(FLOORS):
        if any(module == room or module.startswith(room + ".") for room in rooms):
            return index
    raise AssertionError(f"{module} has no floor: say in FLOORS where it belongs")


def modules(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*.py")) if p.name != "__init__.py"]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path: Path) -> list[str]:
    """Modules of the package that a file imports, anywhere in it, without the package's name in front."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("qamoe_bench."):
            module = node.module.removeprefix("qamoe_bench.")
            is_room = (PACKAGE / module.replace(".", "/")).is_dir()
            found += [f"{module}.{a.name}" for a in node.names] if is_room else [module]
        if isinstance(node, ast.Import):
            found += [a.name.removeprefix("qamoe_bench.") for a in node.names if a.name.startswith("qamoe_bench.")]
    return found


@pytest.mark.parametrize("path", modules(PACKAGE), ids=name_of)
def test_imports_go_strictly_downward(path: Path) -> None:
    name = name_of(path)
    for imported in imports(path):
        same_room = any(
            imported.startswith(room) and name.startswith(room)
            for room in ("nn.", "qamoe.", "statistics.", "provenance.")
        )
        assert floor_of(imported) < floor_of(name) or same_room, f"{name} imports {imported}"


@pytest.mark.parametrize("path", [*modules(PACKAGE / "qamoe"), *modules(BASELINES)], ids=lambda p: p.stem)
def test_models_import_only_what_a_stranger_may(path: Path) -> None:
    assert {i.partition(".")[0] for i in imports(path)} <= {*CONTRACT, *({"qamoe"} if "qamoe" in path.parts else ())}


def test_nobody_imports_a_model() -> None:
    for path in modules(PACKAGE):
        if not name_of(path).startswith("qamoe."):
            assert not any(i.startswith("qamoe.") for i in imports(path)), path
            assert "qamoe_baselines" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("path", modules(PACKAGE), ids=name_of)
def test_torch_free_modules_do_not_import_torch(path: Path) -> None:
    if name_of(path).partition(".")[0] not in TORCH_FREE:
        return
    top = ast.parse(path.read_text(encoding="utf-8")).body
    names = [a.name for n in top if isinstance(n, ast.Import) for a in n.names]
    names += [n.module or "" for n in top if isinstance(n, ast.ImportFrom)]
    assert not [n for n in names if n.partition(".")[0] == "torch"]


def test_every_command_that_only_reads_runs_where_torch_cannot_be_imported(tmp_path: Path) -> None:
    forbid = "import sys; sys.modules['torch'] = None; import qamoe_bench.cli as cli; sys.argv[0] = 'qamoe-bench'; "
    for arguments in (["ls", "models"], ["ls", "protocols"], ["ls", "datasets"], ["ls", "metrics"], ["ls", "runs"]):
        done = subprocess.run(
            [sys.executable, "-c", forbid + "cli.main()", *arguments], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [sys.executable, "-c", forbid + "cli.main()", "report"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "no finished cells" in done.stderr
