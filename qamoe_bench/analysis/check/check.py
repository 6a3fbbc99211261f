"""Is anything worse than in a reference? Stored predictions against stored predictions, sample by sample.

A row (model and regime, under a protocol, on a data set) is compared with the row of the same name in the reference, in
every metric at every level and in the mean; see `qamoe_bench.analysis.check.regressions`. What cannot be compared is
told: cells that are lost, protocols or data that changed their meaning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from qamoe_bench.analysis.check.findings import Finding, FindingKind, Limits, Name, Pairs
from qamoe_bench.analysis.check.regressions import moved, slower
from qamoe_bench.analysis.selection import select
from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.store.cell import Cell
from qamoe_bench.store.store import Store, StoredCell


@dataclass(frozen=True)
class Verdict:
    """What came of a check.

    Attributes:
        findings: All that moved, regressions first.
        compared: The rows that were compared, in order.
        numbers: How many (row, metric, level) were compared.
        notes: What else a reader should know.
    """

    findings: tuple[Finding, ...]
    compared: tuple[Name, ...]
    numbers: int
    notes: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Finding, ...]:
        """What fails a build."""
        return tuple(f for f in self.findings if f.is_regression)


@dataclass(frozen=True)
class Expected:
    """Which cells of the reference are expected; all of them where a field is empty.

    Attributes:
        seeds: Of these seeds.
        protocols: Names or patterns, see `qamoe_bench.analysis.selection`.
        models: The same; late-fusion, mean and the oracle always count.
    """

    seeds: Sequence[int] = ()
    protocols: Sequence[str] = ()
    models: Sequence[str] = ()

    def of(self, cells: Sequence[StoredCell]) -> list[StoredCell]:
        """Those among some cells."""
        chosen = select(cells, self.protocols, self.models)
        return [c for c in chosen if not self.seeds or c.cell.seed in self.seeds]


def check(
    reference: Store, results: Store, dialect: Dialect, metrics: Sequence[str], limits: Limits, expected: Expected
) -> Verdict:
    """Compare results with a reference.

    Args:
        reference: What was good.
        results: What is now; rows that the reference lacks are not judged.
        dialect: How metrics are computed.
        metrics: Which.
        limits: What is tolerated.
        expected: Which part of the reference counts.

    Raises:
        BenchError: when one of the stores is empty, the reference holds two versions of one row, or nothing that is
            expected.
    """
    kept = reference.cells()
    if not kept:
        raise BenchError(
            f"no finished cells in {reference.runs}: expected a reference; make one with 'qamoe-bench run'"
        )
    old, new = _by_name(expected.of(kept)), _by_name(results.cells())
    if not old:
        raise BenchError(f"{reference.runs}: has no cell of such seed, protocol and model together; ask for less")
    if not new:
        raise BenchError(f"no finished cells in {results.runs}: expected results to check; run 'qamoe-bench run' first")
    for name, cells in old.items():
        if len({c.cell.recipe for c in cells}) > 1:
            raise BenchError(
                f"reference {reference.root}: two versions of {' '.join(name)}; make it anew in an empty folder"
            )
    newest = {name: _newest(cells) for name, cells in new.items()}
    findings, comparable = _lost_or_changed(old, newest)
    judged, numbers = moved(comparable, dialect, metrics, limits)
    findings += judged + slower(comparable, limits)
    return Verdict(
        tuple(sorted(findings, key=lambda f: not f.is_regression)),
        tuple(name for pairs in comparable for name in pairs),
        numbers,
        (*_notes(new, comparable), *_other_versions(reference, results)),
    )


def _by_name(cells: Sequence[StoredCell]) -> dict[Name, list[StoredCell]]:
    found: dict[Name, list[StoredCell]] = {}
    for cell in cells:
        found.setdefault(_name(cell.cell), []).append(cell)
    return found


def _name(cell: Cell) -> Name:
    return cell.dataset, cell.protocol, cell.model, cell.regime


def _newest(cells: Sequence[StoredCell]) -> dict[int, StoredCell]:
    """The cell of each seed that was written last; together they are one row, whatever code made each."""
    ordered = sorted(cells, key=lambda c: c.path.stat().st_mtime_ns)
    return {c.cell.seed: replace(c, cell=replace(c.cell, recipe="")) for c in ordered}


def _lost_or_changed(
    old: Mapping[Name, list[StoredCell]], new: Mapping[Name, Mapping[int, StoredCell]]
) -> tuple[list[Finding], list[Pairs]]:
    """What cannot be compared, and what can, section by section."""
    findings: list[Finding] = []
    comparable: dict[tuple[str, str], dict[Name, tuple[Sequence[StoredCell], Sequence[StoredCell]]]] = {}
    for name, cells in old.items():
        found = new.get(name, {})
        if lost := [c.cell.seed for c in cells if c.cell.seed not in found]:
            findings.append(Finding("lost", name, detail=f"no cell of seed {', '.join(map(str, sorted(lost)))}"))
        pairs = [(c, found[c.cell.seed]) for c in sorted(cells, key=lambda c: c.cell.seed) if c.cell.seed in found]
        if not pairs:
            continue
        if changed := [f for f in (_changed(name, pairs, what) for what in ("data", "protocol")) if f]:
            findings += changed
        else:
            comparable.setdefault(name[:2], {})[name] = ([a for a, _ in pairs], [b for _, b in pairs])
    return findings, list(comparable.values())


def _changed(
    name: Name, pairs: Sequence[tuple[StoredCell, StoredCell]], what: Literal["data", "protocol"]
) -> Finding | None:
    """A digest that is not what it was, for any seed."""
    for before, now in pairs:
        old, new = (getattr(c.cell, f"{what}_digest") for c in (before, now))
        if old != new:
            kind: FindingKind = "changed data" if what == "data" else "changed protocol"
            return Finding(kind, name, detail=f"digest {old[:12]} became {new[:12]}")
    return None


def _notes(new: Mapping[Name, Sequence[StoredCell]], comparable: Sequence[Pairs]) -> tuple[str, ...]:
    several = [name for name, cells in new.items() if len({c.cell.recipe for c in cells}) > 1]
    notes = [f"{name[2]} under {name[1]} is stored in several versions; the newest was compared" for name in several]
    if any(len(before) == 1 for pairs in comparable for before, _ in pairs.values()):
        notes.append("one seed: the chance of training is not covered, so that it counts as a difference")
    return tuple(notes)


def _other_versions(reference: Store, results: Store) -> tuple[str, ...]:
    """Packages whose versions differ between the two sides: the first thing to suspect."""
    old, new = _versions(reference), _versions(results)
    different = [name for name in old.keys() & new.keys() if old[name] != new[name]]
    return tuple(f"{name} {'/'.join(old[name])} became {'/'.join(new[name])}" for name in sorted(different))


def _versions(store: Store) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for manifest in store.manifests():
        for name, version in manifest.get("engine", {}).get("versions", {}).items():
            found.setdefault(name, set()).add(str(version))
    return {name: sorted(versions) for name, versions in found.items()}
