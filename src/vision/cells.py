"""Three cells of a grid, one red, one green, one blue, and six questions about where they lie; all else is empty."""

import torch
from torch.nn.functional import one_hot

from src.common.shapes import Bool, Float, Int64

# Is R farther from G than B is from G, or than R from B? Do R, G and B turn clockwise? Is their triangle larger than
# the median? Is their mean right of the grid's middle, is it below?
QUESTIONS = ("RG > GB", "RG > RB", "clockwise", "large", "right", "low")
FOLDS = 11  # parts into which the arrangements fall, so that one can be kept for the test


class ThreeCells:
    """The arrangements of three cells that leave no question undecided and whose three distances differ.

    Parameters
    ----------
    side : cells along a side of the grid, 4 or more. They are numbered row by row, x to the right and y down.

    Attributes
    ----------
    median : of twice the triangle's area, over the arrangements that leave nothing else undecided.
    chance : for each question the share of its more frequent answer, what a model can reach that sees no places.

    References
    ----------
    Chowdhury et al., 2025, whose questions are of these kinds; the choice of these six is ours.
    """

    def __init__(self, side: int):
        self.side, self.median = side, 0
        counts = self._count_areas().cumsum(0)
        self.median = int((2 * counts >= counts[-1]).nonzero()[0])
        above, below = (counts[-1] - counts[self.median]).item(), counts[self.median - 1].item()
        # Two colours exchanged, or the grid mirrored, turn the answer to any other question and make no tie.
        self.chance = (0.5, 0.5, 0.5, max(above, below) / (above + below), 0.5, 0.5)

    def _count_areas(self) -> Int64[torch.Tensor, " areas"]:
        """How many arrangements have twice the area 0, 1, …; with `median` at 0, which no triangle's area is."""
        patches = torch.arange(self.side**2)
        counts = torch.zeros(self.side**2, dtype=torch.int64)
        for red in patches:
            margins = self.margins(torch.cartesian_prod(red[None], patches, patches))
            counts += torch.bincount(margins[_decided(margins), 3], minlength=len(counts))
        return counts

    def margins(self, places: Int64[torch.Tensor, "batch 3"]) -> Int64[torch.Tensor, "batch questions"]:
        """By question: positive where the answer is yes, negative where it is no, zero where it is undecided."""
        y, x = places // self.side, places % self.side
        (red_x, green_x, blue_x), (red_y, green_y, blue_y) = x.unbind(1), y.unbind(1)
        red_green = (red_x - green_x) ** 2 + (red_y - green_y) ** 2
        turn = (green_x - red_x) * (blue_y - red_y) - (green_y - red_y) * (blue_x - red_x)
        return torch.stack(
            [
                red_green - (green_x - blue_x) ** 2 - (green_y - blue_y) ** 2,
                red_green - (red_x - blue_x) ** 2 - (red_y - blue_y) ** 2,
                turn,  # clockwise where positive, since y points down
                turn.abs() - self.median,
                2 * x.sum(1) - 3 * (self.side - 1),
                2 * y.sum(1) - 3 * (self.side - 1),
            ],
            dim=1,
        )

    def answers(self, places: Int64[torch.Tensor, "batch 3"]) -> Bool[torch.Tensor, "batch questions"]:
        return self.margins(places) > 0

    def sample(
        self, count: int, *, fold: int, test: bool, generator: torch.Generator
    ) -> Int64[torch.Tensor, "batch 3"]:
        """Uniform draws of the cells of red, green and blue: from this fold for the test, else from all others."""
        parts, missing = [], count
        while missing:
            drawn = torch.randint(self.side**2, (2 * missing + 16, 3), generator=generator)
            in_fold = (drawn @ torch.tensor([1, 3, 9])) % FOLDS == fold
            drawn = drawn[(in_fold == test) & _decided(self.margins(drawn))][:missing]
            parts.append(drawn)
            missing -= len(drawn)
        return torch.cat(parts)

    def images(self, places: Int64[torch.Tensor, "batch 3"]) -> Float[torch.Tensor, "batch 3 side side"]:
        """Red, green and blue are 1 in one cell of their channel each; all else is 0."""
        return one_hot(places, self.side**2).float().unflatten(-1, (self.side, self.side))


def _decided(margins: Int64[torch.Tensor, "batch questions"]) -> Bool[torch.Tensor, " batch"]:
    """No margin is zero, nor the one that is not asked for: of GB against RB."""
    return (margins != 0).all(1) & (margins[:, 0] != margins[:, 1])
