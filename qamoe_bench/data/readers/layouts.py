"""The layouts of objects in a file; the first that matches is used."""

from dataclasses import replace
from typing import Protocol

from qamoe_bench.data.contents import Contents
from qamoe_bench.data.readers import arrays, sample_tuples
from qamoe_bench.data.source import Source
from qamoe_bench.data.stored_tokens import stated_token_model


class Layout(Protocol):
    """The interface of a reader module for the objects in a file."""

    def matches(self, value: object) -> bool:
        """Whether the objects are in this layout."""
        ...

    def read(self, contents: Contents) -> Source:
        """The splits of a file with these contents.

        Raises:
            BenchError: The contents are not in this layout.
        """
        ...


# `arrays` matches everything, so it comes last.
LAYOUTS: tuple[Layout, ...] = (sample_tuples, arrays)


def in_layout(contents: Contents) -> Source:
    """The splits in the objects of a file.

    Raises:
        BenchError: The objects are in no layout that is read.
    """
    layout = next(layout for layout in LAYOUTS if layout.matches(contents.value))
    source = layout.read(contents)
    model = stated_token_model(contents.value)
    return replace(source, notes=(*contents.notes, *source.notes), token_model=model)
