"""Shapes in annotations, as `Float[NDArray, "N D"]`, for the rooms that run without torch.

The types are jaxtyping's for type checkers and where shapes are checked at run time, which is decided before this
module is imported. Otherwise an annotation is the bare type of the array: importing jaxtyping takes a tenth of the time
in which a command such as `report` starts.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool as Bool
    from jaxtyping import Float as Float
    from jaxtyping import Int as Int
    from jaxtyping import Shaped as Shaped
else:

    class _Unchecked:
        """Gives the array type of `Float[array type, shape]`."""

        def __class_getitem__(cls, words: tuple[Any, str]) -> Any:
            return words[0]

    Bool = Float = Int = Shaped = _Unchecked
