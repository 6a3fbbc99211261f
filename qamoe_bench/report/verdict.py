"""A verdict for people, for JUnit and for GitHub."""

from collections.abc import Sequence
from xml.etree import ElementTree

from qamoe_bench.analysis.check.check import Verdict
from qamoe_bench.analysis.check.findings import Finding, Name
from qamoe_bench.report.table import Table, without_empty

MOST = 20  # findings of one kind of verdict that a table shows


def verdict_table(verdict: Verdict) -> Table | None:
    """What moved, regressions first; None where nothing did."""
    if not verdict.findings:
        return None
    shown = [f for kind in (True, False) for f in [f for f in verdict.findings if f.is_regression is kind][:MOST]]
    rows = tuple((_row(f.name), f.name[1], f.kind, f.what or "–", f.where or "–", f.detail) for f in shown)
    left = len(verdict.findings) - len(shown)
    notes = (f"and {left} more; --junit FILE has all",) if left else ()
    head = (
        "model",
        "protocol",
        "what",
        "metric",
        "level",
        "reference became now (Holm-corrected interval of the change)",
    )
    return without_empty(Table("What moved", head, rows, notes))


def summary(verdict: Verdict) -> str:
    """One line."""
    worse, better = len(verdict.regressions), len(verdict.findings) - len(verdict.regressions)
    seen = f"{len(verdict.compared)} rows, {verdict.numbers} numbers"
    judged = f"{worse} regression{'s' * (worse != 1)}" if worse else "nothing is worse"
    return f"compared {seen}: {judged}, {better} better"


def junit(verdict: Verdict) -> str:
    """A test case for each row: failed where something regressed."""
    names = list(dict.fromkeys([*verdict.compared, *(f.name for f in verdict.regressions)]))
    failed = {name for name in names if any(f.name == name for f in verdict.regressions)}
    suite = ElementTree.Element("testsuite", name="qamoe-bench check", tests=str(len(names)), failures=str(len(failed)))
    for name in names:
        case = ElementTree.SubElement(suite, "testcase", classname=f"{name[0]}.{name[1]}", name=_row(name))
        if name in failed:
            lines = [sentence(f) for f in verdict.regressions if f.name == name]
            ElementTree.SubElement(case, "failure", message=lines[0]).text = "\n".join(lines)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def annotations(verdict: Verdict) -> Sequence[str]:
    """Lines that GitHub shows beside a change, one for each row that regressed and kind of regression."""
    grouped: dict[tuple[Name, str], list[Finding]] = {}
    for finding in verdict.regressions:
        grouped.setdefault((finding.name, finding.kind), []).append(finding)
    lines = []
    for (_, kind), findings in grouped.items():
        more = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
        lines.append(f"::error title=qamoe-bench {kind}::{_escaped(sentence(findings[0]) + more)}")
    return lines


def sentence(f: Finding) -> str:
    """A finding in words."""
    place = f" at {f.where}" if f.where else ""
    return (
        f"{_row(f.name)} under {f.name[1]} on {f.name[0]}: {f.kind}{f' in {f.what}' * bool(f.what)}{place}, {f.detail}"
    )


def _row(name: Name) -> str:
    return f"{name[2]} ({name[3]})" if name[3] else name[2]


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
