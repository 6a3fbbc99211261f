"""The place in a model's code where an exception was raised."""

import traceback
from pathlib import Path

PACKAGE = Path(__file__).parent.parent


def place_of(error: BaseException) -> str:
    """The file and line of the innermost code that belongs neither to Python, nor to a library, nor to this package.

    Empty if there is none. A syntax error names its own place.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        is_own = not frame.filename.startswith("<") and path.suffix == ".py"
        if is_own and "site-packages" not in path.parts and PACKAGE not in path.parents and not _is_standard(path):
            return f"{path.name}, line {frame.lineno}"
    return ""


def _is_standard(path: Path) -> bool:
    # `traceback` itself lies in the standard library.
    return Path(traceback.__file__).parent in path.parents


def with_place(error: BaseException) -> str:
    """The type and message of an exception, with its place in the model's code if it has one."""
    place = place_of(error)
    return f"{first_line(error)} ({place})" if place else first_line(error)


def first_line(error: BaseException) -> str:
    """The type of an exception and the first line of its message."""
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # of a class whose `__str__` is wrong
        text = ""
    message = str(text).strip().partition("\n")[0]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
