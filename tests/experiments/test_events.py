"""What is read off a path of the three numbers: events and the ratio at which growth changes sign."""

import numpy as np
import pytest

from src.experiments.events import _crossing, _events
from src.synthetic.flow import Flow


def test_the_events_of_a_planted_path():
    alpha, gamma, rho = np.array([[0.001, 0.1, 0.2, 0.3], [0, 0.3, 1.0, 2.0], [0, -0.1, -3.0, -3.0]])
    path = Flow(
        np.arange(4.0), alpha, gamma, rho, mass=np.array([0.2, 0.55, 0.6, 0.9])
    )  # half of the way: 0.6
    found = _events(path)
    assert found["gap_before_alpha"] == pytest.approx(
        0.4 / 4
    )  # at half of alpha at association, the second point
    assert found["gamma_lead"] == pytest.approx(-2.0)  # rho moved further than gamma
    assert found["alpha_growth"] == pytest.approx(np.log(1.5))


def test_the_crossing_lies_on_the_line_between_the_last_two_signs():
    growth = np.array([-1.0, 0.5, -1.0, 3.0])
    assert _crossing(np.array([2.0, 3.0, 4.0, 5.0]), growth) == pytest.approx(4.25)
    assert np.isnan(_crossing(np.array([2.0, 3.0]), np.array([-1.0, -0.5])))
