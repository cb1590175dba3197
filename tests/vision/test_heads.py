"""What is read from the heads of a ViT, and what ablating them does."""

import pytest
import torch

from src.structure import Partition
from src.synthetic.baselines import planted_logits
from src.vision import attention as equation
from src.vision.augment import normalize
from src.vision.heads import UniformHeads, as_many_others, patch_attention, set_reading
from src.vision.painted import paint
from src.vision.vit import VisionTransformer


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model():
    model = VisionTransformer(8, 2, 2, 12, 3, 2, 20, "positional", generator=seeded())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=seeded(1)) * 0.3)
    return model


@pytest.fixture
def partition():
    return Partition.random(16, 4, generator=seeded())


def test_a_painted_picture_holds_every_patch_at_its_place():
    patches = torch.randn(3, 16, 12, generator=seeded()) / 12**0.5
    painted = paint(patches, torch.tensor([1.0, -1.0, 1.0]), 2)
    images, labels = painted
    assert images.dtype == torch.uint8 and labels.tolist() == [1, 0, 1]
    back = normalize(images, painted.mean, painted.std)
    for j in range(16):
        row, column = 2 * (j // 4), 2 * (j % 4)
        seen = back[:, :, row : row + 2, column : column + 2].flatten(1)
        # half a level of 255, in units of the standard deviation
        assert torch.allclose(seen, 12**0.5 * patches[:, j], atol=0.5 / 255 / 0.1 + 1e-5)


@pytest.mark.parametrize(
    ("shape", "message"), [((1, 15, 12), "a square, 16"), ((1, 16, 48), "= 12 is needed")]
)
def test_what_cannot_be_painted_is_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        paint(torch.zeros(shape), torch.ones(1), 2)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_row_that_reads_a_whole_set_scores_1_whichever_it_is(partition, shift):
    assert (set_reading(planted_logits(partition, shift=shift, diagonal=-1.0), partition) == 1).all()


def test_a_row_scores_the_largest_share_of_any_set(partition):
    logits = torch.randn(5, 16, 16, generator=seeded())
    found = set_reading(logits, partition)
    membership = partition.membership.tolist()
    for head, scores in zip(logits, found, strict=True):
        for i, row in enumerate(head):
            order = sorted(set(range(16)) - {i}, key=lambda j: -row[j])
            top = [membership[j] for j in order]
            own = 1 + top[:3].count(membership[i])
            others = [top[:4].count(each) for each in range(4) if each != membership[i]]
            assert scores[i] == max(own, *others) / 4


def test_with_no_head_chosen_nothing_changes(model):
    images = torch.randn(4, 3, 8, 8, generator=seeded())
    same = UniformHeads(model, torch.zeros(3, 2, dtype=torch.bool))(images)
    assert torch.allclose(same, model(images), atol=1e-5)


def test_a_chosen_head_is_uniform_in_the_equation(model, monkeypatch):
    """The slow reference: the equation, layer by layer, with one matrix of one layer overwritten."""
    images, seen, given = torch.randn(4, 3, 8, 8, generator=seeded()), [], equation.attention_matrix
    heads = torch.zeros(3, 2, dtype=torch.bool)
    heads[1, 0] = True
    ablated = UniformHeads(model, heads)(images)

    def overwritten(query, key):
        matrices = given(query, key).clone()
        if len(seen) == 1:
            matrices[:, 0] = 1 / matrices.shape[-1]
        seen.append(matrices)
        return matrices

    monkeypatch.setattr(equation, "attention_matrix", overwritten)
    expected, shown = model.reference(images)
    assert torch.allclose(ablated, expected, atol=1e-5)
    assert not torch.allclose(ablated, model(images), atol=1e-3)
    assert torch.allclose(patch_attention(model)[0], shown.attention[0][0, :, 1:, 1:], atol=1e-6)


def test_the_others_are_as_many_and_never_the_chosen_ones():
    heads = torch.zeros(3, 4, dtype=torch.bool)
    heads[0] = True
    drawn = as_many_others(heads, 20, generator=seeded())
    assert len(drawn) == 20 and len({tuple(each.flatten().tolist()) for each in drawn}) > 10
    assert all(each.sum() == 4 and not (each & heads).any() for each in drawn)
    assert [each.sum() for each in as_many_others(heads | True, 2, generator=seeded())] == []
    few = as_many_others(torch.tensor([[True, True, False]]), 2, generator=seeded())
    assert [each.tolist() for each in few] == [[[False, False, True]]] * 2
    assert as_many_others(heads & False, 2, generator=seeded()) == []
