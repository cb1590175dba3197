"""Figure 5a: networks start alike at every side of the blocks, and only the order of the blocks differs."""

import pytest
import torch

from src.experiments import permuted_blocks
from src.experiments.settings import LocalitySettings
from src.vision.training import Evaluation, TrainingHistory

SETTINGS = LocalitySettings(embed_dim=8, depth=1, mlp_dim=8)


@pytest.mark.parametrize("network", permuted_blocks.NETWORKS)
def test_a_network_is_the_same_at_every_side_and_another_in_the_next_repetition(network):
    first, again, other = (permuted_blocks._new(SETTINGS, network, 10, index) for index in (0, 0, 1))
    assert all(map(torch.equal, first.parameters(), again.parameters()))
    assert not all(map(torch.equal, first.parameters(), other.parameters()))


@pytest.mark.parametrize("network", permuted_blocks.NETWORKS)
@pytest.mark.parametrize("size", [16, 32])
def test_every_network_takes_small_images(network, size):
    settings = SETTINGS.changed(image_size=size, block_sides=[2, size])
    model = permuted_blocks._new(settings, network, 7, 0)
    assert model(torch.zeros(2, 3, size, size)).shape == (2, 7)


def test_drawing_a_network_leaves_the_global_stream_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    permuted_blocks._new(SETTINGS, "vgg", 7, 0)
    assert torch.equal(torch.rand(1), expected)


def test_the_whole_image_is_not_permuted_and_smaller_blocks_are():
    assert permuted_blocks._order(SETTINGS, 16, 0).tolist() == [0]
    order = permuted_blocks._order(SETTINGS, 2, 0)
    assert sorted(order.tolist()) == list(range(64)) and order.tolist() != list(range(64))


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        ([3, 16], "a divisor of image_size = 16"),
        ([0, 16], "a divisor"),
        ([8, 4], "the nearest: [4, 8, 16]"),
        ([4, 8], "ends with image_size = 16"),
        ([16], "ends with image_size = 16"),
    ],
)
def test_sides_that_do_not_fit_are_refused_by_name(sides, said):
    with pytest.raises(ValueError, match="block_sides = ") as refusal:
        LocalitySettings(block_sides=sides)
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("patch", "size", "sides"), [(2, 16, [2, 4, 8, 16]), (4, 28, [4, 28]), (7, 28, [7, 14, 28]), (8, 8, [8])]
)
def test_sides_that_are_not_given_are_a_patch_and_its_doubles(patch, size, sides):
    assert permuted_blocks._doubled(patch, size) == sides


def test_an_image_that_is_one_patch_has_nothing_to_permute(unchecked):
    with pytest.raises(
        ValueError, match="patch_size = 16: a divisor of image_size = 16, below it, is needed"
    ):
        permuted_blocks.run(SETTINGS.changed(patch_size=16))


def test_images_too_small_for_vgg_are_refused_before_any_is_loaded(monkeypatch):
    monkeypatch.setattr(permuted_blocks, "load", None)  # it would be called
    with pytest.raises(ValueError, match=r"^image_size = 12: at least 16, .* is needed; the nearest: 18$"):
        permuted_blocks.run(SETTINGS.changed(image_size=12, patch_size=3))


def test_blocks_cost_what_the_whole_image_has_more(monkeypatch):
    accuracy = {16: 0.3, 4: 0.6, 1: 0.7}  # by number of blocks
    history = TrainingHistory(validation_accuracy=[0.5], images_per_second=[1.0])
    monkeypatch.setattr(permuted_blocks, "_new", lambda *_: torch.nn.Identity())
    monkeypatch.setattr(permuted_blocks, "fit", lambda *_, **__: history)
    monkeypatch.setattr(
        permuted_blocks, "evaluate", lambda model, _: Evaluation(0.0, accuracy[len(model.permutation)], 1)
    )
    settings = LocalitySettings(
        embed_dim=8, depth=1, mlp_dim=8, num_seeds=1, epochs=1, patch_size=4, block_sides=[4, 8, 16]
    )
    found = permuted_blocks.run(settings).metrics
    assert found["blocks_loss_resnet"] == pytest.approx([0.4]) and found["least_step_vgg"] == pytest.approx(
        [0.1]
    )
