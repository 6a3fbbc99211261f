"""Characters that steer a terminal or a program instead of being shown: written as escapes, whatever name they are in.

Names of models, data sets and conditions come from files of others. An escape sequence in one could repaint a terminal,
a line break could begin a command of a build system, and a bidirectional mark could show a name backwards.
"""

import re

STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, line and paragraph separators, marks of direction, and what XML cannot hold."""
FORMULA = ("=", "+", "-", "@")
"""Beginnings of cells that spreadsheets compute."""


def escaped(text: str) -> str:
    r"""Text in which such characters are escapes, as `\x1b` for the escape character."""
    return STEERING.sub(lambda match: ascii(match[0])[1:-1], text)


def escaped_for_csv(text: str) -> str:
    """Such a text that a spreadsheet does not take for a formula."""
    shown = escaped(text)
    return f"'{shown}" if shown.startswith(FORMULA) else shown
