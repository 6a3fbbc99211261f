"""Pages of the documentation that are made from the code: the home page, the protocols, the models and the API.

mkdocs calls `on_files` and `on_post_page` while it builds the site.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

import qamoe_bench
from qamoe_bench.protocol.parse import load_protocol, protocol_names
from qamoe_bench.registry.declarations import declarations_of
from qamoe_bench.registry.models import model_refs

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/OWNER/qamoe-bench/blob/main"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {
        "index.md": _read("README.md").replace("](docs/", "]("),
        "protocol-format.md": _read("protocols/README.md"),
        "protocol-list.md": _protocols(),
        "model-list.md": _models(),
        "api.md": _api(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=_with_repository_links(text)))
    return files


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Replace a script of the offline search that would be requested from another host by our own."""
    return output.replace("https://unpkg.com/iframe-worker/shim", get_relative_url("assets/worker.js", page.url))


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _with_repository_links(text: str) -> str:
    """Links to files that are not part of the documentation lead to the repository."""
    text = text.replace("](protocols/README.md)", "](protocol-format.md)")
    return re.sub(r"\]\((?=(?:[A-Za-z_]+/[^)]*|[A-Z]+\.md)\))(?!images/)", f"]({REPOSITORY}/", text)


def _protocols() -> str:
    """Every protocol with its definition, source and levels."""
    parts = [
        "# All protocols\n\nAs their files define them; `qamoe-bench protocol show NAME` prints the realised rates."
    ]
    for name in protocol_names():
        protocol = load_protocol(name)
        facts = [f"## {name}", f"**{protocol.title}.** {protocol.definition}", f"Source: {protocol.source}."]
        if protocol.original:
            facts.append(f"The original: {protocol.original}")
        levels = [f"{axis} = {', '.join(f'{v:g}' for v in values)}" for axis, values in protocol.axes.items()]
        facts.append(f"{len(protocol.conditions)} conditions{': ' if levels else ''}{'; '.join(levels)}.")
        parts.append("\n\n".join(facts))
    return "\n\n".join(parts)


def _models() -> str:
    """Every built-in model with the docstring of its module."""
    parts = ["# All models\n\nEach docstring says what is from the paper, what is inferred and what departs from it."]
    for name, ref in sorted(model_refs().items()):
        text = declarations_of(ref.source()).docstring.strip()
        variants = ", ".join(f"`{name}:{variant}`" for variant in ref.variants())
        parts.append(f"## {name}\n\n```text\n{text}\n```" + (f"\n\nVariants: {variants}." if variants else ""))
    return "\n\n".join(parts)


def _api() -> str:
    """The public names, from their docstrings."""
    names = "\n\n".join(f"::: qamoe_bench.{name}" for name in _public())
    return f"# API\n\nAll public names of the package; see [From Python](python.md) for an example.\n\n{names}\n"


def _public() -> list[Any]:
    return sorted(qamoe_bench.__all__, key=str.lower)
