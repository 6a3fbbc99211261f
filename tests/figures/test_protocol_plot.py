"""Pictures of one sample along a sweep: always the same bytes, never a crash."""

import struct

import numpy as np
import pytest

from qamoe_bench.figures.protocol_plot import Picture, Strip, draw_picture

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def make(modalities: tuple[str, ...] = ("text", "audio"), columns: int = 3, sample: str = "s1") -> Picture:
    random = np.random.default_rng(0)
    strips = {}
    for m in modalities:
        lost = random.random((columns, 9)) < 0.4
        lost[:, 6:] = False
        strips[m] = Strip(random.standard_normal((columns, 9, 4)).astype(np.float32), lost, length=6)
    return Picture(("A protocol", f"p on d, test sample {sample}"), tuple(f"η = {i}" for i in range(columns)), strips)


def size(content: bytes) -> tuple[int, int]:
    assert content.startswith(SIGNATURE)
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def test_equal_pictures_give_equal_bytes_without_date_or_program() -> None:
    content = draw_picture(make())
    assert draw_picture(make()) == content
    assert b"tEXt" not in content


def test_other_values_give_another_picture() -> None:
    assert draw_picture(make()) != draw_picture(make(sample="s2"))


@pytest.mark.parametrize("columns", [1, 8])
@pytest.mark.parametrize("modalities", [("text",), ("text", "audio", "vision")])
def test_every_number_of_modalities_and_conditions_can_be_drawn(modalities: tuple[str, ...], columns: int) -> None:
    width, height = size(draw_picture(make(modalities, columns)))
    assert 700 < width < 250 * (columns + 4)
    assert 300 < height < 300 * (len(modalities) + 1)


def test_names_are_text_and_not_formulas() -> None:
    """Real sample ids hold dollar signs, which matplotlib would read as mathematics."""
    size(draw_picture(make(sample="03bSnISJMiM$_$1 $\\frac$")))


def test_an_absent_or_wholly_lost_modality_is_drawn() -> None:
    values = np.zeros((2, 5, 3), np.float32)
    strips = {
        "text": Strip(values, np.zeros((2, 5), np.bool_), length=0),
        "audio": Strip(values, np.ones((2, 5), np.bool_), length=5),
        "vision": Strip(values[:, :1], np.zeros((2, 1), np.bool_), length=1),
    }
    size(draw_picture(Picture(("h",), ("a name that is much too long for one line", "b"), strips)))
