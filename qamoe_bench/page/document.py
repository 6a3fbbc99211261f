"""The page as one document: its own scripts, styles and data inside, and nothing fetched.

No script runs but those that were put in here: the content security policy names each by its hash, so markup in a
model's name or a transcript stays text even where escaping should fail, and it forbids every request. Vega's
expressions are interpreted and never evaluated as code.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from qamoe_bench.figures.palette import Style
from qamoe_bench.page.chapter import PageChapter
from qamoe_bench.page.figure import Figure, encoded
from qamoe_bench.page.leaderboard import leaderboards
from qamoe_bench.page.provenance import Manifest, cell_table, run_facts
from qamoe_bench.page.samples import path_spec
from qamoe_bench.page.symbols import symbol

SCRIPTS = ("state", "charts", "maps", "tables", "samples", "filters")
FIRST = "mae"
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class Pool:
    """Specifications and rows of charts, each kept once however many charts share it."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}
        self.figures: dict[str, dict[str, Any]] = {}
        self._names: dict[str, str] = {}

    def add(self, figure: Figure, chapter: str) -> str:
        """The name of a figure's place on the page."""
        name = f"f{len(self.figures)}"
        parts = {"spec": self._kept(figure.spec), "rows": self._kept(encoded(figure.columns))}
        self.figures[name] = {"kind": figure.kind, "chapter": chapter, **parts, **figure.extra}
        return name

    def _kept(self, content: Any) -> str:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, sort_keys=True)
        name = self._names.setdefault(text, f"p{len(self._names)}")
        self.content[name] = content
        return name


def document(
    chapters: Sequence[PageChapter], manifests: Sequence[Manifest], styles: dict[str, Style], version: str
) -> str:
    """HTML."""
    pool = Pool()
    drawn = {id(f): pool.add(f, c.name) for c in chapters for f in _figures(c)}
    data = {
        "pool": pool.content,
        "figures": pool.figures,
        "chapters": {c.name: _about(c) for c in chapters},
        "samples": {c.name: c.samples for c in chapters if c.samples},
        "path": path_spec(),
        "styles": {name: _look(s.colour, s.dash) for name, s in styles.items()} | {"": _look("var(--ink)", (2, 3))},
    }
    scripts = [_script(vega()), _script(_own_code())]
    environment = Environment(
        loader=PackageLoader("qamoe_bench.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.globals.update(
        place=lambda figure: drawn[id(figure)], style=styles.__getitem__, symbol=symbol, facts=run_facts
    )
    return environment.get_template("page.html").render(
        chapters=chapters,
        boards=leaderboards([e for c in chapters for e in c.entries]),
        choices=_choices(chapters),
        manifests=manifests,
        cells=cell_table([cell for c in chapters for cell in c.section.cells]),
        version=version,
        data=_json(data),
        scripts=scripts,
        policy=_policy(scripts),
        css=Markup(_file("page.css")),
    )


def _look(colour: str, dash: Sequence[int]) -> dict[str, Any]:
    return {"colour": colour, "dash": list(dash) or [1, 0]}


def _figures(chapter: PageChapter) -> list[Figure]:
    return [*(f for part in chapter.dialects for f in (*part.figures, *part.more)), *chapter.figures]


def _about(chapter: PageChapter) -> dict[str, Any]:
    return {"regimes": {row.name: row.regime for row in chapter.section.rows}}


def _choices(chapters: Sequence[PageChapter]) -> dict[str, list[str]]:
    """What can be chosen: of data sets, protocols and regimes all or one, of dialects and metrics one."""
    rows = [(c, row) for c in chapters for row in c.section.rows]
    figures = [f for c in chapters for f in _figures(c)]
    found = {
        "dataset": [c.section.dataset for c in chapters],
        "protocol": [c.section.protocol for c in chapters],
        "regime": [row.regime for _, row in rows if row.regime],
        "dialect": [part.dialect.name for c in chapters for part in c.dialects],
        "metric": [f.metric for f in figures if f.metric],
    }
    # The error that all dialects have comes first, for it sees most.
    return {name: sorted(dict.fromkeys(values), key=lambda v: v != FIRST) for name, values in found.items()}


@cache
def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed with all that they need."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


@cache
def _own_code() -> str:
    return '"use strict";\n(() => {\n' + "\n".join(_file(f"{name}.js") for name in SCRIPTS) + "\n})();\n"


def _file(name: str) -> str:
    return files("qamoe_bench.page").joinpath("templates", name).read_text(encoding="utf-8")


def _script(code: str) -> Markup:
    """Code as it may stand between script tags."""
    return Markup(code.replace("</script", "<\\/script").replace("<!--", "<\\!--"))


def _policy(scripts: Sequence[str]) -> str:
    hashes = (base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _json(content: Any) -> Markup:
    """JSON between script tags: nothing in it can end them."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in UNSAFE.items():
        text = text.replace(character, escape)
    return Markup(text)
