"""The Pareto front of cost against quality."""

from collections.abc import Mapping
from typing import TypeVar

Key = TypeVar("Key")


def pareto_front(cost: Mapping[Key, float], gain: Mapping[Key, float]) -> list[Key]:
    """The keys that no other key dominates, cheapest first.

    Args:
        cost: Lower is better.
        gain: Higher is better; must have the keys of `cost`.
    """
    front: list[Key] = []
    # By rising cost, a key is on the front exactly if it gains more than all cheaper ones.
    for key in sorted(cost, key=lambda key: (cost[key], -gain[key])):
        if not front or gain[key] > gain[front[-1]]:
            front.append(key)
    return front
