"""Restoring the settings of a process after code that is not ours has run."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from qamoe_bench.isolation.python_settings import GlobalSetting, python_settings

_UNREADABLE = object()


@contextmanager
def settings_restored(changed: Callable[[list[str]], None]) -> Iterator[None]:
    """A context that leaves every setting of Python, NumPy and torch as it was.

    Args:
        changed: Is called at the end with the names of the settings that were changed, if there are any. Random states
            are restored without a word.
    """
    settings = python_settings()
    if "torch" in sys.modules:  # else nothing of it can be changed yet
        from qamoe_bench.isolation.torch_settings import torch_settings

        settings += torch_settings()
    before = [_read(setting) for setting in settings]
    try:
        yield
    finally:
        names: dict[str, None] = {}  # each once, in order
        for setting, value in zip(settings, before, strict=True):
            if value is not _UNREADABLE and _read(setting) != value:
                _write(setting, value)
                names[setting.name] = None
        names.pop("", None)
        if names:
            changed(list(names))


def _read(setting: GlobalSetting) -> Any:
    try:
        return setting.read()
    except Exception:  # such as a working folder that was removed
        return _UNREADABLE


def _write(setting: GlobalSetting, value: Any) -> None:
    try:
        setting.write(value)
    except Exception:
        # Torch refuses to mix its old and its new settings of one precision; those that it accepts restore the value.
        return
