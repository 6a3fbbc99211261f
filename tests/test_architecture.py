"""The structure of the code: rooms in tiers, imports strictly downward, and a half that runs without torch."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import qamoe_bench

PACKAGE = Path(qamoe_bench.__file__).parent
BASELINES = PACKAGE.parent / "baselines" / "qamoe_baselines"

# From the ground up. A room is a folder or a single module of the package; it imports only from rooms of lower tiers.
TIERS: tuple[tuple[str, ...], ...] = (
    ("errors", "shapes", "seeding", "vocabulary", "provenance", "on_access"),
    ("documents", "isolation"),
    ("contract", "config", "registry", "protocol", "metrics"),
    ("nn", "corruption", "store", "statistics"),
    ("models", "data", "analysis", "adapters"),
    ("training", "evaluation", "report"),
    ("run", "figures"),
    ("page", "cost", "curation", "sharing", "exchange", "tuning"),
    ("api",),
    ("cli",),
    ("__main__",),
)
LOOSE = 10
"""The most modules that may lie at the top of the package and in no room."""

TORCH_FREE = (
    "errors", "shapes", "seeding", "vocabulary", "provenance", "on_access", "documents", "isolation",
    "config", "registry",
    "protocol",
    "metrics", "store", "statistics", "analysis", "report", "figures", "page", "sharing",
    "cli",
    "run.progress",
)  # fmt: skip
"""Rooms, and single modules of others."""
LARGE = ("torch", "numpy", "pandas", "pyarrow", "scipy", "matplotlib", "jaxtyping")
"""Libraries that take a tenth of a second and more to load."""
CONTRACT = ("contract", "config", "nn", "errors", "vocabulary")
"""What a model may import, built-in or not."""


def modules(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*.py")) if p.name != "__init__.py"]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def room_of(module: str) -> str:
    return module.partition(".")[0]


def tier_of(module: str) -> int:
    (tier,) = [index for index, rooms in enumerate(TIERS) if room_of(module) in rooms]
    return tier


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Modules of the package that a file imports, anywhere in it, without the package's name in front."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qamoe_bench"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}".removeprefix("qamoe_bench.").replace(".", "/")
                is_module = (PACKAGE / f"{whole}.py").exists()
                names.append(f"{node.module}.{alias.name}" if is_module else node.module or "")
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.startswith("qamoe_bench.")]
    # The package itself is asked for its version only.
    return tuple(name.removeprefix("qamoe_bench.") for name in names if name != "qamoe_bench")


def test_every_room_has_one_tier_and_few_modules_lie_in_none() -> None:
    rooms = {room_of(name_of(path)) for path in modules(PACKAGE)}
    named = [room for tier in TIERS for room in tier]
    assert sorted(named) == sorted(rooms)
    assert len(TIERS) <= 12
    assert len([*PACKAGE.glob("*.py")]) <= LOOSE


@pytest.mark.parametrize("path", modules(PACKAGE), ids=name_of)
def test_imports_go_strictly_downward(path: Path) -> None:
    name = name_of(path)
    upward = [other for other in imports(path) if room_of(other) != room_of(name) and tier_of(other) >= tier_of(name)]
    assert not upward, f"{name} imports {upward}"


def test_no_imports_run_in_a_circle_lazy_ones_included() -> None:
    graph = {name_of(path): set(imports(path)) for path in modules(PACKAGE)}
    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("path", [*modules(PACKAGE / "models"), *modules(BASELINES)], ids=lambda p: p.stem)
def test_models_import_only_what_a_stranger_may(path: Path) -> None:
    allowed = {*CONTRACT, *({"models"} if PACKAGE in path.parents else ())}
    assert {room_of(name) for name in imports(path)} <= allowed


def test_nobody_imports_a_model() -> None:
    for path in modules(PACKAGE):
        if room_of(name_of(path)) != "models":
            assert "models" not in {room_of(name) for name in imports(path)}, path
            assert "qamoe_baselines" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("path", modules(PACKAGE), ids=name_of)
def test_torch_free_modules_do_not_import_torch(path: Path) -> None:
    if not {name_of(path), room_of(name_of(path))} & {*TORCH_FREE}:
        return
    top = ast.parse(path.read_text(encoding="utf-8")).body
    names = [a.name for n in top if isinstance(n, ast.Import) for a in n.names]
    names += [n.module or "" for n in top if isinstance(n, ast.ImportFrom)]
    assert not [n for n in names if room_of(n) == "torch"]


def test_help_and_lists_of_names_load_no_large_library() -> None:
    # One process for all of them: the point is what is loaded in the end.
    code = (
        "import sys\n"
        "from qamoe_bench.cli.main import main\n"
        "for words in ('--help', 'run --help', 'ls models', 'ls protocols', 'ls datasets'):\n"
        "    sys.argv = ['qamoe-bench', *words.split()]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as end:\n"
        "        assert not end.code, words\n"
        f"print('loaded:', *sorted(sys.modules.keys() & set({LARGE!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for shown in ("unbundle", "--fine-tune", "late-fusion", "random-missing", "synthetic-emotion"):
        assert shown in done.stdout
    assert done.stdout.endswith("loaded:\n")


def test_every_command_that_only_reads_runs_where_torch_cannot_be_imported(tmp_path: Path) -> None:
    forbid = (
        "import sys; sys.modules['torch'] = None; "
        "from qamoe_bench.cli import main as cli; sys.argv[0] = 'qamoe-bench'; "
    )
    for arguments in (["ls", "metrics"], ["ls", "runs"]):
        done = subprocess.run(
            [sys.executable, "-c", forbid + "cli.main()", *arguments], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [sys.executable, "-c", forbid + "cli.main()", "report"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "no finished cells" in done.stderr
    # The others say what they lack.
    for arguments in (["run", "--protocol", "clean"], ["cost"], ["protocol", "show", "clean"]):
        done = subprocess.run(
            [sys.executable, "-c", forbid + "cli.main()", *arguments], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 2
        assert done.stderr.endswith("error: expected PyTorch, which this command needs, got none; pip install torch\n")
