"""What `many-layers` measures of each depth, and what has no value."""

import pytest
import torch

from src.experiments import layers
from src.experiments.study_settings import LayersSettings
from src.synthetic.baselines import linear_rule_error, planted_logits
from src.synthetic.tasks import draw_task
from src.vision.heads import UniformHeads
from src.vision.painted import paint
from src.vision.training import Evaluation
from src.vision.vit import VisionTransformer

SMALL = {
    "num_seeds": 2,
    "depths": [1, 3],
    "num_train": 64,
    "epochs": [1, 2],
    "set_size": 4,
    "distractor_prob": 0.4,
}
SMALL |= {
    "embed_dim": 8,
    "num_heads": 2,
    "mlp_dim": 8,
    "num_test": 40,
    "batch_size": 32,
    "precision": "32-true",
}


def test_every_depth_has_its_scores_by_layer_and_head():
    found = layers.run(LayersSettings(**SMALL))
    for depth in (1, 3):
        for name in ("association", "reading"):
            scores = found.arrays[f"{name}_{depth}_layers"]
            assert scores.shape == (2, depth, 2)
            assert found.metrics[f"best_{name}_{depth}_layers"] == scores.flatten(1).amax(1).tolist()
    assert found.arrays["linear_error"] == linear_rule_error(16, 4, 0.4)


def test_a_depth_is_the_same_whichever_other_is_there():
    both = layers.run(LayersSettings(**SMALL))
    alone = layers.run(LayersSettings(**SMALL | {"depths": [3], "epochs": [2]}))
    assert alone.metrics.items() <= both.metrics.items()


@pytest.fixture
def planted(monkeypatch):
    """The second head of the first of three layers attends to its own set, all others look everywhere alike."""

    def attention(model):
        membership = draw_task(
            0, 0, num_patches=16, set_size=4, patch_dim=12, distractor_prob=0.4, device=torch.device("cpu")
        ).partition
        matrices = torch.rand(3, 2, 16, 16, generator=torch.Generator().manual_seed(0))
        matrices[0, 1] = planted_logits(membership).softmax(-1)
        return matrices

    monkeypatch.setattr(layers, "patch_attention", attention)
    ablated = []

    class Recorded(UniformHeads):
        def __init__(self, model, heads):
            super().__init__(model, heads)
            ablated.append(heads.clone())

    monkeypatch.setattr(layers, "UniformHeads", Recorded)
    return ablated


def test_the_heads_that_associate_are_ablated_and_as_many_others(planted, monkeypatch):
    monkeypatch.setattr(layers, "THRESHOLDS", {"association": 0.8, "reading": 2.0})
    small = SMALL | {"num_seeds": 1, "depths": [3], "epochs": [1]}
    found = layers.run(LayersSettings(**small)).metrics
    assert found["best_association_3_layers"] == [1.0] and found["layer_association_3_layers"] == [1.0]
    chosen, *others = planted
    assert chosen.nonzero().tolist() == [[0, 1]] and len(others) == layers.CHOICES
    assert all(each.sum() == 1 and not each[0, 1] for each in others)
    assert found["layer_reading_3_layers"] == found["loss_reading_3_layers"] == [None]
    assert found["loss_others_reading_3_layers"] == [None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"set_size": 5}, "set_size = 5: a divisor of grid_side² = 16"),
        ({"num_heads": 3}, "num_heads = 3: a divisor of embed_dim = 8"),
        ({"batch_size": 100}, "batch_size = 100: at most num_train = 64"),
        ({"epochs": [1]}, "epochs = .*: a list of 2, one for each of depths"),
        ({"depths": [3, 1]}, "depths = .*: a list of ascending values"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        LayersSettings(**SMALL | changes)


def test_the_loss_is_what_ablating_takes_away_mean_over_the_choices(monkeypatch):
    left = iter([0.6, 0.8])
    monkeypatch.setattr(layers, "evaluate", lambda *_: Evaluation(0.0, next(left), 1))
    model, heads = VisionTransformer(8, 2, 2, 12, 1, 2, 20, "positional"), torch.ones(1, 2, dtype=torch.bool)
    pictures = paint(torch.zeros(1, 16, 12), torch.ones(1), 2)
    assert layers._loss(0.9, model, [heads, ~heads], pictures) == pytest.approx(0.2)
