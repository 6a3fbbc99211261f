"""Distributions over anchors, by hand."""

import torch

from qamoe_bench.nn.anchors import median, shares, spread

ANCHORS = torch.tensor([-1.0, 0.0, 1.0])


def test_a_labels_mass_is_split_between_its_nearest_anchors() -> None:
    actual = shares(torch.tensor([0.25, -1.0, 3.0]), ANCHORS)
    torch.testing.assert_close(actual, torch.tensor([[0, 0.75, 0.25], [1, 0, 0], [0, 0, 1]]))


def test_the_median_lies_where_half_of_the_mass_is_below() -> None:
    mass = torch.tensor([[0.25, 0.5, 0.25], [0.4, 0.4, 0.2], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    # Cells reach half a step to both sides. Row 2: .1 of .4 in the middle cell, a quarter from its border at -.5.
    # Rows 3 and 4: the middle of the first and the last cell.
    torch.testing.assert_close(median(mass, ANCHORS), torch.tensor([0.0, -0.25, -1.0, 1.0]))


def test_the_spread_is_that_between_cells_and_inside_them() -> None:
    mass = torch.tensor([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(spread(mass, ANCHORS), torch.tensor([1 + 1 / 12, 1 / 12]))
