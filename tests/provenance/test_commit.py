"""The commit of the code, where git answers, and where it does not."""

import time
from pathlib import Path

import pytest

from qamoe_bench.provenance import environment


@pytest.mark.parametrize("script", ["sleep 100", "exit 1", "kill -9 $$"])
def test_a_git_that_hangs_or_fails_leaves_the_commit_unknown(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = tmp_path / "git"
    git.write_text(f"#!/bin/sh\nexec {script}\n" if "sleep" in script else f"#!/bin/sh\n{script}\n", "utf-8")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(environment, "GIT_TIMEOUT_S", 0.3)
    start = time.monotonic()
    assert environment.commit() == ""
    assert time.monotonic() - start < 2
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert environment.commit() == ""
