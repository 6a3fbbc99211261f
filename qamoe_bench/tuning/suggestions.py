"""The next trial of a search, by Optuna's tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011).

A suggestion is a function of the trials so far and of a seed, so a search that was interrupted goes on exactly as if it
had not been, and nothing of Optuna has to be stored.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from qamoe_bench.errors import BenchError
from qamoe_bench.seeding import torch_seed
from qamoe_bench.tuning.space import Dimension, two_digits

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RANDOM_TRIALS = 10
"""The first trials, the defaults included, choose at random; Optuna's own default."""


def optuna_version() -> str:
    """The version of Optuna, which determines what it suggests.

    Raises:
        BenchError: If it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise BenchError(
            f"tune: expected Optuna, got no module {error.name!r}; pip install 'qamoe-bench[tune]'"
        ) from error
    return str(optuna.__version__)


def suggested(
    space: Sequence[Dimension], trials: Sequence[tuple[Mapping[str, float], float | None]], words: Sequence[object]
) -> dict[str, float]:
    """The choices of the next trial.

    Args:
        space: The dimensions.
        trials: Choices and error of each trial so far, in order; None for a training that failed. Trials without
            choices, those of the defaults, are at the defaults' place only if they are given with it.
        words: Seed of the search.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study otherwise
    seed = torch_seed("tune", *words, len(trials)) % 2**32
    sampler = optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed)
    study = optuna.create_study(sampler=sampler)
    distributions = {dimension.name: _distribution(dimension) for dimension in space}
    for choices, error in trials:
        # A failed training is the worst of all, so that its neighbourhood is avoided.
        value = math.inf if error is None else error
        known = {name: distributions[name] for name in choices}
        study.add_trial(optuna.trial.create_trial(params=dict(choices), distributions=known, value=value))
    chosen = study.ask(distributions).params
    return {d.name: chosen[d.name] if d.values else two_digits(chosen[d.name]) for d in space}


def _distribution(dimension: Dimension) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if dimension.values:
        return CategoricalDistribution(dimension.values)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
