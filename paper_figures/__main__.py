"""All exhibits at once, and the README that shows them.

python paper_figures [--results DIR] [--output DIR] [--type png]
"""

import sys

import clean_comparison
import compute_cost
import fixed_missing
import k_sweep
import landscape
import quality_degradation
import quality_gate
import quality_scores
import random_missing
from beside import DIFFERS, FOLDER, Evidence, Exhibit, arguments, listed, write

from qamoe_bench.errors import BenchError
from qamoe_bench.figures.style import styled
from qamoe_bench.store.atomic import write_atomic

SCRIPTS = (
    clean_comparison, fixed_missing, random_missing, quality_degradation, landscape, k_sweep, quality_gate,
    quality_scores, compute_cost,
)  # fmt: skip
HEAD = f"""# Tables and figures of the QA-MoE paper, redrawn

One script for each; `make figures` makes them all from `results/reference`, and this page with them, and
`python paper_figures/k_sweep.py --help` says what a single one can do. Our numbers are measured on the embedded
synthetic data. Published numbers are drawn hollow and grey and never without a mark of how well they are known:
**[paper]** read in the paper itself, **[code]** in its authors' code, **[secondary]** in somebody else's description,
**[inferred]** our own deduction. The body and the code of QA-MoE were not available to us, so everything of it is
secondary.

Where ours and theirs differ, and why, in every exhibit of accuracy:

{listed(DIFFERS)}
"""


def main() -> None:
    """Make everything."""
    try:
        asked = arguments(__doc__)
        evidence, pages = Evidence(asked.results), []
        for script in SCRIPTS:
            with styled():
                exhibit = script.make(evidence)
                write(exhibit, asked.output, asked.type or ["png"])
            pages.append(section(exhibit))
            sys.stdout.write(f"{asked.output / exhibit.name}\n")
        if asked.output == FOLDER / "output":
            write_atomic(FOLDER / "README.md", readme(pages).encode())
    except BenchError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def readme(pages: list[str]) -> str:
    """The page of all exhibits."""
    return "\n".join([HEAD, *pages])


def section(exhibit: Exhibit) -> str:
    """An exhibit on that page."""
    return (
        f"## {exhibit.title}\n\n![{exhibit.title}](output/{exhibit.name}.png)\n\n{exhibit.caption} "
        f"[Numbers](output/{exhibit.name}.md), [script]({exhibit.name}.py).\n\nWhere and why it differs from print:\n\n"
        f"{listed(exhibit.differs)}\n"
    )


if __name__ == "__main__":
    main()
