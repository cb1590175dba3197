import math
from itertools import permutations

import pytest
import torch

from src.vision.permutation import permute_patches
from src.vision.probes import (
    attention_distance,
    attention_maps,
    grid_distance,
    locality,
    mantel_test,
    position_similarity,
    undo_permutation,
)
from src.vision.vit import VisionTransformer


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def vit(attention="content", embed_dim=48):
    return VisionTransformer(32, 4, 10, embed_dim, 2, 4, 32, attention=attention, generator=seeded())


class TestPositionSimilarity:
    def test_by_hand(self):
        cls, first = [7.0, 7.0], [3.0, 4.0]
        pos_embed = torch.tensor([[cls, first, [6.0, 8.0], [-4.0, 3.0], [-3.0, -4.0]]])
        expected = torch.tensor([[1, 1, 0, -1], [1, 1, 0, -1], [0, 0, 1, 0], [-1, -1, 0, 1]]).float()
        torch.testing.assert_close(position_similarity(pos_embed), expected)

    def test_model_and_tensor_agree_and_cls_is_left_out(self):
        model = vit()
        similarity = position_similarity(model)
        assert similarity.shape == (64, 64) and not similarity.requires_grad
        assert torch.equal(similarity, position_similarity(model.pos_embed))
        with torch.no_grad():
            model.pos_embed[:, 0] = 100
        assert torch.equal(similarity, position_similarity(model))

    def test_range(self):
        similarity = position_similarity(torch.randn(1, 201, 3, generator=seeded()))
        assert similarity.min() >= -1 and similarity.max() <= 1


class TestLocality:
    @pytest.mark.parametrize("grid", [(8, 8), (2, 8), (1, 5)])
    def test_similarity_that_falls_with_distance(self, grid):
        distance = grid_distance(grid).float()
        result = locality(1 - distance / 10, grid)
        assert result.correlation == pytest.approx(1, abs=1e-5) and result.neighbour_share == 1
        assert locality(distance, grid).correlation == pytest.approx(-1, abs=1e-5)
        assert locality(distance, grid).neighbour_share < result.chance_share

    def test_smooth_encodings(self):
        """Encodings made of bumps on the grid: local, though not linear in the distance."""
        bumps = torch.exp(-(grid_distance((8, 8)) ** 2) / 8).float()
        result = locality(position_similarity(torch.cat([torch.ones(1, 64), bumps])[None]), (8, 8))
        assert result.correlation > 0.75 and result.neighbour_share > 0.95

    def test_random_encodings(self):
        results = [
            locality(position_similarity(torch.randn(1, 65, 48, generator=seeded(s))), (8, 8))
            for s in range(20)
        ]
        assert abs(sum(r.correlation for r in results) / 20) < 0.02
        assert all(abs(r.correlation) < 0.12 for r in results)
        share = sum(r.neighbour_share for r in results) / 20
        assert share == pytest.approx(results[0].chance_share, abs=0.015)

    def test_the_grid_matters(self):
        similarity = -grid_distance((2, 8)).float()
        assert locality(similarity, (4, 4)).neighbour_share < 0.6
        assert locality(similarity, (4, 4)).correlation < 0.7

    def test_chance(self):
        """A corner of 2 x 2 has 2 neighbours among 3 others; 3 x 3 has 4 corners, 4 edges and a centre."""
        assert locality(-grid_distance((2, 2)).float(), (2, 2)).chance_share == pytest.approx(2 / 3)
        expected = (4 * 2 + 4 * 3 + 1 * 4) / 9 / 8
        assert locality(-grid_distance((3, 3)).float(), (3, 3)).chance_share == pytest.approx(expected)

    def test_offset_scale_and_diagonal_do_not_matter(self):
        similarity = torch.randn(16, 16, generator=seeded())
        changed = (3 * similarity - 1).fill_diagonal_(50)
        assert locality(changed, (4, 4)).correlation == pytest.approx(
            locality(similarity, (4, 4)).correlation
        )
        assert locality(changed, (4, 4)).neighbour_share == locality(similarity, (4, 4)).neighbour_share

    def test_constant_similarity_has_no_correlation(self):
        assert math.isnan(locality(torch.ones(4, 4), (2, 2)).correlation)

    @pytest.mark.parametrize(("patches", "grid"), [(16, (4, 5)), (1, (1, 1))])
    def test_grids_that_do_not_fit(self, patches, grid):
        with pytest.raises(ValueError) as error:
            locality(torch.ones(patches, patches), grid)
        assert str(error.value).startswith(
            f"grid={grid} has {math.prod(grid)} patches, similarity {patches};"
        )


