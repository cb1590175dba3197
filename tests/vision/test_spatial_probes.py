"""Neighbours' measures against exact cases and slow loops."""

from math import atan2, floor, hypot, pi

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch.nn.functional import normalize

from src.vision.permutation import Permuted, permute_patches
from src.vision.probes import cosines
from src.vision.spatial_probes import (
    fixed_pattern,
    monotonicity,
    position_accuracy,
    structure,
    tokens_by_layer,
)
from src.vision.vit import VisionTransformer

GRID = (6, 5)
PLACES = [(row, column) for row in range(GRID[0]) for column in range(GRID[1])]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def manhattan():
    return torch.tensor([[abs(a - c) + abs(b - d) for c, d in PLACES] for a, b in PLACES]).double()


def vit(attention="content", depth=2):
    return VisionTransformer(16, 4, 10, 24, depth, 2, 16, attention=attention, generator=seeded())


class TestStructure:
    def test_similarity_that_falls_by_a_tenth_a_step(self):
        distance = manhattan()
        found = structure(1 - 0.1 * distance, GRID)
        far = distance[distance >= 6].mean().item()
        assert found.cds.item() == pytest.approx(0.1) and found.lds.item() == pytest.approx(0.1 * (far - 1))

    def test_tokens_that_are_all_alike(self):
        found = structure(cosines(torch.ones(2, 30, 4)), GRID)
        assert all(torch.allclose(each, torch.zeros(2), atol=1e-3) for each in found)

    def test_a_slow_loop_agrees(self):
        tokens = torch.randn(30, 7, generator=seeded(), dtype=torch.float64)
        unit = normalize(tokens, dim=-1).numpy()
        by_distance: dict[int, list[float]] = {}
        for one, (a, b) in zip(unit, PLACES, strict=True):
            for other, (c, d) in zip(unit, PLACES, strict=True):
                by_distance.setdefault(abs(a - c) + abs(b - d), []).append(one @ other)
        far = [value for each, values in by_distance.items() if each >= 6 for value in values]
        line = np.polyfit(range(1, 9), [np.mean(by_distance[each]) for each in range(1, 9)], 1)
        spread = np.sqrt(np.mean([np.sum((each - unit.mean(0)) ** 2) for each in unit]))
        expected = (np.mean(by_distance[1]) - np.mean(far), -line[0], spread)
        assert [each.item() for each in structure(cosines(tokens), GRID)] == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("grid", "message"),
        [((5, 5), "grid=.* has 25 patches, the similarity 30"), ((30, 1), None), ((3, 3), "distance 6")],
    )
    def test_refusals(self, grid, message):
        size = 9 if grid == (3, 3) else 30
        similarity = cosines(torch.randn(size, 3, generator=seeded()))
        if message is None:
            assert torch.isfinite(structure(similarity, grid).cds)
            return
        with pytest.raises(ValueError, match=message):
            structure(similarity, grid)


class TestMonotonicity:
    def test_the_sources_sinusoid_has_the_values_that_the_source_prints(self):
        phases = torch.arange(196.0).double()[:, None] * 10_000 ** -(torch.arange(0, 768, 2) / 768)
        waves = torch.cat([phases.sin(), phases.cos()], dim=1)
        assert monotonicity(cosines(waves), (14, 14)) == pytest.approx((1.9567, 1.4905), abs=1e-4)

    def test_similarity_that_falls_with_the_distance_is_ideal_undirected_and_in_each_filled_direction(self):
        distance = torch.tensor([[hypot(a - c, b - d) for c, d in PLACES] for a, b in PLACES])
        assert monotonicity(-distance, GRID)[0] == pytest.approx(2)
        assert monotonicity(distance, GRID)[0] == pytest.approx(0)
        line = torch.arange(5.0)[:, None] - torch.arange(5.0)
        directed = monotonicity(-line.abs(), (1, 5))[1]
        # the centre is in the first bin, one way of the line in another: alone in it, it counts nothing
        filled = sum(1 for at in range(5) for steps in (at, 4 - at) if steps > 1)
        assert directed == pytest.approx(1 + filled / 60 / 5)

    def test_a_slow_loop_agrees(self):
        similarity = cosines(torch.randn(30, 5, generator=seeded(3), dtype=torch.float64))
        undirected, directed = [], []
        for at, (a, b) in enumerate(PLACES):
            rings: dict[int, list[float]] = {}
            bins: dict[int, list[tuple[float, float]]] = {}
            for value, (c, d) in zip(similarity[at].tolist(), PLACES, strict=True):
                rings.setdefault(round(hypot(c - a, d - b)), []).append(value)
                angle = floor(atan2(d - b, c - a) / (2 * pi / 60) + 1e-9) % 60
                bins.setdefault(angle, []).append((hypot(c - a, d - b), value))
            undirected.append(
                1 - spearmanr(list(rings), [np.mean(ring) for ring in rings.values()]).statistic
            )
            several = [
                spearmanr(*zip(*each, strict=True)).statistic for each in bins.values() if len(each) > 1
            ]
            directed.append(1 - sum(several) / 60)
        expected = (np.mean(undirected), np.mean(directed))
        assert monotonicity(similarity, GRID) == pytest.approx(expected)


