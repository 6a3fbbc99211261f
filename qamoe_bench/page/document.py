"""The page as one self-contained document: scripts, styles and data are inline, and nothing is fetched.

The content security policy allows only the scripts that are written here, by their hashes, and forbids every request.
Markup in a model's name or a transcript therefore stays text even if escaping fails. Vega interprets expressions
instead of evaluating them as code, so the policy needs no `unsafe-eval`.
"""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from qamoe_bench.analysis.section import CONTROL
from qamoe_bench.figures.palette import Style
from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.metrics.choice import HEADLINES
from qamoe_bench.page.board import row_facts
from qamoe_bench.page.chapter import PageChapter
from qamoe_bench.page.figure import Figure, encoded
from qamoe_bench.page.provenance import Manifest, cell_table, run_facts
from qamoe_bench.page.samples import path_spec
from qamoe_bench.page.sentences import regimes_of
from qamoe_bench.page.symbols import symbol
from qamoe_bench.report.table import Table
from qamoe_bench.vocabulary import metric_label

# Templates of the page's own script, in the order in which they are concatenated: later ones use earlier ones
SCRIPTS = ("state", "address", "charts", "maps", "tables", "samples", "ranking", "compare", "controls")
# Runs whose provenance is shown; more are counted
MOST_RUNS = 100
# Characters that could end a script element or a line of it, with their escapes in JSON
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class Pool:
    """Specifications, rows of charts and tables, each stored once even if several parts of the page share it."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}
        self.figures: dict[str, dict[str, Any]] = {}
        self._names: dict[str, str] = {}

    def add(self, figure: Figure, chapter: str) -> str:
        """Store a figure of a chapter; returns the identifier of its element on the page."""
        name = f"f{len(self.figures)}"
        self.figures[name] = {
            "kind": figure.kind,
            "key": figure.key,
            "chapter": chapter,
            "spec": self.stored(figure.spec),
            "rows": self.stored(encoded(figure.columns)),
            **figure.extra,
        }
        # One sentence is in the text of the page already.
        if len(figure.sentences) > 1:
            self.figures[name]["sentences"] = dict(figure.sentences)
        return name

    def table(self, table: Table) -> str:
        """The name of a table, from which the page's script builds it when the reader opens it."""
        return self.stored(
            {
                "title": table.title,
                "head": table.header,
                "rows": table.rows,
                "best": sorted(table.best),
                "limits": table.reference,
                "notes": table.notes,
            }
        )

    def stored(self, content: Any) -> str:
        """The name of some content, which is stored unless it is there already."""
        # Equal content has equal JSON, since keys are sorted.
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, sort_keys=True)
        name = self._names.setdefault(text, f"p{len(self._names)}")
        self.content[name] = content
        return name


def document(
    chapters: Sequence[PageChapter],
    manifests: Sequence[Manifest],
    styles: dict[str, Style],
    version: str,
    brevity: str = "",
) -> str:
    """The HTML of the page.

    Args:
        chapters: Its chapters, in order.
        manifests: Manifests of the runs, for the provenance.
        styles: Colour, marker and dash by row name.
        version: Version of qamoe-bench.
        brevity: What is left out of a page of many cells; empty if nothing is. Such a page has no table of cells.
    """
    # Figures get their identifiers in the order of the page.
    pool = Pool()
    identifiers: dict[int, str] = {}  # by id() of a figure, since figures are not hashable
    for chapter in chapters:
        for figure in _figures(chapter):
            if id(figure) not in identifiers:  # dialects share figures
                identifiers[id(figure)] = pool.add(figure, chapter.name)
    # The policy hashes the scripts exactly as the page embeds them.
    scripts = [_script(vega()), _script(_own_code())]
    environment = _environment(lambda figure: identifiers[id(figure)], pool.table, styles)
    labels = _labels(chapters)
    data = _data(pool, chapters, labels, styles)
    # The template adds tables to the pool, so the data are written after the text.
    body = environment.get_template("body.html").render(
        chapters=chapters,
        labels=labels,
        choices=_choices(chapters),
        manifests=manifests[:MOST_RUNS],
        further_runs=max(len(manifests) - MOST_RUNS, 0),
        cells=None if brevity else cell_table([cell for chapter in chapters for cell in chapter.section.cells]),
        brevity=brevity,
        version=version,
    )
    return environment.get_template("page.html").render(
        title=f"Robustness report: {', '.join(dict.fromkeys(chapter.section.dataset for chapter in chapters))}",
        version=version,
        body=Markup(body),
        data=_json(data),
        scripts=scripts,
        policy=_policy(scripts),
        css=Markup(_template("page.css")),
    )


