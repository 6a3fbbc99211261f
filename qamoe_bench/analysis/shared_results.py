"""Results of single metrics of a section, each computed once for all dialects that define the metric alike."""

from collections.abc import Callable
from typing import Any, TypeVar

from qamoe_bench.analysis.section import Section
from qamoe_bench.metrics.definitions import Definition
from qamoe_bench.metrics.dialects import Dialect

Result = TypeVar("Result")


class SharedResults:
    """Results of a section by kind and metric.

    Args:
        section: The section; its label says which classes of a dialect mean nothing.
    """

    def __init__(self, section: Section) -> None:
        self._label = section.label
        self._results: dict[tuple[str, str, Definition], Any] = {}

    def once(self, kind: str, dialect: Dialect, metric: str, compute: Callable[[], Result]) -> Result:
        """The result of a kind for a metric, computed unless it is there for an equal definition.

        Args:
            kind: What is computed, such as `scores`; two results of one kind differ by their metric alone.
            dialect: The dialect that defines the metric.
            metric: Name of the metric.
            compute: Computes the result.
        """
        key = self._key(kind, dialect, metric)
        if key not in self._results:
            self._results[key] = compute()
        result: Result = self._results[key]
        return result

    def known(self, kind: str, dialect: Dialect, metric: str) -> Any:
        """A result that was computed already; None if it was not."""
        return self._results.get(self._key(kind, dialect, metric))

    def _key(self, kind: str, dialect: Dialect, metric: str) -> tuple[str, str, Definition]:
        # Definitions are values: dialects that define a metric alike share one entry.
        return kind, metric, dialect.on_scale(self._label).definitions[metric]
