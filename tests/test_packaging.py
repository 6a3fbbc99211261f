"""What users install: the wheel works in a fresh environment, and the source archive makes the same wheel."""

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def wheel_names(built: Path) -> list[str]:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_packages_and_protocols_and_nothing_else(built: Path) -> None:
    names = wheel_names(built)
    for source in [
        *(ROOT / "qamoe_bench").rglob("*.py"),
        *(ROOT / "qamoe_bench").rglob("*.csv"),
        *(ROOT / "qamoe_bench").rglob("*.search.toml"),
        *(ROOT / "qamoe_bench" / "page" / "templates").iterdir(),
        *(ROOT / "protocols").glob("*.toml"),
    ]:
        path = source.relative_to(ROOT).as_posix()
        assert (path if path.startswith("qamoe_bench") else f"qamoe_bench/{path}") in names
    assert {"qamoe_baselines/late_fusion.py", "qamoe_baselines/cmib.search.toml"} <= set(names)
    tops = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"qamoe_bench", "qamoe_baselines"}
    assert any(name.endswith("LICENSE") for name in names)


def test_the_source_archive_holds_what_building_and_testing_need(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "constraints.txt", "Makefile", "tests/conftest.py"} <= names
    assert not [n for n in names if n.startswith((".venv", "results/runs"))]


def test_the_wheel_runs_in_a_fresh_environment_from_another_folder(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)  # which would come before the wheel
    environment = tmp_path / "env"
    venv.create(environment, with_pip=False)
    (wheel,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    # Dependencies are borrowed from the environment of the tests; a plain path entry does not bring its .pth files,
    # so the editable install of this checkout stays out of sight.
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    command = environment / "bin" / "qamoe-bench"
    where = subprocess.run(
        [environment / "bin" / "python", "-c", "import qamoe_bench; print(qamoe_bench.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(environment))
    listed = subprocess.run([command, "ls", "protocols"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "quality-degradation" in listed.stdout
    ran = subprocess.run(
        [command, "run", "--protocol", "clean", "--model", "late-fusion:train.epochs=1,train.selection_window=1",
         "--seeds", "1"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "clean on synthetic" in ran.stdout
    assert "oracle" in ran.stdout
    report = subprocess.run([command, "report"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert report.stdout == ran.stdout
