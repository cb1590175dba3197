"""What `sequential-encoding` measures: training raises the monotonicity where it was trained, and windows move."""

import pytest
import torch

from src.common.seeding import child_generator
from src.experiments import sequential_encoding as study
from src.experiments.study_settings import SequentialSettings

SMALL = {
    "side": 4,
    "large_side": 6,
    "embed_dim": 16,
    "num_heads": 2,
    "depth": 1,
    "pivots": 16,
    "candidates": 4,
}


def test_a_training_that_diverges_is_no_result(monkeypatch):
    monkeypatch.setattr(study, "contrastive_loss", lambda encodings, *_: encodings.sum() * torch.nan)
    with pytest.raises(
        ArithmeticError, match="decimal: the loss became nan; a lower learning_rate is needed"
    ):
        study.run(SequentialSettings(**SMALL, steps=4))


def test_the_loss_alone_orders_the_places_that_were_trained():
    before, after = (study.run(SequentialSettings(**SMALL, steps=steps)) for steps in (1, 200))
    for arm in ("decimal", "binary"):
        assert after.metrics[f"m_u_small_{arm}"][0] > max(before.metrics[f"m_u_small_{arm}"][0], 1.8)


def test_places_are_the_small_square_windows_of_its_size_or_all():
    settings, draw = SequentialSettings(**SMALL), child_generator(0, "test")
    assert study._seen_places("small", settings, draw).max() == 3
    assert len(study._seen_places("whole", settings, draw)) == 36
    corners = {tuple(study._seen_places("shifted", settings, draw)[0].tolist()) for _ in range(100)}
    assert corners == {(row, column) for row in range(3) for column in range(3)}


def test_the_map_is_the_middle_place_against_all():
    arrays = study.run(SequentialSettings(**SMALL, steps=1)).arrays
    assert arrays["similarity_whole"].shape == (6, 6)
    assert torch.isclose(arrays["similarity_whole"][2, 2], torch.tensor(1.0))
