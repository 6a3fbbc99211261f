"""The page without a browser: its content and size, that values stay text, and that nothing is fetched."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fakestore import noisy, write_store
from pages import HOSTILE, HOSTILE_DATA, HOSTILE_PROTOCOL, MODELS, REFERENCE, STORES, cells_of

from qamoe_bench.analysis.pareto import pareto_front
from qamoe_bench.analysis.section import sections
from qamoe_bench.figures.palette import MARKERS
from qamoe_bench.metrics.choice import chosen
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.page.chapter import applicable_dialects
from qamoe_bench.page.figure import comma_list, json_numbers
from qamoe_bench.page.page import page
from qamoe_bench.page.provenance import command
from qamoe_bench.page.symbols import symbol
from qamoe_bench.report.records import records
from qamoe_bench.report.tables import analyses
from qamoe_bench.store.store import Store

Pages = Callable[[str], Path]
LIMIT = 3_000_000


class Reader(HTMLParser):
    """Tags with their attributes, and the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and data.strip():
            self.scripts.append(data)
        else:
            self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read(path: Path) -> tuple[Reader, dict[str, Any]]:
    reader = Reader(path.read_text(encoding="utf-8"))
    return reader, json.loads(reader.scripts[0])


def test_charts_of_further_protocols_and_other_rows_need_no_further_specifications(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for count, protocol in enumerate(("p", "q", "r"), start=2):
        models = {"late-fusion": noisy(1.0), **{f"good-{i}": noisy(0.5) for i in range(count)}}
        write_store(tmp_path, models, run=protocol, protocol=protocol)
    data = json.loads(Reader(page(store.cells(), store.manifests(), chosen("mmsa", ["mae", "corr"]))).scripts[0])
    curves = [f for f in data["figures"].values() if f["kind"] == "curve"]
    assert len(curves) >= 6
    assert len({f["spec"] for f in curves}) == 2
    assert "good-" not in json.dumps([data["pool"][f["spec"]] for f in data["figures"].values()])
    assert all({"colour", "marker", "dash"} <= look.keys() for name, look in data["styles"].items() if name)


def test_a_chart_that_dialects_define_alike_is_there_once(pages: Pages) -> None:
    reader, data = read(pages("quick"))
    shown = [a for a in reader.named("figure") if "curve" in (a.get("class") or "").split()]
    contents = [(data["figures"][a["id"] or ""]["key"], data["figures"][a["id"] or ""]["rows"]) for a in shown]
    assert len(contents) < sum(len(DIALECTS[dialect].definitions) for dialect in data["chapters"]["c0"]["boards"])
    mae = [a for a, (key, _) in zip(shown, contents, strict=True) if key == "curve-mae"]
    # One dialect has another MAE.
    assert sorted(a["data-dialect"] or "" for a in mae) == ["mai", "mmsa mult sdk-mosei polarity"]
    # In every dialect, each of its metrics has one curve.
    for dialect in data["chapters"]["c0"]["boards"]:
        own = [key for a, (key, _) in zip(shown, contents, strict=True) if dialect in (a["data-dialect"] or "").split()]
        assert len(set(own)) == len(own)
        assert set(own) == {f"curve-{metric}" for metric in DIALECTS[dialect].definitions}


def test_what_knowing_quality_is_worth_is_shown_with_its_rows_only(pages: Pages) -> None:
    reader, data = read(pages("limits"))
    (place,) = [a for a in reader.named("div") if a.get("class") == "tables"]
    table = data["pool"][place["data-tables"]]
    assert table["title"] == "What knowing quality is worth, in mae"
    assert table["head"] == ["level", "known", "inferred", "blind", "told", "95 %", "aware", "95 %"]
    told, aware = table["rows"][-1][4], table["rows"][-1][6]
    says = f"worth, in mean MAE, {told.replace('.', '0.', 1)} against inferring it from the frames, "
    says += f"{aware.replace('.', '0.', 1)} against seeing no sign of quality; above 0 it helps."
    assert says in "".join(reader.text)
    assert {a.get("data-section") for a in reader.named("h2")} >= {"value", "samples"}
    reader, _ = read(pages("quick"))
    assert "value" not in {a.get("data-section") for a in reader.named("h2")}


def test_a_page_of_many_cells_has_what_compares_the_models(pages: Pages, tmp_path: Path) -> None:
    reader, data = read(pages("many"))
    assert "This page is of 24 cells. Of more than 20, a page shows what compares the models" in "".join(reader.text)
    assert {f["kind"] for f in data["figures"].values()} == {"curve", "significance", "cost"}
    assert [list(c["boards"]) for c in data["chapters"].values()] == [["mmsa"]] * 2
    assert all(list(c["boards"]["mmsa"]) == ["mae"] for c in data["chapters"].values())
    assert not data["samples"]
    assert not any("Cells, with" in str(content.get("title", "")) for content in data["pool"].values())
    # Its numbers are those of the whole page.
    store = STORES["many"](tmp_path)
    whole = json.loads(Reader(page(store.cells(), store.manifests(), chosen("mmsa"))).scripts[0])
    for name, chapter in data["chapters"].items():
        own = data["pool"][chapter["boards"]["mmsa"]["mae"]]
        assert own == whole["pool"][whole["chapters"][name]["boards"]["mmsa"]["mae"]]


def test_runs_above_a_number_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = STORES["many"](tmp_path)
    monkeypatch.setattr("qamoe_bench.page.document.MOST_RUNS", 1)
    text = page(store.cells(), store.manifests(), chosen("mmsa", ["mae"]))
    assert "And 1 more, which" in text
    assert "<h3>second</h3>" not in text


def test_each_pair_is_stored_once(pages: Pages) -> None:
    _, data = read(pages("quick"))
    for figure in (f for f in data["figures"].values() if f["kind"] == "significance"):
        rows = data["pool"][figure["rows"]]
        pairs = len(rows["row"]["words"]) * (len(rows["row"]["words"]) - 1) // 2
        assert len(rows["p"]) == len(rows["significant"]) == pairs
        assert (
            len(base64.b64decode(rows["value"]["codes"])) == len(base64.b64decode(rows["half"]["codes"])) == 2 * pairs
        )


def test_lists_of_samples_are_stored_once_with_the_digits_that_are_shown(pages: Pages) -> None:
    _, data = read(pages("hostile"))
    about = data["samples"]["c0"]
    assert len({json.dumps(x) for x in about["lists"]}) == len(about["lists"])
    numbers = [x for values in about["lists"] for x in values if isinstance(x, float)]
    assert numbers
    assert all(x == round(x, 2) for x in numbers)
    places = [at for fall in about["falls"]["missing"] for at in fall]
    assert len(places) > len(set(places))  # many rows have the same hardest samples


def test_a_hostile_name_stays_text_everywhere(pages: Pages) -> None:
    reader, data = read(pages("hostile"))
    assert len(reader.named("script")) == len(reader.scripts) == 3  # the data, Vega and the page's own code
    assert not reader.named("img")
    assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]
    text = "".join(reader.text)
    assert text.count(HOSTILE) > 5
    assert HOSTILE_PROTOCOL in text
    assert HOSTILE_DATA in text
    assert HOSTILE in [row["name"] for row in data["chapters"]["c0"]["rows"]]
    assert "<" not in reader.scripts[0]