class TestTokens:
    @pytest.mark.parametrize("attention", ["content", "positional"])
    def test_they_are_the_models_own(self, attention):
        model, images = vit(attention), torch.randn(3, 3, 16, 16, generator=seeded(1))
        expected = torch.stack(model(images, return_intermediates=True)[1].tokens)[:, :, 1:]
        torch.testing.assert_close(tokens_by_layer(model, images), expected)

    def test_a_permuted_models_are_brought_back_to_the_image(self):
        model, images = vit(), torch.randn(3, 3, 16, 16, generator=seeded(1))
        order = torch.randperm(16, generator=seeded(2))
        found = tokens_by_layer(Permuted(model, order, 4), images)
        torch.testing.assert_close(
            found[:, :, order], tokens_by_layer(model, permute_patches(images, order, 4))
        )

    def test_what_is_dropped_has_no_encoding_and_the_others_keep_theirs(self):
        model, images = vit(), torch.randn(2, 3, 16, 16, generator=seeded(1))
        order = torch.randperm(16, generator=seeded(2))
        dropped = torch.rand(2, 16, generator=seeded(3)) < 0.5
        first = tokens_by_layer(model, images, dropped)[0]
        content = model.patch_embed(images)
        torch.testing.assert_close(first[dropped], content[dropped])
        torch.testing.assert_close(first[~dropped], (content + model.pos_embed[:, 1:])[~dropped])
        moved = tokens_by_layer(Permuted(model, order, 4), images, dropped)[0]
        torch.testing.assert_close(moved[dropped], content[dropped])


class TestPositionAccuracy:
    def test_sklearn_agrees(self):
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        train, test = (
            torch.randn(2, 40, 6, 5, generator=seeded()) + torch.randn(6, 5, generator=seeded(1)) / 2
        )
        labels = torch.arange(6).repeat(40)
        theirs = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 6] * 6).fit(
            train.flatten(0, 1), labels
        )
        expected = theirs.score(test.flatten(0, 1), labels)
        assert 1 / 6 < expected < 1 and position_accuracy(train, test) == pytest.approx(expected)

    def test_tokens_that_are_their_place_and_tokens_that_are_not(self):
        places = torch.eye(6).expand(50, 6, 6) + 0.01 * torch.randn(50, 6, 6, generator=seeded())
        assert position_accuracy(places, places) == 1
        noise = torch.randn(2, 2000, 4, 3, generator=seeded())
        assert position_accuracy(*noise) == pytest.approx(0.25, abs=0.02)

    def test_only_what_is_seen_counts(self):
        tokens = torch.randn(60, 4, 3, generator=seeded())
        kept = torch.rand(60, 4, generator=seeded(1)) < 0.5
        spoiled = torch.where(kept[..., None], tokens, torch.tensor(1e3))
        assert position_accuracy(spoiled, tokens, (kept, kept)) == position_accuracy(
            tokens, tokens, (kept, kept)
        )

    def test_a_place_that_no_training_token_stands_for_is_refused(self):
        tokens, kept = torch.randn(5, 4, 3, generator=seeded()), torch.ones(5, 4, dtype=torch.bool)
        kept[:, 2] = False
        told = "^seen: each place in one of train = 5 images is needed; 1 of 4 are in none$"
        with pytest.raises(ValueError, match=told):
            position_accuracy(tokens, tokens, (kept, kept))


class TestFixedPattern:
    def test_by_hand(self):
        pattern = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])  # two places
        # two images, mean zero
        content = torch.tensor([[[0.0, 1.0], [0.0, -1.0]], [[0.0, -1.0], [0.0, 1.0]]])
        found = fixed_pattern(2 * pattern[None] + 5, (pattern + content)[None])
        assert found.share.item() == pytest.approx(2) and found.common.item() == pytest.approx(0.5)
        assert found.cosine.item() == pytest.approx(1)

    def test_positional_attention_leaves_an_empty_image_only_what_the_cls_token_brings(self):
        model = vit("positional")
        empty = torch.zeros(1, 3, 16, 16)
        with torch.no_grad():
            assert tokens_by_layer(model, empty)[1, 0].std(0).max() > 1e-4
            model.cls_token.copy_(model.patch_embed(empty)[:, :1])  # then all tokens are alike, and stay so
        alike = tokens_by_layer(model, empty)[:, 0]
        assert torch.allclose(alike, alike[:, :1].expand_as(alike), atol=1e-5)


def test_shares_are_means_over_places_whatever_the_number_of_images():
    pattern = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]).double()  # three places, two features
    content = torch.tensor([[0.0, 1.0], [0.0, -1.0], [0.0, 0.0]]).double()
    tokens = torch.stack([pattern + sign * content for sign in (1, -1, 1, -1)])
    found = fixed_pattern(2 * pattern[None] + 5, tokens[None])
    assert found.share.item() == pytest.approx(2) and found.common.item() == pytest.approx(0.5)
