"""Chapters as a LaTeX document that needs only booktabs, so that its tables can be copied into a paper."""

from collections.abc import Sequence

from qamoe_bench.report.table import Chapter, Table

SMALL_PRINT_WIDTH = 100  # characters of a table that fit a page in \small print
PREAMBLE = r"""\documentclass{article}
\usepackage[margin=2cm]{geometry}
\usepackage{booktabs}
\setlength{\tabcolsep}{4pt}
\begin{document}
"""
# Characters that LaTeX reserves, and those beyond ASCII that reports use.
SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$",
    "η": r"$\eta$", "λ": r"$\lambda$", "σ": r"$\sigma$", "ρ": r"$\rho$",
    "τ": r"$\tau$", "Σ": r"$\Sigma$",
    "Δ": r"$\Delta$", "ε": r"$\epsilon$", "π": r"$\pi$", "μ": r"$\mu$", "µ": r"$\mu$",
    "−": r"$-$", "±": r"$\pm$", "≈": r"$\approx$", "×": r"$\times$",
    "…": r"\dots{}", "–": "--", "²": r"$^2$", "≥": r"$\geq$", "≤": r"$\leq$", "·": r"$\cdot$", "½": r"$\frac12$",
    "∈": r"$\in$", "⊙": r"$\odot$", "→": r"$\to$", "’": "'", "“": "``", "”": "''", "é": r"\'e", "ü": r'\"u',
}  # fmt: skip


def latex(chapters: Sequence[Chapter]) -> str:
    """One document of all chapters."""
    blocks = [block for chapter in chapters for block in _chapter(chapter)]
    return PREAMBLE + "\n".join(blocks) + "\n\\end{document}\n"


def _chapter(chapter: Chapter) -> list[str]:
    lines = [f"\\textbf{{{escape(chapter.verdict)}}}\n"] if chapter.verdict else []
    lines += [f"{escape(line)}\n" for line in chapter.lines]  # the empty line begins a new paragraph
    return [f"\\section*{{{escape(chapter.heading)}}}", *lines, *map(_table, chapter.tables)]


def _table(table: Table) -> str:
    rows = []
    for i, row in enumerate(table.rows):
        rows.append(_line([_cell(table, i, j) for j in range(len(row))]))
    body = [
        f"\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",  # names left, numbers right
        r"\toprule",
        _line([escape(head) for head in table.header]),
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    size = r"\small" if table.width() <= SMALL_PRINT_WIDTH else r"\scriptsize"
    caption = f"\\caption{{{escape(table.title)}}}"
    notes = [f"\\par\\footnotesize {escape(note)}" for note in table.notes]
    return "\n".join([r"\begin{table}[!ht]", rf"\centering{size}", caption, *body, *notes, r"\end{table}"])


def _cell(table: Table, row: int, column: int) -> str:
    text = escape(table.rows[row][column])
    if (row, column) in table.best:
        return f"\\textbf{{{text}}}"
    return f"\\textit{{{text}}}" if column == 0 and table.rows[row][0] in table.reference else text


def _line(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def escape(text: str) -> str:
    """Text in LaTeX's spelling; characters without one become a question mark, since they would not compile."""
    spelled = (SPECIAL.get(c, c) for c in text)
    return "".join(s if s.isascii() else "?" for s in spelled)
