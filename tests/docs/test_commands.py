"""Every command in the documentation is one that the command line understands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from qamoe_bench.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each `qamoe-bench` command in a code block, without its comment."""
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines = block.replace("\\\n", " ").splitlines()
        for line in lines:
            words = shlex.split(line.strip().removeprefix("- run: "), comments=True) if "qamoe-bench " in line else []
            while words and "=" in words[0]:
                del words[0]  # a variable of the environment
            if words[:1] == ["qamoe-bench"]:
                yield words[1:]


def parse(words: list[str]) -> str:
    """The name of the command that the words are parsed for; raises what the command line would print."""
    command: Any = get_command(app)
    context = command.make_context("qamoe-bench", list(words))
    while hasattr(command, "resolve_command"):
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, list(words), parent=context)
    return str(context.command_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_understood(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        assert parse(words).startswith("qamoe-bench ")


def test_commands_are_there_and_a_wrong_one_is_refused() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert ["run", "--protocol", "random-missing", "--model", "mine:build", "--model", "late-fusion"] in commands(text)
    with pytest.raises(Exception, match="--modle"):
        parse(["run", "--modle", "x"])


def test_pages_name_files_that_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            # Links to pages that are generated for the site are checked when it is built.
            generated = {"protocol-list.md", "protocol-format.md", "model-list.md", "notebook.md", "api.md"}
            assert target in generated or (page.parent / target).exists(), (page.name, target)
