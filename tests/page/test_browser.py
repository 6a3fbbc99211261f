"""The page in a real browser, from disk and with the network off."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from pages import HOSTILE
from playwright.sync_api import Browser, Page, expect

from qamoe_bench.page.samples import SAMPLES_SHOWN

Pages = Callable[[str], Path]
Scheme = Literal["light", "dark"]
VIEWPORTS = {1440: 900, 360: 740}


@contextmanager
def opened(browser: Browser, path: Path, width: int = 1440, scheme: Scheme = "light") -> Iterator[Page]:
    """The page; asserts at the end that only the file was requested and that the console is empty."""
    context = browser.new_context(
        viewport={"width": width, "height": VIEWPORTS[width]}, color_scheme=scheme, offline=True
    )  # fmt: skip
    tab = context.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(path.as_uri())
    yield tab
    assert requests == [path.as_uri()]
    assert complaints == []
    assert tab.evaluate("window.hacked") is None
    context.close()


def look_through(tab: Page) -> None:
    """Scroll to the end, so that everything is drawn, and wait until it is."""
    for figure in tab.locator("figure:visible").all():
        figure.scroll_into_view_if_needed()
    expect(tab.locator("figure:visible .plot:not(.done)")).to_have_count(0)


def figure(tab: Page, kind: str, words: str) -> Any:
    return tab.locator(f"figure.{kind}:visible", has_text=words).first


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (360, "dark")])
def test_the_quick_run_is_drawn_whole_and_accessible_at_every_width(
    browser: Browser, pages: Pages, width: int, scheme: Scheme
) -> None:
    with opened(browser, pages("quick"), width, scheme) as tab:
        look_through(tab)
        shown = tab.locator("figure:visible")
        assert shown.count() >= 11
        assert tab.locator("figure:visible .plot svg").count() >= shown.count()
        # A chart without marks is empty.
        empty = (
            "figures => figures.filter(f => !f.querySelector('.plot .mark-symbol path, .plot .mark-rect path')).length"
        )
        assert shown.evaluate_all(empty) == 0
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        violations = Axe().run(tab, {"exclude": [["svg"]]}).response["violations"]
        assert [v["id"] for v in violations if v["impact"] in ("serious", "critical")] == []


def test_charts_are_drawn_when_they_scroll_into_view(browser: Browser, pages: Pages) -> None:
    with opened(browser, pages("large")) as tab:
        tab.locator("figure:visible").first.scroll_into_view_if_needed()
        expect(tab.locator("figure:visible .plot.done").first).to_be_visible()
        drawn, shown = (tab.locator(f"figure:visible {selector}").count() for selector in (".plot.done", ".plot"))
        assert 0 < drawn < shown
        look_through(tab)


def test_a_column_sorts_by_mouse_and_by_keyboard(browser: Browser, pages: Pages) -> None:
    with opened(browser, pages("quick")) as tab:
        board = tab.locator(".board:visible")
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


def test_the_bar_filters_tables_and_charts(browser: Browser, pages: Pages) -> None:
    with opened(browser, pages("hostile")) as tab:
        curves = tab.locator("figure.curve:visible h4")
        assert [t.partition(":")[0] for t in curves.all_inner_texts()] == ["acc2_non0", "acc7", "mae", "corr"]
        tab.get_by_label("Metric dialect").select_option("mai")
        expect(tab.locator(".board:visible")).to_have_attribute("aria-label", "Leaderboard, dialect mai")
        expect(tab.locator("figure.significance:visible h4")).to_have_text("Significant differences in mae")
        tab.locator("select[name=metric]").select_option("corr")
        expect(tab.locator("figure.significance:visible h4")).to_have_text("Significant differences in corr")
        tab.locator(".models button", has_text="mean").first.click()
        expect(tab.locator(".board:visible tbody tr:visible")).to_have_count(3)
        look_through(tab)
        markers = figure(tab, "curve", "mae: ").locator(".mark-symbol").nth(0).locator("path")
        assert markers.count() == 3 * 3  # three rows are left at three levels
        tab.locator("select[name=protocol]").select_option(index=1)
        expect(tab.locator(".chapter:visible")).to_have_count(1)


def test_hovering_shows_the_exact_value(browser: Browser, pages: Pages) -> None:
    with opened(browser, pages("quick")) as tab:
        chart = figure(tab, "curve", "mae: ")
        chart.scroll_into_view_if_needed()
        chart.locator(".mark-symbol path").last.hover(force=True)  # of the oracle, at the last level
        tip = tab.locator("#vg-tooltip-element.visible")
        expect(tip).to_contain_text("oracle")
        level = chart.locator("table tr", has_text="oracle").locator("td").nth(-2).text_content()
        expect(tip).to_contain_text(level)


def test_numbers_of_a_chart_open_as_a_table(browser: Browser, pages: Pages) -> None:
    with opened(browser, pages("quick")) as tab:
        chart = tab.locator("figure.calibration")
        chart.locator("summary").press("Enter")
        expect(chart.locator("tbody tr")).to_have_count(3 * 10)  # qa-moe, qa-moe-plus and the oracle give a variance
        assert chart.locator("tbody tr").first.locator("th").inner_text() == "qa-moe"


def test_a_sample_opens_to_its_predictions(browser: Browser, pages: Pages) -> None:
    with opened(browser, pages("hostile")) as tab:
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


def test_two_models_are_subtracted_from_each_other(browser: Browser, pages: Pages) -> None:
    with opened(browser, pages("hostile")) as tab:
        look_through(tab)
        chart = tab.locator("figure.difference:visible")
        expect(chart.locator(".says")).to_contain_text(
            f"{HOSTILE} is better than late-fusion in 9 of 9 cells, significantly in 9"
        )
        chart.locator("select").nth(1).select_option("oracle")
        expect(chart.locator(".says")).to_contain_text("is better than oracle in")
        assert tab.locator("figure.landscape:visible .map svg").count() == 4


def test_light_and_dark_follow_the_system_until_the_button_is_pressed(browser: Browser, pages: Pages) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, pages("hostile"), scheme="dark") as tab:
        dark = tab.evaluate(ground)
        tab.get_by_role("button", name="Light").click()
        assert tab.evaluate(ground) == "rgb(255, 255, 255)" != dark
        tab.get_by_role("button", name="Dark").click()
        assert tab.evaluate(ground) == dark
        tab.emulate_media(media="print")  # paper is white
        assert tab.evaluate(ground) == "rgb(255, 255, 255)"
        expect(tab.locator(".filters")).to_be_hidden()


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
