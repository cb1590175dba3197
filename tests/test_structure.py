import pytest
import torch

from src.structure import Partition, patch_association


def planted(partition: Partition) -> torch.Tensor:
    membership = partition.membership
    return (membership[:, None] == membership).float()


@pytest.mark.parametrize(
    "partition",
    [Partition.contiguous(12, 3), Partition.random(12, 4), Partition.blocks(4, 6, 2)],
    ids=["contiguous", "random", "blocks"],
)
def test_a_partition_holds_each_patch_once_and_membership_inverts_it(partition):
    assert sorted(partition.sets.flatten().tolist()) == list(range(partition.num_patches))
    for index, patches in enumerate(partition.sets):
        assert (partition.membership[patches] == index).all()
    assert partition.num_patches == partition.num_sets * partition.set_size


def test_blocks_are_squares_of_the_grid():
    assert Partition.blocks(4, 4, 2).sets.tolist() == [
        [0, 1, 4, 5],
        [2, 3, 6, 7],
        [8, 9, 12, 13],
        [10, 11, 14, 15],
    ]


def test_random_partition_follows_its_generator():
    draw = [Partition.random(20, 5, generator=torch.Generator().manual_seed(seed)).sets for seed in (0, 0, 1)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])


def test_planted_attention_has_association_one_and_another_sets_attention_the_floor():
    partition = Partition.random(24, 4, generator=torch.Generator().manual_seed(0))
    assert (patch_association(planted(partition), partition) == 1).all()
    next_set = (partition.membership[:, None] + 1) % 6 == partition.membership
    assert (patch_association(next_set.float(), partition) == 1 / 4).all()


def test_the_diagonal_counts_first_however_low_it_is():
    partition = Partition.contiguous(4, 2)
    logits = torch.tensor([[-9.0, 1, 0, 0], [0, -9, 1, 0], [0, 0, -9, 1], [1, 0, 0, -9]])
    assert patch_association(logits, partition).tolist() == [1, 0.5, 1, 0.5]


def test_association_counts_the_largest_entries_as_its_definition_says():
    generator = torch.Generator().manual_seed(1)
    partition = Partition.random(15, 5, generator=generator)
    logits = torch.randn(15, 15, generator=generator)
    for i, score in enumerate(patch_association(logits, partition)):
        others = sorted((j for j in range(15) if j != i), key=lambda j: -logits[i, j])
        top = [i, *others[:4]]
        own = next(s for s in partition.sets.tolist() if i in s)
        assert score == pytest.approx(len(set(top) & set(own)) / 5)


def test_relabelling_patches_and_partition_together_changes_nothing():
    generator = torch.Generator().manual_seed(2)
    partition, order = Partition.random(12, 3, generator=generator), torch.randperm(12, generator=generator)
    logits = torch.randn(12, 12, generator=generator)
    relabelled = Partition(order.argsort()[partition.sets])
    score = patch_association(logits[order][:, order], relabelled)
    assert torch.equal(score, patch_association(logits, partition)[order])


def test_by_value_the_diagonal_competes_as_every_entry_does():
    partition = Partition.contiguous(6, 3)
    logits = planted(partition).fill_diagonal_(-1.0)  # a row's own patch is the lowest of all
    assert (patch_association(logits, partition) == 1).all()
    assert torch.allclose(patch_association(logits, partition, by_value=True), torch.tensor(2 / 3))


def test_the_strict_score_is_nowhere_above_the_one_that_counts_the_diagonal_first():
    generator = torch.Generator().manual_seed(3)
    partition = Partition.random(16, 4, generator=generator)
    logits = torch.randn(200, 16, 16, generator=generator)
    strict = patch_association(logits, partition, by_value=True)
    assert (strict <= patch_association(logits, partition)).all()
    assert strict.mean().item() == pytest.approx(4 / 16, abs=0.02)  # chance: C / D


def test_a_product_of_encodings_cannot_keep_every_patch_out_of_its_own_top():
    generator = torch.Generator().manual_seed(4)
    partition = Partition.random(12, 3, generator=generator)
    for rank in (2, 5, 12):
        encoding = torch.randn(rank, 12, generator=generator)
        longest = encoding.norm(dim=0).argmax()
        assert patch_association(encoding.T @ encoding, partition, by_value=True)[longest] >= 0.33


def test_association_of_a_stack_is_that_of_each():
    partition, logits = Partition.contiguous(6, 3), torch.randn(5, 6, 6)
    assert torch.equal(patch_association(logits, partition)[3], patch_association(logits[3], partition))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: Partition.contiguous(32, 5),
            "set_size = 5 does not divide num_patches = 32; the nearest that does: 4",
        ),
        (
            lambda: Partition.random(32, 0),
            "set_size = 0 does not divide num_patches = 32; the nearest that does: 1",
        ),
        (lambda: Partition.contiguous(0, 1), "num_patches = 0: an integer >= 1 is needed"),
        (lambda: Partition.blocks(8, 9, 2), "block = 2 does not divide width = 9; the nearest that does: 1"),
        (lambda: Partition(torch.tensor([[0, 1], [1, 2]])), "each patch 0 … 3 is needed exactly once"),
        (
            lambda: patch_association(torch.zeros(4, 4), Partition.contiguous(6, 3)),
            r"attention_logits has shape \(4, 4\); \(…, D, D\) = \(6, 6\) is needed",
        ),
    ],
)
def test_wrong_input_is_one_clear_line(make, text):
    with pytest.raises(ValueError, match=text):
        make()
