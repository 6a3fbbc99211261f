"""The leaderboard: every row of every protocol and data set, in every dialect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.metrics.catalogue import METRICS, Metric
from qamoe_bench.page.cost import microseconds, parameters
from qamoe_bench.report.metric_tables import value_with_interval
from qamoe_bench.report.table import shown

NONE = float("nan")
REACHED = "mae"
OTHERS = ("reach %", "parameters", "time, µs", "seeds")


@dataclass(frozen=True)
class LeaderboardEntry:
    """What stands in a cell: its text, a second line, the number that sorts it, and whether it is surely the best."""

    text: str
    small: str = ""
    key: float = NONE
    is_best: bool = False


@dataclass(frozen=True)
class Entry:
    """A line of the leaderboard; it leads to its chapter."""

    chapter: str
    dialect: str
    row: str
    model: str
    regime: str
    dataset: str
    protocol: str
    is_oracle: bool
    metrics: Mapping[str, LeaderboardEntry]
    others: tuple[LeaderboardEntry, ...]


@dataclass(frozen=True)
class Leaderboard:
    """Of one dialect; its columns behind model, regime, data set and protocol."""

    dialect: str
    header: tuple[str, ...]
    lines: tuple[tuple[Entry, tuple[LeaderboardEntry, ...]], ...]


def entries(chapter: str, found: Analysis) -> list[Entry]:
    """The lines of a chapter."""
    return [_entry(chapter, found, i) for i in range(len(found.section.rows))]


def leaderboards(found: Sequence[Entry]) -> list[Leaderboard]:
    """A table for each dialect, with a column for each metric that any of its lines has."""
    return [
        _board(dialect, [e for e in found if e.dialect == dialect])
        for dialect in dict.fromkeys(e.dialect for e in found)
    ]


def _board(dialect: str, found: Sequence[Entry]) -> Leaderboard:
    metrics = list(dict.fromkeys(name for e in found for name in e.metrics))
    units = [f"{name}, %" if METRICS[name].unit == "%" else name for name in metrics]
    lines = tuple((e, (*(e.metrics.get(name, LeaderboardEntry("–")) for name in metrics), *e.others)) for e in found)
    return Leaderboard(dialect, (*units, *OTHERS), lines)


def _entry(chapter: str, found: Analysis, index: int) -> Entry:
    section, row = found.section, found.section.rows[index]
    size, time = parameters(row), microseconds(row)
    others = (
        _reached(found, index),
        LeaderboardEntry(f"{size:,.0f}" if size else "–", key=size or NONE),
        LeaderboardEntry(f"{time:.3g}" if time else "–", key=time or NONE),
        LeaderboardEntry(str(len(row.seeds)), key=len(row.seeds)),
    )
    metrics = {s.metric.name: _metric(found, index, s.metric) for s in found.scores}
    return Entry(
        chapter, found.dialect.name, row.name, row.model, row.regime, section.dataset, section.protocol, row.is_oracle,
        metrics, others,
    )  # fmt: skip


def _metric(found: Analysis, index: int, metric: Metric) -> LeaderboardEntry:
    numbers, ranks = found.summaries[metric.name]["mean"].estimate(), found.rankings[metric.name]
    rank = ranks.show(index)
    return LeaderboardEntry(
        value_with_interval(metric, numbers, index), f"rank {rank}" if rank else "", float(numbers.value[index]),
        bool(ranks.is_first()[index, -1]),
    )  # fmt: skip


def _reached(found: Analysis, index: int) -> LeaderboardEntry:
    summary = found.summaries.get(REACHED, {}).get("reached")
    value = float(summary.estimate().value[index]) if summary else NONE
    return LeaderboardEntry(shown(100 * value, ".1f"), key=value)
