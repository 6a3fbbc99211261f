"""Groups of models, `@name`: `@all` is every installed model; other groups are declared by the models themselves.

`@limits` are the predictors that know the law of the data, which `@all` does not contain.
"""

from collections.abc import Iterable

from qamoe_bench.errors import unknown_name
from qamoe_bench.registry.card import EVERY_MODEL
from qamoe_bench.registry.installed import installed_cards
from qamoe_bench.registry.limits import LIMITS, LIMITS_GROUP
from qamoe_bench.registry.models import model_refs

PREFIX = "@"
DEFAULT_GROUP = f"{PREFIX}paper"
"""The models of a command that names none."""


def is_group(name: str) -> bool:
    """Whether a name stands for a group of models."""
    return name.startswith(PREFIX)


def group_names() -> list[str]:
    """Names of all groups, `@` included, sorted."""
    groups = {EVERY_MODEL, LIMITS_GROUP}
    for card in installed_cards().values():
        groups.update(card.groups)
    return [f"{PREFIX}{group}" for group in sorted(groups)]


def group_members(name: str) -> list[str]:
    """Names of the models of a group, sorted; settings that follow the group's name apply to each model.

    Raises:
        BenchError: If no installed model belongs to the group.
    """
    group, colon, settings = name.removeprefix(PREFIX).partition(":")
    if group == EVERY_MODEL:
        members = list(model_refs())
    elif group == LIMITS_GROUP:
        members = list(LIMITS)
    else:
        members = [model for model, card in installed_cards().items() if group in card.groups]
    if not members:
        raise unknown_name("group of models", f"{PREFIX}{group}", group_names())
    return [f"{model}{colon}{settings}" for model in members]


def expand_groups(names: Iterable[str]) -> list[str]:
    """The names with every group replaced by the names of its models, each once.

    Raises:
        BenchError: If a group is unknown.
    """
    expanded: list[str] = []
    for name in names:
        expanded += group_members(name) if is_group(name) else [name]
    return list(dict.fromkeys(expanded))
