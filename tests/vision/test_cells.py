"""The three cells: answers, chance and folds against plain counting; the sinusoids against their formula."""

import math
from itertools import product

import pytest
import torch

from src.vision.cells import FOLDS, QUESTIONS, ThreeCells
from src.vision.sinusoid import grid_sinusoid, sinusoid


def plainly(side: int, red: int, green: int, blue: int) -> list[float]:
    """The margins by floating-point geometry, with the area itself in the place of its margin."""
    (ry, rx), (gy, gx), (by, bx) = (divmod(place, side) for place in (red, green, blue))
    green_angle, blue_angle = math.atan2(gy - ry, gx - rx), math.atan2(by - ry, bx - rx)
    turn = math.sin(blue_angle - green_angle) if len({red, green, blue}) == 3 else 0.0
    a, b, c = math.dist((rx, ry), (gx, gy)), math.dist((gx, gy), (bx, by)), math.dist((rx, ry), (bx, by))
    half = (a + b + c) / 2
    area = math.sqrt(max(0.0, half * (half - a) * (half - b) * (half - c)))  # Heron
    middle = (side - 1) / 2
    return [a - b, a - c, turn, area, (rx + gx + bx) / 3 - middle, (ry + gy + by) / 3 - middle]


def test_answers_and_chance_are_those_of_plain_counting():
    cells = ThreeCells(4)
    places = torch.tensor([*product(range(16), repeat=3)])
    expected = torch.tensor([plainly(4, *each) for each in places.tolist()], dtype=torch.float64)
    others = [0, 1, 2, 4, 5]
    margins = cells.margins(places)
    for question in others:
        assert torch.equal(margins[:, question].sign(), expected[:, question].round(decimals=9).sign().long())
    decided = (margins[:, others] != 0).all(1) & (margins[:, 0] != margins[:, 1])
    areas = (2 * expected[decided, 3]).round().long()
    assert cells.median == areas.median()
    assert torch.equal(margins[decided, 3], areas - cells.median)
    yes = cells.answers(places)[decided & (margins[:, 3] != 0)].double().mean(0)
    assert cells.chance == pytest.approx(torch.maximum(yes, 1 - yes).tolist())


def test_training_never_sees_an_arrangement_of_the_test_and_both_are_uniform():
    cells, generator = ThreeCells(4), torch.Generator().manual_seed(0)
    train, test = (cells.sample(4000, fold=3, test=test, generator=generator) for test in (False, True))
    seen, kept = ({*map(tuple, each.tolist())} for each in (train, test))
    assert not seen & kept
    decided = torch.tensor([*product(range(16), repeat=3)])
    margins = cells.margins(decided)
    decided = decided[(margins != 0).all(1) & (margins[:, 0] != margins[:, 1])]
    fold = (decided @ torch.tensor([1, 3, 9])) % FOLDS
    assert kept == {*map(tuple, decided[fold == 3].tolist())}  # each comes up: 4,000 draws of some hundred
    assert seen <= {*map(tuple, decided[fold != 3].tolist())} and len(seen) > 0.9 * (fold != 3).sum()


def test_an_image_holds_each_colour_once():
    places = torch.tensor([[0, 5, 15]])
    (image,) = ThreeCells(4).images(places)
    assert image.sum() == 3 and image[0, 0, 0] == image[1, 1, 1] == image[2, 3, 3] == 1
    assert ThreeCells(4).answers(places).shape == (1, len(QUESTIONS))


def test_a_sinusoid_is_its_formula():
    found = sinusoid(5, 6)
    for t, k in product(range(5), range(3)):
        angle = t / 10_000 ** (2 * k / 6)
        assert found[t, 2 * k : 2 * k + 2].tolist() == pytest.approx(
            [math.sin(angle), math.cos(angle)], abs=1e-6
        )


def test_the_similarity_of_sinusoids_depends_on_the_distance_alone():
    similar = sinusoid(9, 8) @ sinusoid(9, 8).T
    for shift in range(9):
        assert torch.allclose(similar.diagonal(shift), similar[0, shift], atol=1e-5)
    grid = grid_sinusoid(4, 8)
    similar = (grid @ grid.T).unflatten(1, (4, 4)).unflatten(0, (4, 4)) / 4  # cosines, as each length is 2
    for (y, x), (down, right) in product(product(range(4), repeat=2), repeat=2):
        assert similar[y, x, down, right] == pytest.approx(
            similar[0, 0, abs(y - down), abs(x - right)].item(), abs=1e-6
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sinusoid(4, 3), "dim = 3: an even number is needed; the nearest: 4"),
        (lambda: grid_sinusoid(4, 6), "dim = 6: a multiple of 4 is needed; the nearest: 8"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
