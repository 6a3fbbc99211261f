"""The page in a real browser, from disk and with the network off.

All tests share one browser with one tab per page under test; each opens its page anew by its address.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from pages import HOSTILE
from playwright.sync_api import Browser, Page, expect

from qamoe_bench.page.samples import SAMPLES_SHOWN

Pages = Callable[[str], Path]
Opened = Callable[..., Page]
HEIGHTS = {1440: 900, 390: 844}


@pytest.fixture(scope="module")
def opened(browser: Browser, pages: Pages) -> Iterator[Opened]:
    """Opens a page by name and address; asserts at the end that nothing else was requested or written to a console."""
    context = browser.new_context(offline=True)
    tab = context.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    tab.on("request", lambda request: requests.append(request.url.partition("#")[0]))
    tab.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    uris = set()

    def show(name: str, address: str = "", width: int = 1440, scheme: Any = "light") -> Page:
        uri = pages(name).as_uri()
        uris.add(uri)
        tab.set_viewport_size({"width": width, "height": HEIGHTS[width]})
        tab.emulate_media(color_scheme=scheme, media="screen")
        tab.goto("about:blank")  # an address that differs in its last part only would not load the page again
        tab.goto(uri + address)
        return tab

    yield show
    assert tab.evaluate("window.hacked") is None
    assert set(requests) - {"about:blank"} == uris
    assert complaints == []
    context.close()


def look_through(tab: Page) -> None:
    """Scroll to the end, so that everything is drawn, and wait until it is."""
    for figure in tab.locator("figure:visible").all():
        figure.scroll_into_view_if_needed()
    expect(tab.locator("figure:visible .plot:not(.done)")).to_have_count(0)


def figure(tab: Page, kind: str, words: str) -> Any:
    return tab.locator(f"figure.{kind}:visible", has_text=words).first


def listed(tab: Page) -> list[str]:
    return tab.locator("#ranking tbody tr .name").all_inner_texts()


def bottom(tab: Page, selector: str) -> float:
    return float(tab.locator(selector).evaluate("element => element.getBoundingClientRect().bottom"))


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_the_quick_run_is_drawn_whole_and_accessible_at_every_width(opened: Opened, width: int, scheme: str) -> None:
    tab = opened("quick", width=width, scheme=scheme)
    look_through(tab)
    shown = tab.locator("figure:visible")
    assert shown.count() >= 11
    # A chart without marks is empty.
    empty = "figures => figures.filter(f => !f.querySelector('.plot .mark-symbol path, .plot .mark-rect path')).length"
    assert shown.evaluate_all(empty) == 0
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    tab.locator("#how summary").click()
    violations = Axe().run(tab, {"exclude": [["svg"]]}, {"resultTypes": ["violations"]}).response["violations"]
    assert [v["id"] for v in violations if v["impact"] in ("serious", "critical")] == []


def test_the_first_screen_answers_the_three_questions(opened: Opened) -> None:
    tab = opened("quick")
    questions = tab.locator(".answers h2").all_inner_texts()
    assert questions == ["Which model is most robust?", "Can I trust the order?", "What does it cost?"]
    answers = tab.locator(".answers .short").all_inner_texts()
    assert all(answers)
    expect(tab.locator(".answers .detail").nth(1)).to_contain_text("pairs of models differ significantly")
    expect(tab.locator("#hero svg")).to_be_visible()
    # Chart and ranking are whole on a screen of 1440 × 900; on a phone the ranking begins on the first screen.
    assert max(bottom(tab, "#hero .plot"), bottom(tab, "#ranking table")) < 900
    tab = opened("quick", width=390)
    assert bottom(tab, ".answers") < 700
    assert bottom(tab, "#hero .plot") < 1.6 * 844


def test_a_name_is_never_broken_inside_a_word(opened: Opened) -> None:
    tab = opened("crowd", "#a=m0%3Aeval.permutations%3D0", width=390)
    name = tab.locator("#ranking .name .n", has_text="eval.permutations=0")
    assert listed(tab)[1:4] == ["m0", "m0:k=1", "m0:eval.permutations=0"]  # folded variants open for a compared one
    boxes = name.evaluate("n => [...n.querySelectorAll('span')].map(part => part.getClientRects().length)")
    assert boxes == [1, 1]  # each part is on one line
    assert tab.evaluate("document.documentElement.scrollWidth") == 390


def test_one_protocol_is_shown_at_a_time_and_kept_in_the_address(opened: Opened) -> None:
    tab = opened("crowd")
    first, second = tab.get_by_role("tab").all()
    expect(first).to_have_attribute("aria-selected", "true")
    expect(tab.locator(".chapter:visible")).to_have_count(1)
    first.focus()
    tab.keyboard.press("ArrowRight")
    expect(second).to_have_attribute("aria-selected", "true")
    expect(second).to_be_focused()
    expect(tab.locator("h1")).to_contain_text("second on made-up")
    assert tab.evaluate("location.hash") == "#protocol=second"
    tab.locator("select[name=metric]").select_option("corr")
    assert tab.evaluate("location.hash") == "#protocol=second&metric=corr"
    expect(tab.locator("#ranking table")).to_have_attribute("aria-label", "Ranking in Pearson correlation")
    tab.locator("select[name=regime]").select_option("clean")
    assert listed(tab) == ["oracle", "m1"]
    expect(tab.locator("#compare")).to_be_visible()
    tab.go_back()
    expect(first).to_have_attribute("aria-selected", "true")
    # An address with unknown names shows what is shown first.
    tab = opened("crowd", "#protocol=nowhere&metric=none&regime=x&a=nobody&at=nothing")
    expect(tab.locator("h1")).to_contain_text("first on made-up")
    assert len(listed(tab)) > 2


def test_variants_are_folded_and_twelve_models_are_shown_at_first(opened: Opened) -> None:
    tab = opened("crowd")
    names = listed(tab)
    assert (names[:2], len(names), "mean" in names) == (["oracle", "m0"], 14, True)
    assert not [name for name in names if ":" in name]
    fold = tab.get_by_role("button", name="Show 2 variants of m0")
    fold.focus()
    tab.keyboard.press("Enter")
    assert listed(tab)[1:4] == ["m0", "m0:k=1", "m0:eval.permutations=0"]
    fold = tab.get_by_role("button", name="Fold 2 variants of m0")
    expect(fold).to_be_focused()
    fold.press("Enter")
    assert "m0:k=1" not in listed(tab)
    tab.get_by_role("button", name="Show all 14 models").click()
    assert {"m12", "late-fusion"} < set(listed(tab))
    # The mark in front of a name hides the model in charts.
    shown = tab.locator(".legend:visible li").first
    expect(shown.locator("..").locator("li", has_text="m12")).to_have_count(1)
    tab.get_by_role("button", name="Show m12 in charts").click()
    expect(shown.locator("..").locator("li", has_text="m12")).to_have_count(0)


def test_links_lead_to_charts_and_rows(opened: Opened) -> None:
    tab = opened("crowd", "#protocol=second&metric=corr&at=significance-corr")
    chart = figure(tab, "significance", "Pearson correlation")
    expect(chart).to_be_focused()
    expect(chart).to_be_in_viewport()
    link = chart.locator("h3 .link")
    link.focus()
    link.press("Enter")
    assert tab.evaluate("location.hash") == "#protocol=second&metric=corr&at=significance-corr"
    tab = opened("crowd", f"#row={quote('m0:k=1')}")
    row = tab.locator("#ranking tr.linked")
    expect(row).to_be_focused()
    expect(row).to_contain_text("m0:k=1")
    tab.locator("nav a", has_text="Provenance").click()
    expect(tab.locator("#provenance")).to_be_in_viewport()
    # A chart of another metric than the chosen one is shown with its metric.
    tab = opened("crowd", "#at=significance-corr")
    expect(tab.locator("select[name=metric]")).to_have_value("corr")


def test_two_models_are_compared(opened: Opened) -> None:
    tab = opened("crowd")
    tab.locator("#ranking .name", has_text="m5").click()
    assert tab.locator(".pair-row .name").all_inner_texts() == ["m0", "m5"]
    compare = tab.locator("#compare")
    compare.scroll_into_view_if_needed()
    says = tab.locator("#compare-says")
    expect(says).to_contain_text("m0 is significantly better than m5: by ")
    expect(compare.locator("#by-level .mark-symbol path")).to_have_count(3)  # one for each level
    by_part = compare.locator("#by-part")
    expect(by_part.locator(".says")).to_contain_text("labels ")
    expect(by_part.locator(".says")).to_contain_text("By video, m5 has the smaller error in")
    assert by_part.locator(".mark-symbol path").count() > 3
    # The mirrored pair has the same verdict.
    compare.get_by_role("button", name="Swap").click()
    expect(says).to_contain_text("m0 is significantly better than m5: by ")
    assert tab.evaluate("location.hash") == "#a=m0&b=m5&at=compare"
    compare.locator("select").last.select_option("oracle")
    expect(says).to_contain_text("oracle is ahead of m0: by ")


def test_the_whole_of_a_difference_is_that_of_the_ranking(opened: Opened) -> None:
    tab = opened("crowd", "#a=m0&b=m5")
    tab.locator("#compare").scroll_into_view_if_needed()
    expect(tab.locator("#compare-says")).to_contain_text("by ")
    shown = tab.locator("#compare-says").inner_text().partition("by ")[2].split()[0]
    values = {}
    for row in tab.locator("#ranking tbody tr").all():
        values[row.locator(".name").inner_text()] = float(row.locator(".value").inner_text().partition("±")[0])
    assert abs(float(shown) - abs(values["m0"] - values["m5"])) < 0.0016  # of values rounded to .001


def test_a_column_sorts_by_mouse_and_by_keyboard(opened: Opened) -> None:
    tab = opened("quick")
    board = tab.locator("#metrics-board")
    mae = board.locator("thead th", has_text="mae")
    column = mae.evaluate("th => th.cellIndex")
    read = f"body => [...body.rows].map(row => Number(row.cells[{column}].dataset.key))"
    mae.get_by_role("button").click()
    values = board.locator("tbody").evaluate(read)
    assert values == sorted(values)
    expect(mae).to_have_attribute("aria-sort", "ascending")
    mae.get_by_role("button").focus()
    tab.keyboard.press("Enter")
    assert board.locator("tbody").evaluate(read) == values[::-1]
    expect(mae).to_have_attribute("aria-sort", "descending")
    board.locator("thead th", has_text="corr").get_by_role("button").click()
    assert board.locator("tbody tr").last.locator("th").inner_text().strip() == "mean"  # undefined values sort last


def test_the_bar_filters_tables_and_charts(opened: Opened) -> None:
    tab = opened("hostile")
    curves = tab.locator("figure.curve:visible h3")
    assert [t.partition(" by")[0] for t in curves.all_inner_texts()][2:] == ["MAE", "Pearson correlation"]
    tab.get_by_label("Dialect").select_option("mai")
    expect(tab.locator("figure.significance:visible h3")).to_contain_text("Every pair in MAE")
    tab.locator("select[name=metric]").select_option("corr")
    expect(tab.locator("figure.significance:visible h3")).to_contain_text("Every pair in Pearson correlation")
    expect(tab.locator("figure.landscape:visible .map svg")).to_have_count(0)  # not drawn before it is seen
    look_through(tab)
    assert tab.locator("figure.landscape:visible .map svg").count() == 3  # without `mean`, which is hidden at first
    expect(tab.locator("figure.difference:visible .says")).to_contain_text(f"{HOSTILE} is better than late-fusion in ")


def test_hovering_shows_the_exact_value(opened: Opened) -> None:
    tab = opened("quick")
    chart = figure(tab, "curve", "MAE by level")
    chart.scroll_into_view_if_needed()
    chart.locator(".mark-symbol path").last.hover(force=True)  # of the oracle, at the last level
    tip = tab.locator("#vg-tooltip-element.visible")
    expect(tip).to_contain_text("oracle")
    chart.locator("summary").press("Enter")
    level = chart.locator("table tr", has_text="oracle").locator("td").nth(-2).text_content()
    expect(tip).to_contain_text(level)


def test_numbers_of_a_chart_open_as_a_table(opened: Opened) -> None:
    tab = opened("quick")
    chart = tab.locator("figure.calibration")
    chart.locator("summary").press("Enter")
    expect(chart.locator("tbody tr")).to_have_count(3 * 10)  # qa-moe, qa-moe-plus and the oracle give a variance
    assert chart.locator("tbody tr").first.locator("th").inner_text() == "qa-moe"


def test_the_value_of_knowing_quality_is_a_table_that_links_lead_to(opened: Opened) -> None:
    tab = opened("limits")
    tab.locator("nav a", has_text="Value").click()
    table = tab.locator(".tables table")
    expect(table).to_be_in_viewport()
    assert table.locator("thead").inner_text().split()[:4] == ["level", "known", "inferred", "blind"]
    assert table.locator("tbody th").all_inner_texts() == ["η=0", "0.3", "0.6", "mean"]
    expect(opened("quick").locator("nav a", has_text="Value")).to_be_hidden()


def test_every_pair_is_in_the_table_both_ways(opened: Opened) -> None:
    tab = opened("crowd")
    chart = figure(tab, "significance", "Every pair in MAE")
    chart.locator("summary").press("Enter")
    lines = [line.split() for line in chart.locator("tbody tr").all_inner_texts()]
    cells = {(model, other): (float(value), float(low), float(high), float(p), " ".join(verdict))
             for model, other, value, low, high, p, *verdict in lines}  # fmt: skip
    assert len(cells) == len(lines) == 17 * 16  # all but the oracle
    for (model, other), (value, low, high, p, verdict) in cells.items():
        opposite = {"better": "worse", "worse": "better"}.get(verdict, verdict)
        assert cells[other, model] == (-value, -high, -low, p, opposite)
        assert (verdict == "not significant") == (low <= 0 <= high)
    assert cells["m0", "m12"][-1] == "better"


def test_a_sample_opens_to_its_predictions(opened: Opened) -> None:
    tab = opened("hostile")
    drill = tab.locator(".drill")
    drill.get_by_label("model").select_option(HOSTILE)
    assert 0 < drill.locator(".fall").count() <= SAMPLES_SHOWN
    drill.get_by_label("worse than").select_option(index=1)
    fall = drill.locator(".fall").first
    fall.locator("summary").press("Enter")
    expect(fall.locator("svg").first).to_be_visible()
    rows = fall.locator("tbody th").all_inner_texts()
    assert rows[:3] == [f"prediction of {HOSTILE}", "prediction of late-fusion", "prediction of oracle"]
    assert "text: missing, share" in rows


def test_a_page_of_many_cells_says_what_it_leaves_out(opened: Opened) -> None:
    tab = opened("many")
    look_through(tab)
    expect(tab.locator(".intro .note")).to_contain_text("report --protocol NAME, has the rest")
    assert tab.locator("select[name=metric] option").all_inner_texts() == ["MAE"]
    tab.locator("#compare").scroll_into_view_if_needed()
    expect(tab.locator("#by-level svg")).to_be_visible()
    expect(tab.locator("#by-part")).to_be_hidden()
    assert tab.locator("#protocols-board tbody tr").count() == 4


def test_light_and_dark_follow_the_system_until_the_button_is_pressed(opened: Opened) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    tab = opened("hostile", scheme="dark")
    dark = tab.evaluate(ground)
    tab.get_by_role("button", name="Light").click()
    assert tab.evaluate(ground) == "rgb(255, 255, 255)" != dark
    tab.get_by_role("button", name="Dark").click()
    assert tab.evaluate(ground) == dark


def test_print_has_one_protocol_on_white_paper_with_every_chart(opened: Opened) -> None:
    tab = opened("crowd", scheme="dark")
    tab.emulate_media(media="print")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    expect(tab.locator(".bar").first).to_be_hidden()
    tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    expect(tab.locator("figure:visible .plot:not(.done)")).to_have_count(0)
    expect(tab.locator(".chapter:visible")).to_have_count(1)


def test_no_script_runs_but_the_page_s_own(browser: Browser, pages: Pages) -> None:
    context = browser.new_context(offline=True)
    tab = context.new_page()
    tab.goto(pages("hostile").as_uri())
    blocked = []
    tab.on("console", lambda message: blocked.append(message.text))
    tab.evaluate(
        """() => { const [script, markup] = ["script", "div"].map((tag) => document.createElement(tag));
        script.textContent = "window.hacked = 1"; markup.innerHTML = "<img src='x' onerror='window.hacked = 2'>";
        document.body.append(script, markup); }"""
    )
    tab.wait_for_timeout(100)
    assert tab.evaluate("window.hacked") is None
    assert len(blocked) >= 2
    context.close()
