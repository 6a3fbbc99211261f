"""The page as one self-contained document: scripts, styles and data are inline, and nothing is fetched.

The content security policy allows only the scripts that are written here, by their hashes, and forbids every request.
Markup in a model's name or a transcript therefore stays text even if escaping fails. Vega interprets expressions
instead of evaluating them as code, so the policy needs no `unsafe-eval`.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
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

# Templates of the page's own script, in the order in which they are concatenated: later ones use earlier ones
SCRIPTS = ("state", "charts", "maps", "tables", "samples", "filters")
FIRST_METRIC = "mae"
# Characters that could end a script element or a line of it, with their escapes in JSON
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class Pool:
    """Specifications and rows of charts, each stored once even if several charts share it."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}
        self.figures: dict[str, dict[str, Any]] = {}
        self._names: dict[str, str] = {}

    def add(self, figure: Figure, chapter: str) -> str:
        """Store a figure of a chapter; returns the identifier of its element on the page."""
        name = f"f{len(self.figures)}"
        self.figures[name] = {
            "kind": figure.kind,
            "chapter": chapter,
            "spec": self._stored(figure.spec),
            "rows": self._stored(encoded(figure.columns)),
            **figure.extra,
        }
        return name

    def _stored(self, content: Any) -> str:
        """The name of some content, which is stored unless it is there already."""
        # Equal content has equal JSON, since keys are sorted.
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, sort_keys=True)
        name = self._names.setdefault(text, f"p{len(self._names)}")
        self.content[name] = content
        return name


def document(
    chapters: Sequence[PageChapter], manifests: Sequence[Manifest], styles: dict[str, Style], version: str
) -> str:
    """The HTML of the page.

    Args:
        chapters: Its chapters, in order.
        manifests: Manifests of the runs, for the provenance.
        styles: Colour, marker and dash by row name.
        version: Version of qamoe-bench.
    """
    # Figures get their identifiers in the order of the page.
    pool = Pool()
    identifiers: dict[int, str] = {}  # by id() of a figure, since figures are not hashable
    for chapter in chapters:
        for figure in _figures(chapter):
            identifiers[id(figure)] = pool.add(figure, chapter.name)
    # The policy hashes the scripts exactly as the page embeds them.
    scripts = [_script(vega()), _script(_own_code())]
    environment = _environment(lambda figure: identifiers[id(figure)], styles)
    return environment.get_template("page.html").render(
        chapters=chapters,
        boards=leaderboards([entry for chapter in chapters for entry in chapter.entries]),
        choices=_choices(chapters),
        manifests=manifests,
        cells=cell_table([cell for chapter in chapters for cell in chapter.section.cells]),
        version=version,
        data=_json(_data(pool, chapters, styles)),
        scripts=scripts,
        policy=_policy(scripts),
        css=Markup(_template("page.css")),
    )


def _environment(identifier: Callable[[Figure], str], styles: dict[str, Style]) -> Environment:
    # Escape everything by default, and fail on a name that a template misspells.
    environment = Environment(
        loader=PackageLoader("qamoe_bench.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.globals.update(place=identifier, style=styles.__getitem__, symbol=symbol, facts=run_facts)
    return environment


def _data(pool: Pool, chapters: Sequence[PageChapter], styles: dict[str, Style]) -> dict[str, Any]:
    """The data that the page's scripts read."""
    looks = {name: _look(style.colour, style.dash) for name, style in styles.items()}
    looks[""] = _look("var(--ink)", (2, 3))  # of the label, which is drawn next to predictions
    return {
        "pool": pool.content,
        "figures": pool.figures,
        "chapters": {chapter.name: _regimes(chapter) for chapter in chapters},
        "samples": {chapter.name: chapter.samples for chapter in chapters if chapter.samples},
        "path": path_spec(),
        "styles": looks,
    }


def _look(colour: str, dash: Sequence[int]) -> dict[str, Any]:
    # Vega needs a pattern for a solid line too: a dash without a gap.
    return {"colour": colour, "dash": list(dash) or [1, 0]}


def _figures(chapter: PageChapter) -> list[Figure]:
    figures: list[Figure] = []
    for part in chapter.dialects:
        figures += [*part.figures, *part.more]
    return [*figures, *chapter.figures]


def _regimes(chapter: PageChapter) -> dict[str, Any]:
    return {"regimes": {row.name: row.regime for row in chapter.section.rows}}


def _choices(chapters: Sequence[PageChapter]) -> dict[str, list[str]]:
    """Values of the filters: for data sets, protocols and regimes the page adds `all`."""
    choices: dict[str, list[str]] = {"dataset": [], "protocol": [], "regime": [], "dialect": [], "metric": []}
    for chapter in chapters:
        choices["dataset"].append(chapter.section.dataset)
        choices["protocol"].append(chapter.section.protocol)
        choices["regime"] += [row.regime for row in chapter.section.rows if row.regime]
        choices["dialect"] += [part.dialect.name for part in chapter.dialects]
        choices["metric"] += [figure.metric for figure in _figures(chapter) if figure.metric]
    # MAE comes first: all dialects have it, and it is the most sensitive metric.
    return {name: sorted(dict.fromkeys(values), key=lambda v: v != FIRST_METRIC) for name, values in choices.items()}


@cache
def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed with their dependencies, as one script."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


@cache
def _own_code() -> str:
    # A function scope keeps names out of the global object.
    code = "\n".join(_template(f"{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{code}\n}})();\n'


def _template(name: str) -> str:
    return files("qamoe_bench.page").joinpath("templates", name).read_text(encoding="utf-8")


def _script(code: str) -> Markup:
    """Code with everything escaped that would end or comment out a script element."""
    return Markup(code.replace("</script", "<\\/script").replace("<!--", "<\\!--"))


def _policy(scripts: Sequence[str]) -> str:
    hashes = []
    for code in scripts:
        digest = hashlib.sha256(code.encode()).digest()
        hashes.append(f"'sha256-{base64.b64encode(digest).decode()}'")
    allowed = " ".join(hashes)
    # The page's own styles and those that Vega sets need `unsafe-inline`; `default-src` still blocks their requests.
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _json(content: Any) -> Markup:
    """JSON that is safe inside a script element."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in UNSAFE.items():
        text = text.replace(character, escape)
    return Markup(text)