class TestMantel:
    @pytest.mark.parametrize("seed", range(4))
    def test_it_counts_the_random_places_that_correlate_as_much(self, seed):
        """The definition, by `locality` and one assignment at a time."""
        grid, similarity = (3, 4), position_similarity(torch.randn(1, 13, 6, generator=seeded(seed)))
        found = mantel_test(similarity, grid, permutations=99, generator=seeded(7))
        true, draw = locality(similarity, grid).correlation, seeded(7)
        orders = [torch.randperm(12, generator=draw) for _ in range(99)]
        drawn = [locality(similarity[order][:, order], grid).correlation for order in orders]
        assert found == (1 + sum(each >= true for each in drawn)) / 100

    def test_many_draws_come_to_the_exact_share_over_all_permutations(self):
        grid, similarity = (2, 3), position_similarity(torch.randn(1, 7, 6, generator=seeded(3)))
        orders = [torch.tensor(order) for order in permutations(range(6))]
        drawn = [locality(similarity[order][:, order], grid).correlation for order in orders]
        true = locality(similarity, grid).correlation
        exact = sum(each >= true - 1e-9 for each in drawn) / len(drawn)
        found = mantel_test(similarity, grid, permutations=4000, generator=seeded())
        assert 0.05 < exact < 0.95 and found == pytest.approx(
            exact, abs=4 * (exact * (1 - exact) / 4000) ** 0.5
        )

    def test_encodings_made_of_bumps_are_local_and_random_ones_are_not(self):
        bumps = torch.exp(-(grid_distance((6, 6)) ** 2) / 8).float()
        local = position_similarity(torch.cat([torch.ones(1, 36), bumps])[None])
        assert mantel_test(local, (6, 6), generator=seeded()) == 1 / 1000
        p_values = [
            mantel_test(
                position_similarity(torch.randn(1, 37, 48, generator=seeded(s))),
                (6, 6),
                permutations=99,
                generator=seeded(s),
            )
            for s in range(60)
        ]
        assert 0.35 < sum(p_values) / 60 < 0.65  # uniform: mean 1/2, standard error 0.04
        assert sum(p <= 0.01 for p in p_values) <= 3

    def test_far_patches_that_are_alike_are_no_locality(self):
        assert mantel_test(grid_distance((6, 6)).float(), (6, 6), generator=seeded()) > 0.99

    def test_a_similarity_that_is_not_finite_has_no_p(self):
        broken = torch.eye(36).index_put((torch.tensor(3),) * 2, torch.tensor(math.nan))
        assert math.isnan(mantel_test(broken, (6, 6), generator=seeded()))

    def test_a_constant_similarity_says_nothing(self):
        assert mantel_test(torch.ones(9, 9), (3, 3), permutations=99, generator=seeded()) == 1


class TestUndoPermutation:
    def test_encodings_that_moved_with_their_patches(self):
        """The patch that was at permutation[i] is at place i: its encoding there is the original one."""
        original, permutation = vit().pos_embed.detach(), torch.randperm(64, generator=seeded())
        moved = torch.cat([original[:, :1], original[:, 1:][:, permutation]], dim=1)
        measured, expected = position_similarity(moved), position_similarity(original)
        assert not torch.allclose(measured, expected, atol=0.1)
        torch.testing.assert_close(undo_permutation(measured, permutation), expected)

    def test_same_convention_as_the_images(self):
        """Pixels of a ramp are their own place; their products, measured on permuted images, return."""
        ramp, permutation = torch.arange(16.0).reshape(1, 1, 4, 4), torch.randperm(16, generator=seeded())
        seen = permute_patches(ramp, permutation, 1).flatten()
        products = torch.outer(torch.arange(16.0), torch.arange(16.0))
        both = torch.stack([torch.outer(seen, seen)] * 2)
        assert torch.equal(undo_permutation(both, permutation), torch.stack([products] * 2))

    def test_no_permutation(self):
        with pytest.raises(ValueError, match=r"permutation: expected each of 0..3 once"):
            undo_permutation(torch.ones(4, 4), torch.tensor([0, 1, 1, 2]))


class TestAttention:
    def test_maps(self):
        images = torch.randn(3, 3, 32, 32, generator=seeded())
        for attention in ("content", "positional"):
            maps = attention_maps(vit(attention), images)
            assert maps.shape == (2, 4, 65, 65) and not maps.requires_grad
            torch.testing.assert_close(maps.sum(-1), torch.ones(2, 4, 65))
            single = torch.stack([attention_maps(vit(attention), image[None]) for image in images]).mean(0)
            torch.testing.assert_close(maps, single)

    def test_distance_of_known_attention(self):
        grid, distance = (3, 4), grid_distance((3, 4))
        eye, uniform = torch.eye(13), torch.full((13, 13), 1 / 13)
        to_the_last = torch.zeros(13, 13)
        to_the_last[:, 12] = 1
        result = attention_distance(torch.stack([eye, uniform, to_the_last]), grid)
        expected = torch.stack([torch.tensor(0.0), distance.mean().float(), distance[:, -1].mean().float()])
        torch.testing.assert_close(result, expected)

    def test_cls_is_left_out(self):
        """Patches that give most of their attention to CLS and the rest to themselves look at distance 0."""
        attention = 0.1 * torch.eye(13)
        attention[:, 0] += 0.9
        attention[0] = 1 / 13
        assert attention_distance(attention, (3, 4)).item() == 0

    def test_leading_dimensions_and_grid(self):
        attention = torch.rand(2, 5, 7, 13, 13, generator=seeded()).softmax(-1)
        assert attention_distance(attention, (3, 4)).shape == (2, 5, 7)
        with pytest.raises(ValueError) as error:
            attention_distance(attention, (3, 3))
        assert str(error.value) == "grid=(3, 3) has 9 patches and needs 10 tokens, attention has 13"


def test_an_untrained_model_knows_nothing_of_space():
    result = locality(position_similarity(vit(embed_dim=96)), (8, 8))
    assert abs(result.correlation) < 0.1 and result.neighbour_share < 0.15
