"""The dialect and the metrics that a user asks for, over data sets of different tasks.

A store may hold results of several tasks, and no dialect or metric is for all of them. What the user asks for is taken
wherever it fits; elsewhere the defaults of the task are. What fits nowhere is refused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.metrics.dialects import Dialect, default_dialect, dialects_for, find_dialect
from qamoe_bench.vocabulary import Task

HEADLINES = ("mae", "wa")
"""The metrics that decide the order of a report, where they are shown: of each task the one that most papers
print."""


def headline(metrics: Sequence[str]) -> str:
    """The metric that decides the order of a report: the first of `HEADLINES` among those shown, or the first shown."""
    return next((name for name in HEADLINES if name in metrics), metrics[0])


@dataclass(frozen=True)
class MetricChoice:
    """What a user asks for.

    Attributes:
        dialect: A dialect; None for the default of each task.
        metrics: Names of metrics; empty for those that the dialect shows.
    """

    dialect: Dialect | None = None
    metrics: tuple[str, ...] = ()

    def dialect_for(self, task: Task) -> Dialect:
        """The dialect in which results of a task are shown."""
        if self.dialect is None or self.dialect not in dialects_for(task):
            return default_dialect(task)
        return self.dialect

    def metrics_for(self, dialect: Dialect) -> tuple[str, ...]:
        """The metrics that are shown in a dialect; those that it shows by default where it defines none of them."""
        return tuple(name for name in self.metrics if name in dialect.definitions) or dialect.shown

    def check(self, tasks: Iterable[Task]) -> None:
        """Check that the choice fits some of the results.

        Raises:
            BenchError: If the dialect, or one of the metrics, fits none of them.
        """
        all_tasks = list(dict.fromkeys(tasks))
        if not all_tasks:
            return
        if self.dialect is not None and not any(self.dialect in dialects_for(task) for task in all_tasks):
            fitting = ", ".join(dialect.name for dialect in dialects_for(all_tasks[0]))
            raise BenchError(
                f"dialect {self.dialect.name!r}: expected one for {_kind(all_tasks[0])} ({fitting}), got one for "
                "another task; name one of these, or leave out --dialect"
            )
        dialects = [self.dialect_for(task) for task in all_tasks]
        known = list(dict.fromkeys(name for dialect in dialects for name in dialect.definitions))
        for name in self.metrics:
            if name not in known:
                names = ", ".join(dict.fromkeys(dialect.name for dialect in dialects))
                raise unknown_name(f"metric of dialect {names}", name, known)


def chosen(dialect: str, metrics: Sequence[str] = ()) -> MetricChoice:
    """The choice by name; an empty name is the default dialect of each task.

    Raises:
        BenchError: For an unknown dialect.
    """
    return MetricChoice(find_dialect(dialect) if dialect else None, tuple(metrics))


def _kind(task: Task) -> str:
    if task.kind == "classes":
        return f"classes, of which the results have {len(task.names)}"
    return "several labels per sample" if task.kind == "multi-label" else "labels on a scale"
