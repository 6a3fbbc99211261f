"""Digests of code depend on its meaning only: an edit that does not change the computation keeps the key."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import qamoe_bench
from qamoe_bench.provenance.closure import Closure, closure_of
from qamoe_bench.provenance.engine import ENGINE
from qamoe_bench.registry import ModelRef

PACKAGE = Path(qamoe_bench.__file__).parent

FILES = {
    "guestmodel/__init__.py": "",
    "guestmodel/model.py": (
        '"""A model."""\n\nimport torch\n\nfrom guesthelpers.scale import factor\nfrom guestmodel.inner import part\n'
        "from . import near\nimport guestmodel.far\n\n\ndef build(spec):\n"
        '    """Build it."""\n    return torch.nn.Linear(near.x * part.y, guestmodel.far.w + factor())\n'
    ),
    "guestmodel/near.py": "x = 1\nv = 5\n",
    "guestmodel/far.py": "w = 2\n",
    "guestmodel/inner/__init__.py": "",
    "guestmodel/inner/part.py": "from guestmodel.near import x\n\ny = x + 1\n",
    "guestmodel/unused.py": "z = 1\n",
    "guesthelpers/__init__.py": "",
    "guesthelpers/scale.py": "import scipy\n\n\ndef factor():\n    return 3  # of the paper\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with a model in one package and its helper in another."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    forget()


def forget() -> None:
    for name in [n for n in sys.modules if n.startswith("guest")]:
        del sys.modules[name]


def code_of(module: str = "guestmodel.model") -> Closure:
    """The closure as a new process would compute it."""
    forget()
    return ModelRef(f"{module}:build", f"{module}:build").code()


def replace(path: Path, old: str, new: str) -> int:
    text = path.read_text(encoding="utf-8")
    assert old in text
    return path.write_text(text.replace(old, new), encoding="utf-8")


def rename(folder: Path) -> None:
    """Rename a file that two others import."""
    (folder / "guestmodel/near.py").rename(folder / "guestmodel/close_by.py")
    replace(folder / "guestmodel/model.py", "from . import near\n", "from guestmodel import close_by\n")
    replace(folder / "guestmodel/model.py", "near.x", "close_by.x")
    replace(folder / "guestmodel/inner/part.py", "guestmodel.near", "guestmodel.close_by")


SAME: dict[str, Callable[[Path], object]] = {
    "a docstring": lambda f: replace(f / "guestmodel/model.py", "Build it.", "Make a model."),
    "no docstring": lambda f: replace(f / "guestmodel/model.py", '    """Build it."""\n', ""),
    "a comment": lambda f: replace(f / "guesthelpers/scale.py", "of the paper", "inferred"),
    "formatting": lambda f: replace(f / "guestmodel/near.py", "x = 1", "x = (\n    0x1\n)"),
    "an alias": lambda f: replace(f / "guestmodel/inner/part.py", "import x\n\ny = x", "import x as z\n\ny = z"),
    "a file that is not imported": lambda f: replace(f / "guestmodel/unused.py", "1", "2"),
    "the name of a file": rename,
    "the name of a file after import a.b": lambda f: (
        (f / "guestmodel/far.py").rename(f / "guestmodel/distant.py"),
        replace(f / "guestmodel/model.py", "guestmodel.far", "guestmodel.distant"),
    ),
}
NEW: dict[str, Callable[[Path], object]] = {
    "a constant": lambda f: replace(f / "guestmodel/near.py", "x = 1", "x = 2"),
    "a constant that a package further in imports": lambda f: replace(f / "guestmodel/inner/part.py", "+ 1", "+ 2"),
    "a helper in another top-level package": lambda f: replace(f / "guesthelpers/scale.py", "3", "4"),
    "code in a package's __init__": lambda f: (f / "guesthelpers/__init__.py").write_text("import scipy\nx = 1\n"),
    "which file a name comes from": lambda f: (
        (f / "guestmodel/other.py").write_text("x = 9\n"),
        replace(f / "guestmodel/inner/part.py", "guestmodel.near", "guestmodel.other"),
        replace(f / "guestmodel/model.py", "import torch\n", "import torch\nimport guestmodel.other\n"),
    ),
    "which name is imported": lambda f: replace(f / "guestmodel/inner/part.py", "import x", "import v as x"),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME.keys())
def test_an_edit_that_does_not_change_the_computation_keeps_the_digest(
    folder: Path, change: Callable[[Path], object]
) -> None:
    before = code_of()
    change(folder)
    assert code_of().digest == before.digest


@pytest.mark.parametrize("change", NEW.values(), ids=NEW.keys())
def test_an_edit_that_may_change_the_computation_changes_the_digest(
    folder: Path, change: Callable[[Path], object]
) -> None:
    before = code_of()
    change(folder)
    assert code_of().digest != before.digest


def test_two_files_that_swap_what_they_import_get_another_digest(folder: Path) -> None:
    (folder / "guestmodel/a.py").write_text("from guestmodel.near import x\n")
    (folder / "guestmodel/b.py").write_text("from guestmodel.far import w as x\n")
    model = folder / "guestmodel/model.py"
    model.write_text("from guestmodel import a, b\n\n\ndef build(spec):\n    return a.x - b.x\n")
    before = code_of()
    model.write_text("from guestmodel import a, b\n\n\ndef build(spec):\n    return b.x - a.x\n")
    assert code_of().digest != before.digest


def test_imports_in_a_circle_have_a_digest(folder: Path) -> None:
    replace(folder / "guestmodel/near.py", "x = 1", "x = 1\n\n\ndef late():\n    import guestmodel.model\n")
    before = code_of()
    assert "guestmodel.near" in before.sources
    replace(folder / "guestmodel/near.py", "x = 1", "x = 2")
    assert code_of().digest != before.digest


def test_a_folder_next_to_the_model_counts_where_only_the_model_puts_it_on_the_path(folder: Path) -> None:
    (folder / "research/modules").mkdir(parents=True)
    (folder / "research/__init__.py").write_text("")
    (folder / "research/modules/guesttransformer.py").write_text("x = 1\n")
    (folder / "research/guestscript.py").write_text(
        "import sys\nfrom pathlib import Path\nsys.path.insert(0, str(Path(__file__).parent))\n"
        "from modules.guesttransformer import x\n\n\ndef build(spec):\n    return x\n"
    )
    path = [*sys.path]
    try:
        before = code_of("research.guestscript")
        assert "modules.guesttransformer" in before.sources
        (folder / "research/modules/guesttransformer.py").write_text("x = 2\n")
        assert code_of("research.guestscript").digest != before.digest
    finally:
        sys.path[:] = path
        for name in ("modules", "modules.guesttransformer", "research", "research.guestscript"):
            sys.modules.pop(name, None)


def test_versions_of_imported_distributions_are_known_without_the_standard_library(folder: Path) -> None:
    replace(folder / "guesthelpers/scale.py", "import scipy\n", "import json\nimport scipy.stats\n")
    code = code_of()
    assert {"torch", "scipy"} <= code.versions.keys()
    assert code.versions["scipy"] == sys.modules["scipy"].__version__
    assert not {"json", "pandas"} & code.versions.keys()


def test_code_that_is_loaded_by_a_computed_name_counts_where_a_global_holds_it_and_is_reported(folder: Path) -> None:
    replace(
        folder / "guesthelpers/scale.py",
        "import scipy\n",
        "import importlib\nunused = importlib.import_module('guestmodel' + '.unused')\n",
    )
    before = code_of()
    assert before.uncovered == ("line 2 of scale.py loads code by a computed name",)
    replace(folder / "guestmodel/unused.py", "1", "2")
    assert code_of().digest != before.digest


def test_a_file_that_cannot_be_parsed_counts_by_its_bytes(folder: Path) -> None:
    (folder / "guestmodel/later.py").write_text("print 'of another Python'\n")
    replace(
        folder / "guestmodel/model.py",
        "import torch\n",
        "import torch\n\ntry:\n    import guestmodel.later\nexcept SyntaxError:\n    pass\n",
    )
    before = code_of()
    replace(folder / "guestmodel/later.py", "another", "an older")
    assert code_of().digest != before.digest


ENGINE_DIGEST = "from qamoe_bench.provenance.engine import engine_digest; print(engine_digest())"


def engine_digest_of(folder: Path) -> str:
    """The digest of a copy of this package, computed in a separate process."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", ENGINE_DIGEST]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=folder).stdout


