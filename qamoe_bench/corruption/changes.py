"""Changes of features, which are made when a modality is first looked at.

Dimension legend: B samples, T frames, D feature width.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from qamoe_bench.on_access import OnAccess

Change = Callable[[Float[Tensor, "B T D"]], Float[Tensor, "B T D"]]
"""What a step of a corruption does to the features of a modality."""


@dataclass(frozen=True)
class Erasure:
    """Sets frames to zero, or to the id of a lost token.

    Attributes:
        frames: True where a frame is lost.
        token: The id of a lost token; None where features are not token ids.
    """

    frames: Bool[Tensor, "B T"]
    token: int | None

    def __call__(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """The features without the frames."""
        if self.token is not None:
            return x.masked_fill(self.frames[..., None], self.token)
        # Five times as fast as masked_fill. It needs finite features, and a zero may have a negative sign.
        return x * (~self.frames)[..., None].to(x.dtype)


class ChangedFeatures(OnAccess[Tensor]):
    """Features after some changes, which are made on first access."""

    def __init__(self, before: Mapping[str, Tensor], changes: Mapping[str, tuple[Change, ...]]) -> None:
        super().__init__(before, self._after)
        self._before = before
        self._changes = changes

    def _after(self, modality: str) -> Float[Tensor, "B T D"]:
        x = self._before[modality]
        for change in self._changes.get(modality, ()):
            x = change(x)
        return x

    def then(self, changes: Mapping[str, Change]) -> "ChangedFeatures":
        """The features after further changes, of which none is made yet."""
        sequences = {m: _followed(self._changes.get(m, ()), change) for m, change in changes.items()}
        return ChangedFeatures(self._before, {**self._changes, **sequences})


def changed_on_access(before: Mapping[str, Tensor], changes: Mapping[str, Change]) -> ChangedFeatures:
    """Features of which some modalities are changed."""
    first = before if isinstance(before, ChangedFeatures) else ChangedFeatures(before, {})
    return first.then(changes)


def _followed(changes: tuple[Change, ...], last: Change) -> tuple[Change, ...]:
    """A sequence of changes and a last one; what is erased twice in a row is erased at once."""
    if changes and isinstance(last, Erasure) and isinstance(changes[-1], Erasure):
        return (*changes[:-1], Erasure(changes[-1].frames | last.frames, last.token))
    return (*changes, last)
