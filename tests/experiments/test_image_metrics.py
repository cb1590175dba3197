"""What the experiments on images report: on which images, of which model, and with which sign."""

import pytest
import torch
from torch import nn

from src.experiments import images
from src.experiments.images import Trained
from src.experiments.settings import ImagesSettings
from src.vision.images import load_images
from src.vision.probes import attention_distance, grid_distance
from src.vision.training import TrainingHistory

TINY = ImagesSettings(
    num_seeds=1, patch_size=4, embed_dim=8, depth=1, mlp_dim=8, epochs=1, train_limit=64, permute=False
)


@pytest.mark.parametrize("split", ["test", "validation"])
def test_accuracy_is_measured_on_the_images_of_eval_split_alone(monkeypatch, split):
    measured, evaluate = [], images.evaluate
    monkeypatch.setattr(
        images, "evaluate", lambda model, data: measured.append(data) or evaluate(model, data)
    )
    images.run(TINY.changed(eval_split=split, image_size=8))
    asked = load_images("digits", split=split).digest()
    assert [each.digest() for each in measured] == [asked] * 2


def planted(accuracy: float, *similarities: torch.Tensor) -> Trained:
    return Trained(nn.Identity(), 0, TrainingHistory(observations=dict(enumerate(similarities))), accuracy)


def test_the_gap_is_vanilla_minus_positional_and_locality_goes_from_before_to_after():
    near = -grid_distance((4, 4)).float()
    runs = {"content": [planted(0.7, -near, near)], "positional": [planted(0.6, -near, near)]}
    found = images._metrics(runs, (4, 4)) | images._mantel(TINY, runs, (4, 4))
    assert found["accuracy_gap"] == pytest.approx([0.1])
    for kind in runs:
        assert found[f"locality_before_{kind}"] == pytest.approx([-1])
        assert found[f"locality_{kind}"] == pytest.approx([1])
        assert found[f"mantel_p_{kind}"] == [1 / 1000]


def test_permuting_costs_what_the_plain_model_has_more():
    near, kinds = -grid_distance((4, 4)).float(), ("content", "positional", "convnet")
    runs = {
        kind + order: [planted(value, near)]
        for kind in kinds
        for order, value in (("", 0.7), ("_permuted", 0.4))
    }
    found = images._metrics(runs, (4, 4))
    assert [found[f"loss_{kind}"] for kind in kinds] == [pytest.approx([0.3])] * 3


def test_distances_by_head_are_of_content_then_positional_attention():
    found = images.run(TINY.changed(image_size=8)).arrays
    for index, kind in enumerate(("content", "positional")):
        expected = attention_distance(found[f"attention_{kind}"], (2, 2))
        assert torch.equal(found["distance_by_head"][index], expected)


def test_repetitions_have_starts_and_orders_of_their_own():
    for name, (one, other) in images.new_models(
        TINY.changed(num_seeds=2, permute=True), "content", 10
    ).items():
        assert not torch.equal(one.network.head.weight, other.network.head.weight)
        same = torch.equal(one.model.permutation, other.model.permutation)
        assert same == (name == "content") and one.seed != other.seed


def test_every_setting_of_the_training_reaches_it():
    values = {"epochs": 7, "batch_size": 9, "learning_rate": 0.07, "weight_decay": 0.3, "warmup_epochs": 0.7}
    values |= {"label_smoothing": 0.2, "gradient_clip": 0.4, "precision": "32-true"}
    mixing = {"mixup": 0.3, "cutmix": 0.6}
    how = images.training_settings(TINY.changed(**values, **mixing))
    assert {name: getattr(how, name) for name in values} == values
    assert {name: getattr(how.augmentation, name) for name in mixing} == mixing
