import math

import numpy as np
import pytest
import torch

from src.experiments import over_training
from src.experiments.over_training import _descend, _lifetime
from src.experiments.settings import LIFETIME_TEST, OverTrainingSettings

MARKS = np.array([1, 10, 100, 1000])


def test_association_lasts_until_the_first_mark_at_which_it_is_lost_again():
    association = np.array(
        [
            [0.3, 1.0, 0.9, 0.5],  # lost at 100
            [0.3, 0.96, 1.0, 0.96],  # never lost: followed to 1,000
            [0.3, 0.6, 0.9, 0.6],  # never there
            [1.0, 0.9, 1.0, 1.0],  # lost at 10, though it comes back
        ]
    )
    assert _lifetime(association, MARKS).tolist() == [100, 1000, 0, 10]
    assert np.isnan(_lifetime(np.array([0.3, 1.0, 0.5, np.nan]), MARKS))  # it diverged


@pytest.mark.parametrize(("lr_value", "diverges"), [(1e30, True), (0.001, False)])
def test_a_descent_that_diverges_has_neither_lifetime_nor_accuracy(lr_value, diverges):
    sizes = {"num_patches": 8, "set_size": 2, "num_seeds": 2, "lifetime_samples": 10, "lifetime_steps": 20}
    settings = OverTrainingSettings(**sizes, lr_value=lr_value)
    association, accuracy = _descend(settings, 1.0, True, np.array([1, 20]))
    assert association.isfinite().tolist() == [[True, not diverges]] * 2
    assert accuracy.isfinite().tolist() == [not diverges] * 2


def test_a_constant_rate_amplifies_by_one_plus_step_times_rate_an_iteration(monkeypatch):
    monkeypatch.setattr(over_training, "row_growth", lambda *_: (torch.tensor(0.01), None))
    settings = OverTrainingSettings(num_patches=8, set_size=2, lifetime_steps=40)
    found = over_training._log_amplification(settings, 1.0)
    assert found == pytest.approx(40 * math.log1p(0.01 * settings.lr_attention))


SIZES = {"num_patches": 8, "set_size": 2, "num_seeds": 1, "lifetime_samples": 10, "lifetime_steps": 12}


@pytest.mark.parametrize("fresh", [False, True])
def test_a_fixed_sample_is_seen_again_a_fresh_one_once_and_accuracy_is_on_neither(monkeypatch, fresh):
    seen, follow = [], over_training._follow

    def watched(settings, models, samples, marks):
        samples = (seen.append(each) or each for each in samples)
        return follow(settings, models, samples, marks)

    measured, forward = [], over_training.PositionalAttentionModel.forward
    monkeypatch.setattr(over_training, "_follow", watched)
    monkeypatch.setattr(
        over_training.PositionalAttentionModel,
        "forward",
        lambda self, x: measured.append(x) or forward(self, x),
    )
    over_training._descend(OverTrainingSettings(**SIZES), 1.0, fresh, np.array([1, 12]))
    assert torch.equal(seen[0][0], seen[1][0]) is not fresh
    assert [each.shape[1] for each in measured] == [LIFETIME_TEST]