def test_comments_docstrings_and_file_names_of_the_engine_change_no_key(tmp_path: Path) -> None:
    copy = tmp_path / "qamoe_bench"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "protocols"))
    before = engine_digest_of(tmp_path)
    for path in copy.rglob("*.py"):
        # Printing the tree removes every comment; the docstring below replaces the module's own.
        text = ast.unparse(ast.parse(path.read_text(encoding="utf-8")))
        path.write_text(f'"""Another docstring."""\n# A new comment.\n{text}\n', encoding="utf-8")
    assert engine_digest_of(tmp_path) == before
    (copy / "seeding.py").rename(copy / "random_streams.py")
    for path in copy.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("qamoe_bench.seeding", "qamoe_bench.random_streams"), encoding="utf-8")
    assert engine_digest_of(tmp_path) == before
    replace(copy / "random_streams.py", "digest_size=16", "digest_size=8")
    assert engine_digest_of(tmp_path) != before


def test_the_engine_turns_data_and_a_model_into_predictions_and_contains_no_more() -> None:
    rooms = {name.split(".")[1] for name in closure_of(ENGINE).sources}
    assert {"corruption", "data", "contract", "seeding"} <= rooms
    assert not rooms & {"report", "page", "figures", "cost", "curation", "executors", "store", "registry", "provenance"}
