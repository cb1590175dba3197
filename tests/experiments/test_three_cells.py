"""What `three-cells` measures: the kinds differ in their encodings alone, and none leaves nothing to tell."""

import numpy as np
import pytest
import torch

from src.experiments import cells
from src.experiments.study_settings import KINDS, CellsSettings
from src.vision.cells import ThreeCells
from src.vision.sinusoid import grid_sinusoid

SMALL = {"grid_side": 4, "embed_dim": 8, "num_heads": 2, "mlp_dim": 8, "steps": 20, "num_test": 300}


def models() -> dict[str, torch.nn.Module]:
    settings = CellsSettings(**SMALL)
    return {kind: cells.new_model(kind, settings, torch.Generator().manual_seed(0)) for kind in KINDS}


def test_a_training_that_diverges_is_no_result():
    with pytest.raises(ArithmeticError, match="the loss became nan; a lower learning_rate is needed"):
        cells.run(CellsSettings(**SMALL, num_seeds=1, learning_rate=1e30))


def test_kinds_start_alike_but_for_their_encodings():
    made = models()
    for name, tensor in made["none"].named_parameters():
        if name != "pos_embed":
            assert all(torch.equal(tensor, model.get_parameter(name)) for model in made.values())
    assert not made["none"].pos_embed.any()
    assert torch.equal(made["sinusoid_2d"].pos_embed[0, 1:], grid_sinusoid(4, 8))
    learns = {kind: model.pos_embed.requires_grad for kind, model in made.items()}
    assert learns == {kind: kind in ("learned", "positional") for kind in KINDS}
    assert torch.equal(made["learned"].pos_embed, made["positional"].pos_embed)


def test_without_encodings_every_input_gets_the_same_answer_and_with_them_not():
    source = ThreeCells(4)
    images = source.images(torch.tensor([[0, 5, 11], [14, 3, 6]]))
    for kind, model in models().items():
        one, other = model(images)
        assert torch.allclose(one, other, atol=1e-6) == (kind == "none")


def test_training_leaves_fixed_encodings_and_none_at_chance():
    found = cells.run(CellsSettings(**SMALL, kinds=["none"], num_seeds=2))
    accuracy = found.arrays["accuracy"]
    assert accuracy.shape == (1, 2, cells.LOOKS, 6) and found.arrays["step"][-1] == 20
    assert found.metrics["accuracy_none"] == pytest.approx(accuracy[0, :, -1].mean(-1).tolist())
    assert np.abs(found.metrics["excess_none"]).max() < 0.05
    assert found.metrics.keys() == {"accuracy_none", "excess_none"}


def test_a_grid_of_four_is_learned_with_sinusoids_of_rows_and_columns():
    changes = {"steps": 150, "embed_dim": 16, "mlp_dim": 32, "learning_rate": 0.02}
    settings = CellsSettings(**SMALL | changes, kinds=["none", "sinusoid_2d"])
    assert cells.run(settings).metrics["gain_sinusoid_2d"][0] > 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kinds": ["none", "none"]}, "kinds = .*: a list of different kinds is needed"),
        ({"kinds": ["sinusoid"]}, "kinds = 'sinusoid': .* is needed; the nearest: sinusoid_"),
        ({"embed_dim": 30}, "embed_dim = 30: a multiple of 4 is needed; the nearest: 32"),
        ({"num_heads": 3}, "embed_dim = 32: a multiple of 12 is needed; the nearest: 36"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        CellsSettings(**changes)


def test_leads_are_of_rows_and_columns_and_of_positional_attention():
    chance = ThreeCells(4).chance
    assert cells._metrics({"none": torch.tensor([sum(chance) / 6])}, ThreeCells(4))[
        "excess_none"
    ] == pytest.approx([0])
    accuracy = {"none": 0.5, "learned": 0.6, "sinusoid_1d": 0.7, "sinusoid_2d": 0.9, "positional": 0.65}
    found = cells._metrics({kind: torch.tensor([value]) for kind, value in accuracy.items()}, ThreeCells(4))
    assert found["gain_learned"] == pytest.approx([0.1]) and found["grid_lead"] == pytest.approx([0.2])
    assert found["grid_lead_learned"] == pytest.approx([0.3]) and found["positional_lead"] == pytest.approx(
        [0.05]
    )


def test_a_repetition_trains_on_no_arrangement_of_its_test():
    source, settings = ThreeCells(4), CellsSettings(grid_side=4)
    train, test = (
        {*map(tuple, cells._draw(use, 0, 2000, source, settings).tolist())} for use in ("train", "test")
    )
    assert not train & test
