"""A mapping whose values are computed on first access, so that callers that need only some never pay for the others."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

Value = TypeVar("Value")


class OnAccess(Mapping[str, Value]):
    """Values by name, each computed on first access."""

    def __init__(self, names: Iterable[str], compute: Callable[[str], Value]) -> None:
        self._names = tuple(names)
        self._compute = compute
        self._computed: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._computed:
            self._computed[name] = self._compute(name)
        return self._computed[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names  # the inherited method would compute the value

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
