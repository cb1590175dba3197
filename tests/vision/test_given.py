"""Variants to which structure is given: fast as by the equation, each what it says, alike in all else."""

from itertools import pairwise

import pytest
import torch

from src.vision.fast import fast_logits
from src.vision.given import LIKE, VARIANTS, WIDTHS, given_transformer
from src.vision.probes import attention_maps, grid_distance, position_similarity
from src.vision.sinusoid import grid_sinusoid

SHAPE = (8, 2, 5, 12, 2, 2, 20)
CHANGED = ("mask", "convolved", "mimetic", "free", "uniform")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def variant(name, *, noise=0.3, shape=SHAPE):
    """In float64, by default with weights large enough that attention is far from its start."""
    model, draw = given_transformer(name, *shape, generator=seeded()).double(), seeded(1)
    with torch.no_grad():
        for parameter in model.parameters():
            moved = noise * torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
            parameter.add_(moved if parameter.requires_grad else 0.0)
    return model


def random_images(size=8):
    return torch.randn(4, 3, size, size, generator=seeded(2), dtype=torch.float64)


@pytest.mark.parametrize("name", CHANGED)
def test_fast_logits_and_gradients_are_those_of_the_equation(name):
    model, images = variant(name), random_images()
    logits = [fast_logits(model, images), model.reference(images)[0]]
    torch.testing.assert_close(*logits)
    learned = [each for each in model.parameters() if each.requires_grad]
    gradients = [torch.autograd.grad(each.square().sum(), learned, allow_unused=True) for each in logits]
    for ours, theirs in zip(*gradients, strict=True):
        ours, theirs = (torch.zeros(()) if each is None else each for each in (ours, theirs))
        torch.testing.assert_close(
            ours, theirs.expand_as(ours) if theirs.ndim == 0 else theirs, check_dtype=False
        )


@pytest.mark.parametrize("name", CHANGED)
def test_all_that_a_variant_does_not_change_starts_as_the_plain_model(name):
    kind = "positional" if name in ("free", "uniform") else "content"
    plain, model = (given_transformer(each, *SHAPE, generator=seeded()) for each in (kind, name))
    assert model.attention == plain.attention and model.add_encoding == plain.add_encoding
    ours, theirs = model.state_dict(), plain.state_dict()
    differ = {each for each in theirs if each not in ours or not torch.equal(ours[each], theirs[each])}
    parts = {
        "convolved": ("patch_embed.proj",),
        "mimetic": ("pos_embed", "attn.qkv.weight", "attn.proj.weight"),
    }
    assert all(any(part in each for part in parts.get(name, ())) for each in differ)
    assert bool(differ) == (name in parts)


def test_a_mask_of_ones_is_no_mask_and_the_mixture_is_that_of_each_pair():
    model, plain, images = variant("mask", noise=0.0), variant("content", noise=0.0), random_images()
    attn = model.blocks[0].attn
    with torch.no_grad():
        attn.amplitude.copy_(torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 1.0]]))
    mask, distance = attn.mask(), grid_distance((4, 4))
    assert (mask[:, 0] == 1).all() and (mask[:, :, 0] == 1).all()
    for first, second in ((0, 0), (0, 5), (3, 12)):
        terms = [torch.exp(-(distance[first, second] ** 2) / (2 * width**2)) for width in WIDTHS]
        expected = terms[0] - 2 * terms[1] + terms[2] / 2
        assert mask[0, 1 + first, 1 + second].item() == pytest.approx(expected.item(), abs=1e-4)
    with torch.no_grad():
        for block in model.blocks:
            block.attn.amplitude.fill_(1 / len(WIDTHS))
            block.attn.width.fill_(1e6)
    torch.testing.assert_close(model(images), plain(images))


def test_convolutions_make_as_many_patches_that_overlap():
    model = variant("convolved", shape=(16, 4, 5, 12, 1, 2, 20))
    images = random_images(16).requires_grad_()
    patches = model.patch_embed(images)
    assert patches.shape == (4, 16, 12)
    seen = torch.autograd.grad(patches[0, 5].sum(), images)[0][0].abs().sum(0) > 0
    assert seen[1:8, 1:8].all() and seen.sum() == 49  # more than the patch's own, rows and columns 4 to 7
    with pytest.raises(ValueError, match="patch_size = 3: 2, 4, 8, … is needed; the nearest: 2"):
        given_transformer("convolved", 6, 3, *SHAPE[2:], generator=None)


def test_a_mimetic_start_looks_at_what_is_alike_and_near():
    model = given_transformer("mimetic", 12, 2, 5, 64, 2, 1, 20, generator=seeded())
    for block in model.blocks:
        query, key, value = block.attn.qkv.weight.view(3, 64, 64)
        noise = query.T @ key / LIKE - torch.eye(64)  # one head, so that nothing is cut off
        assert noise.mean().abs() < 0.01 and noise.std().item() == pytest.approx(64**-0.5, rel=0.1)
        assert (block.attn.proj.weight @ value).diagonal().mean() < -0.3
    similarity = position_similarity(grid_sinusoid(6, 64)[None, [0, *range(36)]])
    away = [similarity[0, place].item() for place in (1, 2, 3)]
    assert all(near > far for near, far in pairwise(away))


@torch.no_grad()
def test_free_attention_is_its_logits_and_uniform_attention_learns_nothing():
    free, uniform = variant("free"), variant("uniform")
    maps = attention_maps(free, random_images())
    torch.testing.assert_close(maps, torch.stack([block.attn.logits for block in free.blocks]).softmax(-1))
    assert maps.shape == (2, 2, 17, 17) and maps.std() > 0.01
    assert (attention_maps(uniform, random_images()) - 1 / 17).abs().max() < 1e-12
    assert not uniform.blocks[0].attn.logits.requires_grad and free.blocks[0].attn.logits.requires_grad


def test_only_known_variants():
    assert set(VARIANTS) == {*CHANGED, "content", "positional"}
    with pytest.raises(ValueError, match=r"variant = 'maks': .* is needed; the nearest: mask"):
        given_transformer("maks", *SHAPE, generator=None)
