"""Distributions over anchors, by hand."""

import numpy as np
import torch

from qamoe_bench.nn.anchors import median, middle_mean, shares, spread

ANCHORS = torch.tensor([-1.0, 0.0, 1.0])


def test_a_labels_mass_is_split_between_its_nearest_anchors() -> None:
    actual = shares(torch.tensor([0.25, -1.0, 3.0]), ANCHORS)
    torch.testing.assert_close(actual, torch.tensor([[0, 0.75, 0.25], [1, 0, 0], [0, 0, 1]]))


def test_the_median_lies_where_half_of_the_mass_is_below() -> None:
    mass = torch.tensor([[0.25, 0.5, 0.25], [0.4, 0.4, 0.2], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    # Cells reach half a step to both sides. Row 2: .1 of .4 in the middle cell, a quarter from its border at -.5.
    # Rows 3 and 4: the middle of the first and the last cell.
    torch.testing.assert_close(median(mass, ANCHORS), torch.tensor([0.0, -0.25, -1.0, 1.0]))


def test_the_mean_of_the_middle_of_two_peaks_lies_between_them() -> None:
    mass = torch.tensor([[0.35, 0.05, 0.6], [0.45, 0.1, 0.45], [1.0, 0.0, 0.0]])
    # Row 1, from .3 to .7: .05 at -.571 (a seventh of the first cell), .05 at 0, .3 at .75 (half of the last).
    torch.testing.assert_close(middle_mean(mass, ANCHORS, 0.4), torch.tensor([0.4911, 0.0, -1.0]), atol=1e-4, rtol=0)


def test_the_mean_of_the_middle_is_that_of_its_quantiles_from_the_median_to_the_mean() -> None:
    mass = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) ** 4
    mass[:10, 1] = 0
    mass /= mass.sum(1, keepdim=True)
    levels = (np.arange(100_000) + 0.5) / 100_000
    for share in (0.1, 0.4, 0.9):
        middle = 0.5 + share * (levels - 0.5)
        for row, actual in zip(mass.double().numpy(), middle_mean(mass, ANCHORS, share), strict=True):
            # The tiny slope makes the distribution function invertible where a cell is empty.
            reached = np.append(0, row.cumsum()) + 1e-9 * np.arange(4)
            expected = np.interp(middle, reached, [-1.5, -0.5, 0.5, 1.5]).mean()
            assert abs(actual - min(max(expected, -1), 1)) < 1e-4
    torch.testing.assert_close(middle_mean(mass, ANCHORS, 1.0), mass @ ANCHORS)
    assert torch.equal(middle_mean(mass, ANCHORS, 0.0), median(mass, ANCHORS))
    torch.testing.assert_close(middle_mean(mass, ANCHORS, 1e-3), median(mass, ANCHORS), atol=2e-2, rtol=0)


def test_the_spread_is_that_between_cells_and_inside_them() -> None:
    mass = torch.tensor([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(spread(mass, ANCHORS), torch.tensor([1 + 1 / 12, 1 / 12]))
