"""SeqPE's encoder and loss: digits, causality, and the loss against a loop."""

import pytest
import torch

from src.vision.sequential import EncodingTable, SequentialEncoder, contrastive_loss, digits, square


def test_digits_are_those_of_the_number_with_zeros_on_the_left():
    places = torch.tensor([[2, 13], [10, 7]])
    assert digits(places, 10, 2).tolist() == [[[0, 2], [1, 3]], [[1, 0], [0, 7]]]
    for row, found in zip(places.tolist(), digits(places, 2, 4).tolist(), strict=True):
        assert ["".join(map(str, each)) for each in found] == [f"{number:04b}" for number in row]


def test_a_square_is_row_by_row_from_its_corner():
    assert square(2, (3, 5)).tolist() == [[3, 5], [3, 6], [4, 5], [4, 6]]


def test_places_with_other_digits_have_other_encodings_and_the_order_of_places_does_not_matter():
    torch.manual_seed(0)
    encoder, places = SequentialEncoder(10, 2, 16, 2, 4), square(12)
    encodings = encoder(places)
    assert encodings.shape == (144, 16)
    assert torch.pdist(encodings.detach()).min() > 1e-3
    assert torch.allclose(encoder(places.flip(0)).flip(0), encodings, atol=1e-6)


def test_the_reader_is_causal():
    torch.manual_seed(0)
    encoder = SequentialEncoder(10, 2, 16, 2, 4)
    heard = []
    hook = encoder.reader.layers[-1].register_forward_hook(lambda *parts: heard.append(parts[-1]))
    encoder(torch.tensor([[1, 2]]))
    encoder(torch.tensor([[1, 9]]))  # only the last digit differs
    hook.remove()
    assert torch.allclose(heard[0][:, :3], heard[1][:, :3], atol=1e-6)
    assert not torch.allclose(heard[0][:, 3], heard[1][:, 3])


def test_the_table_keeps_one_row_a_place():
    table = EncodingTable(4, 8)
    assert torch.equal(table(torch.tensor([[1, 2]]))[0], table.norm(table.table.weight[6]))


def test_the_loss_is_the_cross_entropy_of_the_nearest_candidate():
    torch.manual_seed(0)
    places, encodings = square(5), torch.randn(25, 8)
    pivots = torch.randint(25, (7,))
    candidates = torch.randint(25, (7, 6))
    total = 0.0
    for pivot, row in zip(pivots, candidates, strict=True):
        away = [(places[each] - places[pivot]).float().norm().item() for each in row]
        logits = torch.stack([encodings[pivot] @ encodings[each] for each in row])
        total -= logits.log_softmax(0)[away.index(min(away))].item()
    loss = contrastive_loss(encodings, places, pivots, candidates)
    assert loss.item() == pytest.approx(total / 7, rel=1e-5)
