"""The page of 5 models × 64 conditions × 5 seeds: time to build it, its size, and time to open it in Chromium.

Run by `make benchmark`; prints measurements without a verdict.
"""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from fakestore import noisy, write_store
from playwright.sync_api import sync_playwright

from qamoe_bench.metrics.choice import chosen
from qamoe_bench.page.page import page


def opening(path: Path, executable: str) -> tuple[float, float]:
    """Seconds until the page is loaded, and until the first chart is drawn."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        tab = browser.new_page()
        start = time.perf_counter()
        tab.goto(path.as_uri())
        loaded = time.perf_counter() - start
        tab.locator("figure:visible").first.scroll_into_view_if_needed()
        tab.locator("figure:visible .plot.done").first.wait_for()
        drawn = time.perf_counter() - start
        browser.close()
    return loaded, drawn


def main() -> None:
    """Print all measurements."""
    models = {"late-fusion": noisy(1.0), **{f"model-{i}": noisy(0.5 + 0.1 * i) for i in range(4)}}
    levels = np.linspace(0, 0.63, 64).round(2).tolist()
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder), models, seeds=range(1, 6), levels=levels, samples=686)
        start = time.perf_counter()
        path = Path(folder) / "page.html"
        path.write_text(page(store.cells(), store.manifests(), chosen("mmsa")), encoding="utf-8")
        size = path.stat().st_size / 1e6
        print(f"page of 5 models × 64 conditions × 5 seeds: {time.perf_counter() - start:.1f} s, {size:.2f} MB")  # noqa: T201
        browsers = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
        executable = next(filter(None, browsers), None)
        if executable:
            loaded, drawn = opening(path, executable)
            print(f"opened in {loaded:.2f} s, first chart after {drawn:.2f} s")  # noqa: T201


if __name__ == "__main__":
    main()