def test_only_the_page_s_own_scripts_may_run_and_nothing_may_be_fetched(pages: Pages) -> None:
    reader, _ = read(pages("quick"))
    (policy,) = [m["content"] for m in reader.named("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    hashes = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in reader.scripts[1:]]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    for _, attributes in reader.tags:
        fetching = {"src", "srcset", "action", "poster", "data", "background", "formaction", "xlink:href"} & set(
            attributes
        )
        assert not fetching
        assert (attributes.get("href") or "#").startswith("#")
    assert not reader.named("link")
    css = pages("quick").read_text(encoding="utf-8").partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in css
    assert "@import" not in css


def test_every_chart_has_a_sentence_a_description_and_rows(pages: Pages) -> None:
    for name in ("quick", "hostile"):
        reader, data = read(pages(name))
        places = [a for a in reader.named("div") if a.get("class") == "plot"]
        assert len(places) == len(data["figures"]) + 3 > 20  # those of the first screen and of the comparison
        named = {a["id"] for _, a in reader.tags if a.get("id")}
        assert all(a["role"] == "img" and set((a["aria-labelledby"] or "").split()) <= named for a in places)
        for figure in data["figures"].values():
            assert data["pool"][figure["spec"]]["width"] == "container"
            assert data["pool"][figure["rows"]]["row"]["words"]
        html = pages(name).read_text(encoding="utf-8")
        sentences = re.findall(r'<p class="says" id="f[^"]*">(.*?)</p>\s*<div class="plot"', html)
        kinds = [f["kind"] for f in data["figures"].values()]
        assert sum(not s for s in sentences) == kinds.count("difference")  # written by the script for the chosen models


def test_missing_sections_are_explained(pages: Pages) -> None:
    kinds = {"curve", "modalities", "significance", "cost", "quality", "calibration"}
    _, data = read(pages("quick"))
    assert {f["kind"] for f in data["figures"].values()} == kinds
    assert "The landscape is omitted" in pages("quick").read_text(encoding="utf-8")
    _, data = read(pages("hostile"))
    assert {f["kind"] for f in data["figures"].values()} == kinds | {"landscape", "difference"}
    assert set(data["samples"]["c0"]["falls"]["against"]["words"]) == {"clean", "control"}


def test_one_row_without_anything_to_compare_leaves_sections_out(tmp_path: Path) -> None:
    store = write_store(tmp_path, {"alone": noisy(0.5)}, levels=(0.0,), seeds=(1,))
    text = page(store.cells(), store.manifests(), chosen("mmsa", ["mae"]))
    for why in ("there is only one row", "Cost against quality is omitted", "Individual samples are omitted"):
        assert why in text
    assert "There is one row, so there is nothing to compare." in text


def test_a_large_page_is_light(pages: Pages) -> None:
    """5 models × 64 conditions × 5 seeds."""
    assert pages("large").stat().st_size < LIMIT
    _, data = read(pages("large"))
    rows = next(data["pool"][f["rows"]] for f in data["figures"].values() if f["kind"] == "curve")
    assert len(rows["x"]) == 5 * 64


def test_charts_show_the_numbers_of_the_report(tmp_path: Path) -> None:
    store = write_store(tmp_path, MODELS)
    text = page(store.cells(), store.manifests(), chosen("mmsa", ["acc7", "mae"]))
    data = json.loads(Reader(text).scripts[0])
    reported = list(records(analyses(store.cells(), DIALECTS["mmsa"], ["acc7", "mae"])))
    curves = [data["pool"][f["rows"]] for f in data["figures"].values() if f["kind"] == "curve"][:2]
    for metric, scale, curve in zip(("acc7", "mae"), (100, 1), curves, strict=True):
        wanted = [r for r in reported if r["statistic"] == "value" and r["metric"] == metric]
        assert [curve["row"]["words"][i] for i in curve["row"]["at"]] == [r["row"] for r in wanted]
        assert curve["x"] == [r["level"] for r in wanted]
        for key in ("value", "low", "high"):
            assert curve[key] == [pytest.approx(scale * r[key], rel=1e-3) for r in wanted]


def test_the_same_store_gives_the_same_page(tmp_path: Path) -> None:
    store = write_store(tmp_path, MODELS, seeds=(1, 2), samples=40)
    first, second = (page(store.cells(), store.manifests(), chosen("mmsa", ["mae"])) for _ in range(2))
    assert first == second


def test_dialects_fit_the_labels_and_the_metrics(tmp_path: Path) -> None:
    (section,) = sections(write_store(tmp_path, MODELS).cells())

    def names(asked: str, metrics: tuple[str, ...]) -> list[str]:
        return [d.name for d in applicable_dialects(section, chosen(asked, metrics))]

    assert names("mai", ()) == ["mai", "mmsa", "mult", "sdk-mosei", "polarity"]
    assert names("mmsa", ("acc5",)) == ["mmsa", "mult"]
    section.label[:] /= 3  # the range of CH-SIMS
    assert names("mmsa", ()) == ["mmsa", "sims", "polarity"]


def test_the_pareto_front_holds_what_nothing_beats_in_both() -> None:
    cost = {0: 1.0, 1: 2.0, 2: 3.0, 3: 3.0, 4: 9.0}
    gain = {0: 0.1, 1: 0.5, 2: 0.4, 3: 0.7, 4: 0.7}
    assert pareto_front(cost, gain) == [0, 1, 3]


def test_words_and_numbers_for_the_page() -> None:
    assert [comma_list(w) for w in ((), ("a",), ("a", "b"), ("a", "b", "c"))] == ["", "a", "a and b", "a, b and c"]
    assert json_numbers([0.123456, float("nan"), 1e-9]) == [0.1235, None, 1e-9]
    assert all(symbol(marker) for marker in MARKERS)


def test_the_command_of_a_run_is_given_as_it_can_be_typed() -> None:
    request = {"protocols": ["mixed"], "models": ["a b"], "data": "x.pkl", "seeds": [1, 2], "regimes": ["clean"]}
    typed = "qamoe-bench run --protocol mixed --model 'a b' --regime clean --seeds 1,2 --data x.pkl"
    assert command(request) == typed
    assert command({}) == ""


def test_provenance_has_what_the_manifest_says(pages: Pages) -> None:
    text = pages("quick").read_text(encoding="utf-8")
    store = Store(REFERENCE)
    cells = cells_of("quick", store)
    used = {c.path.parent.parent.name for c in cells}
    for manifest in store.manifests():
        assert (manifest["run"] in text) == (manifest["run"] in used)
        if manifest["run"] in used:
            assert manifest["data"]["digest"] in text
            assert manifest["engine"]["engine"] in text
    assert all(c.cell.key in text for c in cells)
