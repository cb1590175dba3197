"""Patches moved by an order of their own in each image, and pixels moved by a smooth map."""

import math

import pytest
import torch

from src.vision.disorder import permute_each, random_orders, source_distance, swirl, warp
from src.vision.permutation import permute_patches
from src.vision.probes import grid_distance


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (5, 3, 12, 12), generator=seeded(), dtype=torch.uint8)


def test_each_image_is_moved_as_it_would_be_alone_and_the_inverse_undoes_it_exactly(images):
    orders = random_orders(5, 9, generator=seeded(1))
    moved = permute_each(images, orders, 4)
    alone = [permute_patches(image[None], order, 4)[0] for image, order in zip(images, orders, strict=True)]
    assert torch.equal(moved, torch.stack(alone))
    assert torch.equal(permute_each(moved, orders.argsort(dim=1), 4), images)
    assert torch.equal(permute_each(images, torch.arange(9).expand(5, -1), 4), images)


def test_orders_are_permutations_that_differ_and_are_uniform():
    orders = random_orders(6000, 3, generator=seeded(2))
    kinds, counts = orders.unique(dim=0, return_counts=True)
    assert len(kinds) == 6 and (counts - 1000).abs().max() < 120  # four standard deviations
    assert torch.equal(orders.sort(dim=1).values, torch.arange(3).expand(6000, -1))


def test_what_is_no_permutation_is_refused(images):
    with pytest.raises(ValueError, match=r"expected each of 0\.\.8 once"):
        permute_each(images, torch.zeros(5, 9, dtype=torch.int64), 4)


def test_the_identity_changes_nothing_and_a_warp_leaves_one_colour_as_it_is(images):
    assert torch.equal(warp(images, swirl(12, 0.0)), images)
    plain = torch.full((1, 3, 12, 12), 77, dtype=torch.uint8)
    assert torch.equal(warp(plain, swirl(12, 0.8)), plain)


def test_a_warp_takes_colours_between_pixels_by_their_weights():
    ramp = torch.arange(0, 160, 20, dtype=torch.uint8).expand(1, 3, 8, 8)  # of the columns
    halfway = swirl(8, 0.0) + torch.tensor([0.0, 1 / 8])  # half a pixel to the right: a pixel is 2 / 8 wide
    assert torch.equal(warp(ramp, halfway)[..., :-1], ramp[..., :-1] + 10)
    assert torch.equal(warp(ramp, halfway)[..., -1], ramp[..., -1])  # beyond the border lies its own colour


def test_a_swirl_turns_rings_keeps_the_square_and_is_undone_by_the_opposite_one():
    there, back = swirl(64, 0.4), swirl(64, -0.4)
    still = swirl(64, 0.0)
    assert there.abs().max() <= 1
    assert torch.allclose(there.norm(dim=-1), still.norm(dim=-1))
    rim = still.norm(dim=-1) >= 1
    assert rim.any() and torch.equal(there[rim], still[rim])
    waves = (127 + 100 * (3 * still).sin().prod(-1)).round().to(torch.uint8).expand(1, 3, 64, 64)
    moved = warp(waves, there)
    assert (moved.int() - waves.int()).abs().max() > 50
    assert (warp(moved, back).int() - waves.int()).abs().max() <= 3


def test_distances_between_sources_are_the_grids_where_nothing_moves_and_those_of_quarter_turned_ones():
    assert torch.allclose(source_distance(swirl(12, 0.0), 4), grid_distance((3, 3)))
    row, column = swirl(12, 0.0).unbind(-1)
    turned = torch.stack([column, -row], dim=-1)
    assert torch.allclose(source_distance(turned, 4), grid_distance((3, 3)))
    squeezed = torch.stack([row / 2, column], dim=-1)
    assert source_distance(squeezed, 4)[0, 3].item() == pytest.approx(0.5)  # one place below the other


def test_a_ring_turns_by_the_square_of_what_is_left_to_the_rim():
    there, still = swirl(8, 0.1), swirl(8, 0.0)
    (row, column), (y, x) = still[2, 4].tolist(), there[2, 4].tolist()
    turned = math.atan2(y, x) - math.atan2(row, column)
    assert abs(turned) == pytest.approx(2 * math.pi * 0.1 * (1 - row**2 - column**2) ** 2)
