"""Everything that is known of some cells, as chapters of tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from qamoe_bench.analysis.analyse import Analysis, analyse
from qamoe_bench.analysis.parallel import map_in_order
from qamoe_bench.analysis.section import sections
from qamoe_bench.errors import unknown_name
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.report.audit_tables import (
    corruption_table,
    evaluation_table,
    expert_table,
    intervention_table,
    model_table,
    quality_table,
    uncertainty_table,
)
from qamoe_bench.report.metric_tables import (
    how_to_read,
    level_table,
    profile_table,
    runs_table,
    specialist_table,
    summary_table,
)
from qamoe_bench.report.published import published_table
from qamoe_bench.report.table import Chapter, Table
from qamoe_bench.store.store import StoredCell


def shown_metrics(dialect: Dialect, metrics: Sequence[str] = ()) -> tuple[str, ...]:
    """The metrics that were asked for, or those that the dialect shows.

    Raises:
        BenchError: for a metric that the dialect does not define.
    """
    for name in metrics:
        if name not in dialect.definitions:
            raise unknown_name(f"metric of dialect {dialect.name}", name, dialect.definitions)
    return tuple(metrics) or dialect.shown


def analyses(cells: Iterable[StoredCell], dialect: Dialect, metrics: Sequence[str] = ()) -> Iterator[Analysis]:
    """Everything that is computed of some cells in any order, section by section; metrics as `shown_metrics` has it.

    An analysis may be as large as 100 MB: keep what you render from one, and let go of it before you take the next.
    """
    shown = shown_metrics(dialect, metrics)
    return map_in_order(lambda section: analyse(section, dialect, shown), sections(cells))


def chapters(
    found: Iterable[Analysis], manifests: Sequence[Mapping[str, Any]], *, against_published: bool = False
) -> list[Chapter]:
    """Analyses as tables; the manifests of their runs have the protocols' definitions."""
    protocols = {(p["digest"], name): p for run in manifests for name, p in run["protocols"].items()}
    return [_chapter(a, protocols, against_published) for a in found]


def _chapter(found: Analysis, protocols: Mapping[tuple[str, str], Any], against_published: bool) -> Chapter:
    section = found.section
    about = protocols.get((section.cells[0].cell.protocol_digest, section.protocol), {})
    regimes = sorted({row.regime for row in section.rows} - {""})
    lines = (
        *filter(None, (about.get("title"), about.get("definition"))),
        f"{section.samples} test samples; trained in regime {' and '.join(regimes) or 'none'}; seeds "
        f"{', '.join(map(str, section.seeds))}; metric dialect {found.dialect.name}. Cells are means over seeds.",
        how_to_read(found),
    )
    tables = [*_tables(found)]
    if against_published:
        table = published_table(found)
        tables += [table] if table else []
        lines += () if table else (f"Nothing is published for {section.dataset} under {section.protocol}.",)
    return Chapter(f"{section.protocol} on {section.dataset}", lines, tuple(tables))


def _tables(found: Analysis) -> Iterator[Table]:
    yield model_table(found)
    yield corruption_table(found)
    for scores in found.scores:
        yield level_table(found, scores)
        yield summary_table(found, scores)
        if (gap := specialist_table(found, scores)) is not None:
            yield gap
    yield runs_table(found)
    if (profile := profile_table(found)) is not None:
        yield profile
    if found.uncertainty:
        yield uncertainty_table(found)
    if found.quality:
        yield quality_table(found)
    if found.intervention_effects:
        yield intervention_table(found)
    if found.evaluation_effects:
        yield evaluation_table(found)
    if found.experts:
        yield expert_table(found)
