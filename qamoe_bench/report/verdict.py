"""The verdict of a regression check as a table, as one line, as JUnit XML and as GitHub annotations."""

from collections.abc import Sequence
from xml.etree import ElementTree

from qamoe_bench.analysis.check.check import Verdict
from qamoe_bench.analysis.check.findings import Finding, Name
from qamoe_bench.report.escaping import escaped
from qamoe_bench.report.table import Table, counted, without_empty

MAX_SHOWN = 20  # regressions in the table, and likewise improvements


def verdict_table(verdict: Verdict) -> Table | None:
    """The changes, regressions first; None if there are none."""
    if not verdict.findings:
        return None
    regressions = verdict.regressions[:MAX_SHOWN]
    improvements = [f for f in verdict.findings if not f.is_regression][:MAX_SHOWN]
    rows = [_table_row(finding) for finding in (*regressions, *improvements)]
    left = len(verdict.findings) - len(rows)
    notes = (f"{left} more not shown; --junit FILE writes all regressions",) if left else ()
    head = (
        "model",
        "protocol",
        "change",
        "metric",
        "level",
        "from reference to current (Holm-corrected interval of the change)",
    )
    return without_empty(Table("Changes from the reference", head, tuple(rows), notes))


def _table_row(f: Finding) -> tuple[str, ...]:
    return _row_name(f.name), f.name[1], f.kind, f.what or "–", f.where or "–", f.detail  # name[1]: the protocol


def summary(verdict: Verdict) -> str:
    """The verdict in one line."""
    compared = f"compared {len(verdict.compared)} rows ({verdict.numbers} values)"
    worse = len(verdict.regressions)
    better = len(verdict.findings) - worse  # all other findings are improvements
    regressions = counted(worse, "regression") if worse else "no regressions"
    return f"{compared}: {regressions}, {counted(better, 'improvement')}"


def junit(verdict: Verdict) -> str:
    """JUnit XML with a test case per row, which fails if the row regressed."""
    regressions: dict[Name, list[str]] = {}
    for finding in verdict.regressions:
        regressions.setdefault(finding.name, []).append(sentence(finding))
    names = list(dict.fromkeys([*verdict.compared, *regressions]))  # missing rows were not compared
    suite = ElementTree.Element("testsuite", name="qamoe-bench check")
    suite.set("tests", str(len(names)))
    suite.set("failures", str(len(regressions)))
    for name in names:
        case = ElementTree.SubElement(suite, "testcase", classname=escaped(f"{name[0]}.{name[1]}"))
        case.set("name", escaped(_row_name(name)))
        if name in regressions:
            lines = [escaped(line) for line in regressions[name]]
            ElementTree.SubElement(case, "failure", message=lines[0]).text = "\n".join(lines)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def annotations(verdict: Verdict) -> Sequence[str]:
    """GitHub workflow commands: an error for each row that regressed and kind of regression.

    GitHub shows at most ten annotations per step, so a row does not get one per metric and level.
    """
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
    metric = f" in {f.what}" if f.what else ""
    level = f" at {f.where}" if f.where else ""
    return f"{_row_name(f.name)} under {f.name[1]} on {f.name[0]}: {f.kind}{metric}{level}, {f.detail}"


def _row_name(name: Name) -> str:
    _, _, model, regime = name
    return f"{model} ({regime})" if regime else model


def _escaped(text: str) -> str:
    """Text with the escapes of GitHub workflow commands; % goes first because it begins the others."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
