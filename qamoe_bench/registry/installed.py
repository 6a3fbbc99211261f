"""What the cards of all installed models say together.

A store may hold results of models that are not installed any more; such models simply have no card.
"""

from collections.abc import Mapping

from qamoe_bench.errors import BenchError
from qamoe_bench.provenance.location import source_of
from qamoe_bench.registry.card import ModelCard
from qamoe_bench.registry.declarations import declarations_of
from qamoe_bench.registry.models import ModelRef, model_refs


def installed_cards() -> dict[str, ModelCard]:
    """The card of every installed model, by name, without those whose module cannot be found.

    Raises:
        BenchError: If one of the cards is malformed.
    """
    return {name: ref.card() for name, ref in _usable().items()}


def _usable() -> dict[str, ModelRef]:
    # Without its module, a model cannot run but must not break reports either, for example after a folder was moved.
    return {name: ref for name, ref in model_refs().items() if source_of(ref.module) is not None}


def _cards_with(key: str) -> dict[str, ModelCard]:
    """The cards that may have a key. Every report needs the roles, and parsing all cards takes longer than reading."""
    return {name: ref.card() for name, ref in _usable().items() if key in declarations_of(ref.source()).source}


def models_with_roles(*roles: str) -> tuple[str, ...]:
    """Name of the installed model that has each of the roles; empty, like no model's name, where there is none.

    Raises:
        BenchError: If two installed models have one of the roles.
    """
    cards = _cards_with("role")
    return tuple(_only_model_with(role, cards) for role in roles)


def _only_model_with(role: str, cards: Mapping[str, ModelCard]) -> str:
    names = [name for name, card in cards.items() if card.role == role]
    if len(names) > 1:
        raise BenchError(
            f"two installed models declare the role {role!r} ({names[0]} and {names[1]}): expected one; remove the "
            "role from the CARD of one of them, or uninstall it"
        )
    return names[0] if names else ""


def models_for_task(kind: str) -> list[str]:
    """Names of the installed models that declare that they can do tasks of a kind."""
    return [name for name, card in installed_cards().items() if kind in card.tasks]


def models_in_print() -> Mapping[str, frozenset[str]]:
    """Names of the models and variants that implement each published method, by the method's name."""
    names: dict[str, set[str]] = {}
    for model, card in installed_cards().items():
        for method, variant in card.published.items():
            names.setdefault(method, set()).add(f"{model}:{variant}" if variant else model)
    return {method: frozenset(implementations) for method, implementations in names.items()}


def palette_places() -> dict[str, int]:
    """Index of the fixed style of every installed model that declares one; the first by name keeps a shared index."""
    places: dict[str, int] = {}
    for name, card in installed_cards().items():
        if card.style is not None and card.style not in places.values():
            places[name] = card.style
    return places
