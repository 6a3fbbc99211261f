"""Pages: time to build each, its size, and time to open it in Chromium, the median of five openings.

The page of the stored reference, of 24 models × 4 protocols × 5 seeds, and of 5 models × 64 conditions × 5 seeds. Run
by `make benchmark`; prints measurements without a verdict.
"""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from fakestore import noisy, write_store
from playwright.sync_api import sync_playwright

from qamoe_bench.metrics.choice import chosen
from qamoe_bench.page.page import page
from qamoe_bench.store.store import Store

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
OPENINGS = 5


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


def measure(title: str, store: Store, folder: Path) -> None:
    """Print the measurements of one page."""
    start = time.perf_counter()
    path = folder / "page.html"
    path.write_text(page(store.cells(), store.manifests(), chosen("mmsa")), encoding="utf-8")
    built = time.perf_counter() - start
    print(f"{title}: built in {built:.1f} s, {path.stat().st_size / 1e6:.2f} MB", flush=True)  # noqa: T201
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable:
        times = [opening(path, executable) for _ in range(OPENINGS)]
        loaded = statistics.median(t for t, _ in times)
        drawn = statistics.median(t for _, t in times)
        print(f"  opened in {loaded:.2f} s, first chart after {drawn:.2f} s", flush=True)  # noqa: T201


def main() -> None:
    """Print all measurements."""
    with tempfile.TemporaryDirectory() as folder:
        measure("the reference", Store(REFERENCE), Path(folder))
        many = {"late-fusion": noisy(1.0), **{f"model-{i:02}": noisy(0.5 + 0.02 * i) for i in range(23)}}
        for k in range(4):
            store = write_store(
                Path(folder) / "many", many, range(1, 6), np.linspace(0, 0.7, 8).round(1).tolist(), 686, f"run-{k}",
                protocol=f"protocol-{k}", protocol_digest=f"{k}",
            )  # fmt: skip
        measure("24 models × 4 protocols × 5 seeds", store, Path(folder))
        few = {"late-fusion": noisy(1.0), **{f"model-{i}": noisy(0.5 + 0.1 * i) for i in range(4)}}
        levels = np.linspace(0, 0.63, 64).round(2).tolist()
        store = write_store(Path(folder) / "few", few, seeds=range(1, 6), levels=levels, samples=686)
        measure("5 models × 64 conditions × 5 seeds", store, Path(folder))


if __name__ == "__main__":
    main()
