"""Comparison of a store with a reference, by stored predictions of the same samples.

A row (model and regime, under a protocol, on a data set) is compared with the row of the same name in the reference, in
every metric at every level and in the mean; see `qamoe_bench.analysis.check.regressions`. Rows that cannot be compared
are findings too: missing cells, and protocols or data whose digest changed. Of several versions of a row one is judged;
see `qamoe_bench.analysis.check.versions`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qamoe_bench.analysis.check.findings import Finding, FindingKind, Limits, Name, Pairs
from qamoe_bench.analysis.check.regressions import changes, slower
from qamoe_bench.analysis.check.versions import has_versions, newest_by_seed, versions_note, without_recipe
from qamoe_bench.analysis.clusters import BY_IDS, ClusterRule
from qamoe_bench.analysis.selection import select
from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.choice import MetricChoice
from qamoe_bench.store.cell import Cell
from qamoe_bench.store.store import Store, StoredCell
from qamoe_bench.store.stored_cell import DamagedCell

MAX_LISTED = 5
"""Names or seeds that an error lists."""
_Sides = tuple[Sequence[StoredCell], Sequence[StoredCell]]  # the cells of a row in the reference and in the results


@dataclass(frozen=True)
class Verdict:
    """The result of a check.

    Attributes:
        findings: All changes, regressions first.
        compared: The rows that were compared, in order.
        numbers: How many (row, metric, level) were compared.
        notes: Remarks that help to interpret the findings.
    """

    findings: tuple[Finding, ...]
    compared: tuple[Name, ...]
    numbers: int
    notes: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Finding, ...]:
        """The findings that fail a build."""
        return tuple(f for f in self.findings if f.is_regression)


@dataclass(frozen=True)
class Expected:
    """Which cells of the reference are expected; all of them where a field is empty.

    Attributes:
        seeds: Seeds.
        protocols: Names or patterns, see `qamoe_bench.analysis.selection`.
        models: The same; late-fusion, mean and the oracle are always expected.
    """

    seeds: Sequence[int] = ()
    protocols: Sequence[str] = ()
    models: Sequence[str] = ()

    def of(self, cells: Sequence[StoredCell]) -> list[StoredCell]:
        """The expected cells among those given."""
        selected = select(cells, self.protocols, self.models)
        return [c for c in selected if not self.seeds or c.cell.seed in self.seeds]


def compare_stores(
    reference: Store,
    results: Store,
    choice: MetricChoice,
    limits: Limits,
    expected: Expected,
    cluster_rule: ClusterRule = BY_IDS,
) -> Verdict:
    """Compare results with a reference.

    Args:
        reference: The store that is known to be good.
        results: The store to judge; rows that the reference lacks are not judged.
        choice: The dialect and the metrics to compare.
        limits: The tolerated changes.
        expected: The part of the reference that the results must contain.
        cluster_rule: How test samples are assigned to clusters.

    Raises:
        BenchError: when the choice fits none of the results, when one of the stores is empty, when a cell of the
            reference is damaged, when it holds two versions of one row or no expected cell, or when the results hold
            none of the expected cells.
    """
    old = _expected_cells(reference, expected)
    choice.check(cells[0].task for cells in old.values())
    new, damaged = _present_cells(results)
    _check_overlap(old, new, reference, results)
    newest = {name: newest_by_seed(cells) for name, cells in new.items()}
    findings, comparable = _match(old, newest)
    metric_findings, numbers = changes(comparable, choice, limits, cluster_rule)
    findings += metric_findings
    findings += slower(comparable, limits)
    compared: list[Name] = []
    for pairs in comparable:
        compared += pairs
    return Verdict(
        tuple(sorted(findings, key=lambda f: not f.is_regression)),
        tuple(compared),
        numbers,
        (
            *(damage.note for damage in damaged),
            *_notes(old, new, newest, comparable),
            *_version_changes(reference, results),
        ),
    )


def _expected_cells(reference: Store, expected: Expected) -> dict[Name, list[StoredCell]]:
    contents = reference.contents()
    if contents.damaged:  # without it, less would be compared than the reference promises
        raise contents.damaged[0]
    finished = contents.cells
    if not finished:
        raise _no_cells(
            reference, f"a reference; make one with 'qamoe-bench run --protocol NAME --results {reference.root}'"
        )
    seeds = sorted({c.cell.seed for c in finished})
    if expected.seeds and not set(expected.seeds) & set(seeds):
        raise BenchError(
            f"reference {reference.root}: expected a cell of seed {_listed(expected.seeds)}, got seeds "
            f"{_listed(seeds)}; name some of these with --seeds"
        )
    rows = _by_name(expected.of(finished))
    if not rows:
        raise BenchError(f"{reference.runs}: has no cell of such seed, protocol and model together; select fewer")
    for name, cells in rows.items():
        if has_versions(cells):
            raise BenchError(
                f"reference {reference.root}: two versions of {' '.join(name)}; create it again in an empty folder"
            )
    return rows


def _present_cells(results: Store) -> tuple[dict[Name, list[StoredCell]], Sequence[DamagedCell]]:
    contents = results.contents()
    rows = _by_name(contents.cells)
    if not rows:
        raise _no_cells(
            results, f"results to check; run 'qamoe-bench run --protocol NAME --results {results.root}' first"
        )
    return rows, contents.damaged


def _no_cells(store: Store, expected: str) -> BenchError:
    # A store's own `runs` folder, or a run in it, is named more often than an empty store.
    for place in (store.root.absolute().parent, store.root.absolute().parent.parent):
        if Store(place).finished():
            return BenchError(f"no finished cells in {store.runs}: expected {expected.partition(';')[0]}; name {place}")
    return BenchError(f"no finished cells in {store.runs}: expected {expected}")


def _check_overlap(
    old: Mapping[Name, Sequence[StoredCell]],
    new: Mapping[Name, Sequence[StoredCell]],
    reference: Store,
    results: Store,
) -> None:
    """Refuse results without any expected cell: that is another study, or a mistake, and not a regression."""
    expected = [c.cell for cells in old.values() for c in cells]
    seeds_by_name = {name: {c.cell.seed for c in cells} for name, cells in new.items()}
    if any(cell.seed in seeds_by_name.get(_name(cell), ()) for cell in expected):
        return
    present = [c.cell for cells in new.values() for c in cells]
    for field in ("dataset", "protocol", "model", "regime", "seed"):
        wanted = {getattr(cell, field) for cell in expected}
        got = {getattr(cell, field) for cell in present}
        if not wanted & got:
            difference = f"expected {field} {_listed(sorted(wanted))}, got {_listed(sorted(got))}"
            break
    else:
        difference = f"expected such as {expected[0].label!r}, got such as {present[0].label!r}"
    raise BenchError(
        f"nothing to compare: {results.root} has none of the expected cells of {reference.root}: {difference}; run the "
        "same study with --results, or name another reference"
    )


def _listed(values: Sequence[object]) -> str:
    shown = [str(value) for value in values[:MAX_LISTED]]
    return ", ".join([*shown, "..."] if len(values) > MAX_LISTED else shown)


def _by_name(cells: Sequence[StoredCell]) -> dict[Name, list[StoredCell]]:
    rows: dict[Name, list[StoredCell]] = {}
    for cell in cells:
        rows.setdefault(_name(cell.cell), []).append(cell)
    return rows


def _name(cell: Cell) -> Name:
    return cell.dataset, cell.protocol, cell.model, cell.regime


def _match(
    old: Mapping[Name, list[StoredCell]], new: Mapping[Name, Mapping[int, StoredCell]]
) -> tuple[list[Finding], list[Pairs]]:
    """Findings of rows that cannot be compared, and the comparable rows by section."""
    findings: list[Finding] = []
    comparable: dict[tuple[str, str], dict[Name, _Sides]] = {}
    for name, cells in old.items():
        by_seed = new.get(name, {})
        missing = sorted(c.cell.seed for c in cells if c.cell.seed not in by_seed)
        if missing:
            findings.append(Finding("lost", name, detail=f"no cell of seed {', '.join(map(str, missing))}"))
        before = sorted((c for c in cells if c.cell.seed in by_seed), key=lambda c: c.cell.seed)
        now = [without_recipe(by_seed[c.cell.seed]) for c in before]
        if not before:
            continue
        changed = [*_digest_changes(name, before, now, "data"), *_digest_changes(name, before, now, "protocol")]
        if changed:
            findings += changed
        else:
            comparable.setdefault(name[:2], {})[name] = (before, now)
    return findings, list(comparable.values())


def _digest_changes(
    name: Name, before: Sequence[StoredCell], now: Sequence[StoredCell], subject: Literal["data", "protocol"]
) -> list[Finding]:
    """The first change of a digest among the seeds of a row, as a list of one finding; empty if there is none."""
    kind: FindingKind = "changed data" if subject == "data" else "changed protocol"
    for before_cell, now_cell in zip(before, now, strict=True):
        old = getattr(before_cell.cell, f"{subject}_digest")
        new = getattr(now_cell.cell, f"{subject}_digest")
        if old != new:
            return [Finding(kind, name, detail=f"digest {old[:12]} became {new[:12]}")]
    return []


def _notes(
    old: Mapping[Name, Sequence[StoredCell]],
    new: Mapping[Name, Sequence[StoredCell]],
    newest: Mapping[Name, Mapping[int, StoredCell]],
    comparable: Sequence[Pairs],
) -> tuple[str, ...]:
    notes = [versions_note(name, new[name], newest[name]) for name in old if name in new and has_versions(new[name])]
    seeds = [len(before) for pairs in comparable for before, _ in pairs.values()]
    if 1 in seeds:
        notes.append("one seed: variance between trainings cannot be estimated and may count as a difference")
    return tuple(notes)


def _version_changes(reference: Store, results: Store) -> tuple[str, ...]:
    """Packages whose versions differ between the two sides, as likely causes of changes."""
    old = _versions(reference)
    new = _versions(results)
    different = sorted(name for name in old.keys() & new.keys() if old[name] != new[name])
    return tuple(f"{name} {'/'.join(old[name])} became {'/'.join(new[name])}" for name in different)


def _versions(store: Store) -> dict[str, list[str]]:
    versions: dict[str, set[str]] = {}
    for manifest in store.manifests():
        for name, version in manifest.get("engine", {}).get("versions", {}).items():
            versions.setdefault(name, set()).add(str(version))
    return {name: sorted(values) for name, values in versions.items()}
