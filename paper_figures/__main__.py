"""Make all exhibits, and the README that shows them.

python paper_figures [--results DIR] [--output DIR] [--type png]
"""

import sys

import claims
import clean_comparison
import compute_cost
import fixed_missing
import k_sweep
import landscape
import quality_degradation
import quality_gate
import quality_scores
import random_missing
from exhibit import FOLDER, GENERAL_DIFFERENCES, Evidence, Exhibit, bullet_list, parsed_arguments, write_exhibit

from qamoe_bench.errors import BenchError
from qamoe_bench.figures.style import styled
from qamoe_bench.store.atomic import write_atomic

# In the order of the paper, and last what its claims come to.
EXHIBIT_SCRIPTS = (
    clean_comparison, fixed_missing, random_missing, quality_degradation, landscape, k_sweep, quality_gate,
    quality_scores, compute_cost, claims,
)  # fmt: skip
README_HEAD = f"""# Tables and figures of the QA-MoE paper, redrawn

There is one script per exhibit; `make figures` makes all of them from `results/reference`, including this page, and
`python paper_figures/k_sweep.py --help` lists the options of a single one. Our numbers are measured on the embedded
synthetic data. Published numbers are drawn hollow and grey and always carry a mark of how they are known:
**[paper]** read in the paper itself, **[code]** in its authors' code, **[secondary]** in a third-party description,
**[inferred]** our own deduction. The body and the code of QA-MoE were not available to us, so all of its numbers are
secondary.

Differences between our results and the published ones, and their causes, in all exhibits of accuracy:

{bullet_list(GENERAL_DIFFERENCES)}
"""


def main() -> None:
    """Make all exhibits."""
    try:
        arguments = parsed_arguments(__doc__)
        evidence = Evidence(arguments.results)
        parts = []
        for script in EXHIBIT_SCRIPTS:
            with styled():
                exhibit = script.make(evidence)
                write_exhibit(exhibit, arguments.output, arguments.type or ["png"])
            parts.append(readme_section(exhibit))
            sys.stdout.write(f"{arguments.output / exhibit.name}\n")
        # Output elsewhere, as in tests, leaves the tracked README alone.
        if arguments.output == FOLDER / "output":
            write_atomic(FOLDER / "README.md", "\n".join([README_HEAD, *parts]).encode())
    except BenchError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def readme_section(exhibit: Exhibit) -> str:
    """The section of an exhibit in the README."""
    return (
        f"## {exhibit.title}\n\n![{exhibit.title}](output/{exhibit.name}.png)\n\n{exhibit.caption} "
        f"[Numbers](output/{exhibit.name}.md), [script]({exhibit.name}.py).\n\nDifferences from print, and their "
        f"causes:\n\n{bullet_list(exhibit.differs)}\n"
    )


if __name__ == "__main__":
    main()
