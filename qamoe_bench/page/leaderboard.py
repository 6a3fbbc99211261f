"""The leaderboard: every row of every protocol and data set, with one table per dialect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.metrics.catalogue import METRICS, Metric
from qamoe_bench.page.cost import microseconds_per_sample, parameter_count
from qamoe_bench.report.metric_tables import value_with_interval
from qamoe_bench.report.table import shown

UNKNOWN = float("nan")  # key of a cell without a number
# Metric of the column `gap %`
REACHED = "mae"
OTHER_COLUMNS = ("gap %", "parameters", "time, µs", "seeds")


@dataclass(frozen=True)
class LeaderboardCell:
    """A cell of the table.

    Attributes:
        text: First line.
        small: Second line, in a smaller font.
        key: Number by which the column is sorted; NaN sorts last.
        is_best: Whether the row is significantly better than every other one of its protocol.
    """

    text: str
    small: str = ""
    key: float = UNKNOWN
    is_best: bool = False


@dataclass(frozen=True)
class LeaderboardEntry:
    """A row of the report on the leaderboard, linked to its chapter.

    Attributes:
        chapter: Name of the chapter's place on the page.
        dialect: Name of the metric dialect.
        row: Name of the row.
        model: Name of the model, with its settings.
        regime: Training regime; empty if the model has none.
        dataset: Name of the data set.
        protocol: Name of the protocol.
        is_oracle: Whether the row is the oracle.
        metrics: Cells by metric.
        others: Cells of `OTHER_COLUMNS`.
    """

    chapter: str
    dialect: str
    row: str
    model: str
    regime: str
    dataset: str
    protocol: str
    is_oracle: bool
    metrics: Mapping[str, LeaderboardCell]
    others: tuple[LeaderboardCell, ...]


@dataclass(frozen=True)
class Leaderboard:
    """The table of one dialect.

    Attributes:
        dialect: Name of the dialect.
        header: Heads of the columns after model, regime, data set and protocol.
        lines: Entries with their cells in these columns.
    """

    dialect: str
    header: tuple[str, ...]
    lines: tuple[tuple[LeaderboardEntry, tuple[LeaderboardCell, ...]], ...]


def leaderboard_entries(chapter: str, analysis: Analysis) -> list[LeaderboardEntry]:
    """The entries of one chapter in one dialect."""
    return [_entry(chapter, analysis, i) for i in range(len(analysis.section.rows))]


def leaderboards(entries: Sequence[LeaderboardEntry]) -> list[Leaderboard]:
    """One table per dialect, with a column for each metric that any of its entries has."""
    by_dialect: dict[str, list[LeaderboardEntry]] = {}
    for entry in entries:
        by_dialect.setdefault(entry.dialect, []).append(entry)
    return [_board(dialect, members) for dialect, members in by_dialect.items()]


def _board(dialect: str, entries: Sequence[LeaderboardEntry]) -> Leaderboard:
    # Chapters may have different metrics; a metric that an entry lacks is a dash.
    metrics = list(dict.fromkeys(name for entry in entries for name in entry.metrics))
    heads = [f"{name}, %" if METRICS[name].unit == "%" else name for name in metrics]
    lines = []
    for entry in entries:
        cells = [entry.metrics.get(name, LeaderboardCell("–")) for name in metrics]
        lines.append((entry, (*cells, *entry.others)))
    return Leaderboard(dialect, (*heads, *OTHER_COLUMNS), tuple(lines))


def _entry(chapter: str, analysis: Analysis, index: int) -> LeaderboardEntry:
    section = analysis.section
    row = section.rows[index]
    return LeaderboardEntry(
        chapter=chapter,
        dialect=analysis.dialect.name,
        row=row.name,
        model=row.model,
        regime=row.regime,
        dataset=section.dataset,
        protocol=section.protocol,
        is_oracle=row.is_oracle,
        metrics={s.metric.name: _metric_cell(analysis, index, s.metric) for s in analysis.scores},
        others=_other_cells(analysis, index),
    )


def _other_cells(analysis: Analysis, index: int) -> tuple[LeaderboardCell, ...]:
    row = analysis.section.rows[index]
    size = parameter_count(row)
    time = microseconds_per_sample(row)
    seeds = len(row.seeds)
    # A size or time of 0 is unknown.
    return (
        _gap_cell(analysis, index),
        LeaderboardCell(f"{size:,.0f}" if size else "–", key=size or UNKNOWN),
        LeaderboardCell(f"{time:.3g}" if time else "–", key=time or UNKNOWN),
        LeaderboardCell(str(seeds), key=seeds),
    )


def _metric_cell(analysis: Analysis, index: int, metric: Metric) -> LeaderboardCell:
    mean = analysis.summaries[metric.name]["mean"].estimate()
    ranking = analysis.rankings[metric.name]
    rank = ranking.show(index)
    return LeaderboardCell(
        text=value_with_interval(metric, mean, index),
        small=f"rank {rank}" if rank else "",
        key=float(mean.value[index]),
        is_best=bool(ranking.is_first()[index, -1]),  # the last column is the mean over the sweep
    )


def _gap_cell(analysis: Analysis, index: int) -> LeaderboardCell:
    summary = analysis.summaries.get(REACHED, {}).get("reached")
    # Missing without an oracle, or if MAE is not among the metrics.
    value = float(summary.estimate().value[index]) if summary else UNKNOWN
    return LeaderboardCell(shown(100 * value, ".1f"), key=value)