def _environment(
    identifier: Callable[[Figure], str], table: Callable[[Table], str], styles: dict[str, Style]
) -> Environment:  # fmt: skip
    # Escape everything by default, and fail on a name that a template misspells.
    environment = Environment(
        loader=PackageLoader("qamoe_bench.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.globals.update(place=identifier, stored=table, symbol=symbol, facts=run_facts)
    environment.filters["named"] = _marker_of_names(list(styles))
    return environment


def _marker_of_names(names: Sequence[str]) -> Callable[[str], Markup]:
    """A filter that marks names of models in a text, so that no line breaks inside them."""
    # The longest first, because a variant's name begins with that of its model.
    alternatives = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w-])({alternatives})(?![\w-])")

    def marked(text: str) -> Markup:
        # Odd pieces are the names.
        pieces = [_name(piece) if i % 2 else escape(piece) for i, piece in enumerate(pattern.split(text))]
        return Markup("").join(pieces)

    return marked


def _name(name: str) -> Markup:
    """A name in which lines may break before settings only."""
    parts = [Markup("<span>{}</span>").format(part) for part in re.split(r"(?<=[:,])", name)]
    return Markup('<span class="n">{}</span>').format(Markup("<wbr>").join(parts))


def _labels(chapters: Sequence[PageChapter]) -> dict[str, str]:
    """The name of each chapter's protocol, with a part of its digest where several have the same name."""
    names = Counter((c.section.dataset, c.section.protocol) for c in chapters)
    labels = {}
    for chapter in chapters:
        section = chapter.section
        cell = section.cells[0].cell
        is_unique = names[section.dataset, section.protocol] == 1
        digests = f"{cell.protocol_digest[:4]}-{cell.data_digest[:4]}"
        labels[chapter.name] = section.protocol if is_unique else f"{section.protocol} ({digests})"
    return labels


def _data(
    pool: Pool, chapters: Sequence[PageChapter], labels: dict[str, str], styles: dict[str, Style]
) -> dict[str, Any]:  # fmt: skip
    """The data that the page's scripts read."""
    looks = {name: _look(style) for name, style in styles.items()}
    looks[""] = {"colour": "var(--ink)", "dash": [2, 3]}  # of the label, which is drawn next to predictions
    return {
        "pool": pool.content,
        "figures": pool.figures,
        "chapters": {chapter.name: _chapter_data(pool, chapter, labels[chapter.name]) for chapter in chapters},
        "samples": {chapter.name: chapter.samples for chapter in chapters if chapter.samples},
        "path": path_spec(),
        "control": CONTROL,
        "styles": looks,
        "metrics": {name: [metric_label(name), m.unit, m.sign] for name, m in METRICS.items()},
    }


def _chapter_data(pool: Pool, chapter: PageChapter, label: str) -> dict[str, Any]:
    boards = {}
    differences = {}
    for part in chapter.dialects:
        boards[part.dialect.name] = {name: pool.stored(content) for name, content in part.boards.items()}
        differences[part.dialect.name] = {name: _stored(pool, content) for name, content in part.differences.items()}
    return {
        "dataset": chapter.section.dataset,
        "protocol": label,
        "regimes": regimes_of(chapter.section),
        "rows": row_facts(chapter.section),
        "boards": boards,
        "differences": differences,
        "origins": chapter.origins and _stored(pool, chapter.origins),
    }


def _stored(pool: Pool, content: Mapping[str, Any]) -> str:
    """The name of some content whose specification is stored on its own, since others share it."""
    return pool.stored({**content, "spec": pool.stored(content["spec"])})


def _look(style: Style) -> dict[str, Any]:
    # Vega needs a pattern for a solid line too: a dash without a gap.
    dash = list(style.dash) or [1, 0]
    return {"colour": style.colour, "dash": dash, "marker": style.marker, "symbol": symbol(style.marker)}


def _figures(chapter: PageChapter) -> list[Figure]:
    figures: list[Figure] = []
    for part in chapter.dialects:
        figures += [*part.figures, *part.more]
    return [*figures, *chapter.figures]


def _choices(chapters: Sequence[PageChapter]) -> dict[str, list[str]]:
    """Values of the selects, the one that is shown first in front."""
    choices: dict[str, list[str]] = {"dataset": [], "dialect": [], "metric": []}
    for chapter in chapters:
        choices["dataset"].append(chapter.section.dataset)
        choices["dialect"] += [part.dialect.name for part in chapter.dialects]
        choices["metric"] += [metric for part in chapter.dialects for metric in part.boards]
    # The metric that decides the order comes first: nearly all dialects have it.
    return {name: sorted(dict.fromkeys(values), key=lambda v: v not in HEADLINES) for name, values in choices.items()}


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
    for character, code in UNSAFE.items():
        text = text.replace(character, code)
    return Markup(text)
