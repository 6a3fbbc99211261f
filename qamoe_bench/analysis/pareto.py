"""The Pareto front of cost against quality."""

from collections.abc import Mapping
from typing import TypeVar

Key = TypeVar("Key")


def pareto_front(cost: Mapping[Key, float], gain: Mapping[Key, float]) -> list[Key]:
    """Those that no other beats in one and equals or beats in the other, cheapest first; `gain` is better higher."""
    found: list[Key] = []
    for key in sorted(cost, key=lambda key: (cost[key], -gain[key])):
        if not found or gain[key] > gain[found[-1]]:
            found.append(key)
    return found
