"""Pages under test, each built once for all processes that run the tests."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import METRICS, MOST_CELLS, STORES, cells_of

from qamoe_bench.metrics.choice import chosen
from qamoe_bench.page.page import page


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[str], Path]:
    """The path of a page by its name in `STORES`."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    return lambda name: _once(shared / f"page-{name}", name)


def _once(folder: Path, name: str) -> Path:
    """Build the page, or wait until another process has built it."""
    path = folder / "page.html"
    try:
        folder.mkdir()
    except FileExistsError:
        while not path.exists():
            assert not (folder / "failed").exists(), "the process that built this page failed"
            time.sleep(0.1)
        return path
    try:
        store = STORES[name](folder)
        with pytest.MonkeyPatch.context() as patch:
            if name in MOST_CELLS:
                patch.setattr("qamoe_bench.page.page.MOST_CELLS", MOST_CELLS[name])
            text = page(cells_of(name, store), store.manifests(), chosen("mmsa", METRICS.get(name, ())))
    except BaseException:
        (folder / "failed").touch()
        raise
    (folder / "part").write_text(text, encoding="utf-8")
    return (folder / "part").rename(path)
