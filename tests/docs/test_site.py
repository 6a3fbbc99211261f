"""The documentation as a site: it builds without a warning, its links lead somewhere, and it is accessible."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(ROOT / ".docs" / "mkdocs.yml")]
    done = subprocess.run(
        [*command, "--site-dir", str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_link_leads_to_a_page_and_a_heading(site: Path) -> None:
    pages = {path: path.read_text(encoding="utf-8") for path in site.glob("*.html")}
    assert len(pages) > 15
    for path, text in pages.items():
        if path.name == "404.html":
            continue  # its links are absolute, since it answers under any address
        for link in re.findall(r'(?:href|src)="([^"]+)"', text):
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = unquote(link).partition("#")
            other = (path.parent / target).resolve() if target else path
            assert other.exists(), (path.name, link)
            if anchor and other.suffix == ".html":
                assert re.search(rf'id="{re.escape(anchor)}"', pages[other]), (path.name, link)


def search(tab: Page, word: str) -> None:
    """Search for a word until there are results."""
    tab.wait_for_timeout(2_000)  # what is typed before the page's script listens is not searched for
    tab.locator(".md-search__input").fill(word)
    tab.locator(".md-search-result__link").first.wait_for(timeout=60_000)  # the index is built in the browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible_request_nothing_and_are_searched_without_a_server(
    site: Path, browser: Browser, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme, offline=True)
    tab = context.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    # All kinds of content; the two schemes differ in nothing but colours, and the last pages are long.
    names = ("index", "findings", "data", "python", "model-list", "protocol-list", "api")
    for name in names if scheme == "light" else names[:4]:
        path = site / f"{name}.html"
        tab.goto(path.as_uri())
        # Between the schemes only colours differ. Descriptions of all that is well would take most of the time.
        rules = {} if scheme == "light" else {"runOnly": ["color-contrast"]}
        options = {"preload": False, "resultTypes": ["violations"], **rules}
        violations = Axe().run(tab, options=options).response["violations"]
        assert [(path.name, v["id"]) for v in violations if v["impact"] in ("serious", "critical")] == []
    tab.goto((site / "index.html").as_uri())
    search(tab, "retention")
    assert [url for url in requests if not url.startswith(("file:", "blob:", "data:"))] == []
    assert complaints == []
    context.close()
