"""Pages of the documentation that are made from the code: the home page, protocols, models, notebook and API.

mkdocs calls `on_files` and `on_post_page` while it builds the site.
"""

import io
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

import qamoe_bench
from qamoe_bench.protocol.parse import load_protocol, protocol_names
from qamoe_bench.registry.declarations import declarations_of
from qamoe_bench.registry.models import model_refs

if TYPE_CHECKING:
    from qamoe_bench.figures.protocol_plot import Picture, Strip

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/OWNER/qamoe-bench/blob/main"
SAMPLES = 16
"""Samples from which one is chosen for the plots of protocols."""
# Pixels of a modality under one condition, and between two of them.
WIDTH = 96
HEIGHT = 48
GAP = 3


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {
        "index.md": _read("README.md").replace("](docs/", "]("),
        "protocol-format.md": _read("protocols/README.md"),
        "protocol-list.md": _protocols(),
        "model-list.md": _models(),
        "notebook.md": _notebook(),
        "api.md": _api(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=_with_repository_links(text)))
    for name, image in _protocol_plots():
        files.append(File.generated(config, f"protocol-plots/{name}.png", content=image))
    return files


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Replace a script of the offline search that would be requested from another host by our own."""
    return output.replace("https://unpkg.com/iframe-worker/shim", get_relative_url("assets/worker.js", page.url))


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _with_repository_links(text: str) -> str:
    """Links to files that are not part of the documentation lead to the repository."""
    text = text.replace("](protocols/README.md)", "](protocol-format.md)")
    return re.sub(r"\]\((?=(?:[A-Za-z_]+/[^)]*|[A-Z]+\.md)\))(?!images/)", f"]({REPOSITORY}/", text)


def _protocols() -> str:
    """Every protocol with its definition, source and levels."""
    parts = [
        "# All protocols\n\nAs their files define them. Each plot shows one sample of the embedded data under up to "
        "eight conditions: time goes from left to right, feature dimensions lie below each other, missing frames are "
        "black. `qamoe-bench protocol show NAME --plot FILE.png` draws it larger, and prints the realised rates."
    ]
    for name in protocol_names():
        protocol = load_protocol(name)
        facts = [f"## {name}", f"**{protocol.title}.** {protocol.definition}", f"Source: {protocol.source}."]
        if protocol.original:
            facts.append(f"The original: {protocol.original}")
        facts.append(
            f"![One sample under {name}: rows are modalities, columns are conditions](protocol-plots/{name}.png)"
        )
        levels = [f"{axis} = {', '.join(f'{v:g}' for v in values)}" for axis, values in protocol.axes.items()]
        facts.append(f"{len(protocol.conditions)} conditions{': ' if levels else ''}{'; '.join(levels)}.")
        parts.append("\n\n".join(facts))
    return "\n\n".join(parts)


def _protocol_plots() -> Iterator[tuple[str, bytes]]:
    """Every protocol with a small picture of what it does to one sample."""
    import torch

    from qamoe_bench.curation.protocol_picture import picture
    from qamoe_bench.data.open import open_dataset
    from qamoe_bench.evaluation.test_set import TestSet

    torch.set_num_threads(1)  # the operations are many and small
    data = open_dataset("synthetic")
    split = data.splits["test"]
    few = replace(
        split,
        ids=split.ids[:SAMPLES],
        target=split.target[:SAMPLES],
        features={m: frames[:SAMPLES] for m, frames in split.features.items()},
        lengths={m: lengths[:SAMPLES] for m, lengths in split.lengths.items()},
        raw_text=split.raw_text[:SAMPLES],
    )
    # Of the whole data: the training split sets the scale of the noise.
    test = TestSet(replace(data, splits={**data.splits, "test": few}), seed=1111, device=torch.device("cpu"))
    for name in protocol_names():
        yield name, _small_plot(picture(test, load_protocol(name)))


def _small_plot(picture: "Picture") -> bytes:
    """A grid of modalities and conditions as one image, which is drawn much faster than a panel for each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [_pixels(strip) for strip in picture.strips.values()]
    figure = Figure(figsize=(1.3 + 0.85 * len(picture.columns), 2.3), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(np.vstack(rows), aspect="auto", interpolation="nearest")
    width = rows[0].shape[1] / len(picture.columns)
    columns = [textwrap.fill(name.replace(" = ", "=").replace("+", "+ "), 12) for name in picture.columns]
    axes.set_xticks([width * (i + 0.5) for i in range(len(columns))], columns, fontsize=7, parse_math=False)
    axes.set_yticks([HEIGHT * (i + 0.5) for i in range(len(rows))], list(picture.strips), fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def _pixels(strip: "Strip") -> np.ndarray:
    """One modality under every condition, as an image of a fixed size with white gaps."""
    colours = mpl.colormaps["RdBu_r"]((strip.values / 6 + 0.5).clip(0, 1))[..., :3]  # (C, T, D, 3); ±3 σ_ref
    colours[strip.lost] = 0.1
    panels = []
    frames = (np.arange(WIDTH) * max(strip.length, 1) // WIDTH).astype(int)
    dimensions = np.arange(HEIGHT) * strip.values.shape[2] // HEIGHT
    for condition in colours:
        panel = condition[frames][:, dimensions].swapaxes(0, 1)  # (HEIGHT, WIDTH, 3)
        panel[:GAP] = 1.0
        panel[:, :GAP] = 1.0
        panels.append(panel)
    return np.hstack(panels)


def _models() -> str:
    """Every built-in model with the docstring of its module."""
    parts = ["# All models\n\nEach docstring says what is from the paper, what is inferred and what departs from it."]
    for name, ref in sorted(model_refs().items()):
        text = declarations_of(ref.source()).docstring.strip()
        variants = ", ".join(f"`{name}:{variant}`" for variant in ref.variants())
        parts.append(f"## {name}\n\n```text\n{text}\n```" + (f"\n\nVariants: {variants}." if variants else ""))
    return "\n\n".join(parts)


def _notebook() -> str:
    """The notebook as text with blocks of code, and a link to the file itself."""
    cells = json.loads(_read("docs/notebook.ipynb"))["cells"]
    parts = []
    for cell in cells:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    title, *rest = parts
    return "\n\n".join([title, "[Download this page as a notebook](notebook.ipynb).", *rest])


def _api() -> str:
    """The public names, from their docstrings."""
    names = "\n\n".join(f"::: qamoe_bench.{name}" for name in _public())
    return f"# API\n\nAll public names of the package; see [From Python](python.md) for an example.\n\n{names}\n"


def _public() -> list[Any]:
    return sorted(qamoe_bench.__all__, key=str.lower)
