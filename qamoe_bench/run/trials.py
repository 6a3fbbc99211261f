"""Importing and building the models of a request before any work, with the user's own models kept apart."""

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack, redirect_stdout

from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.isolation.containment import contained
from qamoe_bench.isolation.functions import functions_restored
from qamoe_bench.isolation.places import with_place
from qamoe_bench.isolation.settings import settings_restored
from qamoe_bench.run.plan import Recipe


class Trials:
    """Steps that every model has to pass.

    Attributes:
        refused: Models that tried to end the process or took too long, with the reason. The others can still be run.
    """

    def __init__(self, seconds: float) -> None:
        """Start.

        Args:
            seconds: How long a step of a user's own model may take, 0 for ever.
        """
        self._seconds = seconds
        self.refused: dict[str, str] = {}

    def passing(self, recipes: Iterable[Recipe], step: str, function: Callable[[Recipe], object]) -> list[Recipe]:
        """The recipes whose models pass a step.

        Args:
            recipes: The recipes.
            step: Name of the step, as the subject of a message.
            function: The step.

        Raises:
            BenchError: If the step raises an exception, which the user has to correct.
        """
        passing = []
        for recipe in recipes:
            if recipe.model.name in self.refused:
                continue
            if recipe.model.is_built_in:
                function(recipe)
                passing.append(recipe)
                continue
            try:
                with ExitStack() as stack:
                    stack.enter_context(contained(step, self._seconds))
                    stack.enter_context(redirect_stdout(sys.stderr))
                    stack.enter_context(functions_restored(_ignored))
                    stack.enter_context(settings_restored(_ignored))
                    function(recipe)
                passing.append(recipe)
            except RunFailed as error:
                self.refused[recipe.model.name] = str(error)
            except (BenchError, MemoryError):
                raise
            except Exception as error:
                raise BenchError(
                    f"model {recipe.model.name!r}: expected {step} to work, got {with_place(error)}; correct it there"
                ) from error
        return passing


def _ignored(_: list[str]) -> None:
    """What building a model changes is told when its cells are computed."""
