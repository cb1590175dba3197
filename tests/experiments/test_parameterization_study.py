"""What `parameterization` measures: association where errors are equal, and whether counts differ by chance."""

import numpy as np
import pytest

from src.experiments import parameterization as study
from src.experiments.study_settings import ParameterizationSettings
from src.synthetic.divergence import DivergenceError


def test_a_repetition_counts_at_its_first_step_of_that_error_and_not_later():
    course = {
        "error": np.array([[0.5, 0.04, 0.01], [0.5, 0.06, 0.03], [0.5, 0.3, 0.2]]),
        "association": np.array([[0.4, 0.5, 1.0], [0.4, 0.5, 0.9], [1.0, 1.0, 1.0]]),
    }
    assert study.at_equal_error(course, 0.04) == ([0.0, 1.0, None], [0.04, 0.03, None])


@pytest.mark.parametrize(
    ("more", "fewer", "p"),
    [
        ([1.0] * 5, [0.0] * 5, 1 / 252),  # one of the ways to choose 5 of 10
        ([0.0] * 5, [1.0] * 5, 1.0),
        ([1.0] * 5 + [None], [0.0] * 5, 1 / 252),
    ],
)
def test_fishers_test_counts_the_ways(more, fewer, p):
    assert study.fisher_p(more, fewer) == pytest.approx(p)


@pytest.mark.parametrize(("more", "fewer"), [([1.0] * 4, [0.0] * 4), ([1.0] * 9, [None]), ([], [1.0] * 9)])
def test_too_few_repetitions_have_no_p(more, fewer):
    """Four of four against none of four come by chance once in 70."""
    assert study.fisher_p(more, fewer) is None


def test_a_descent_that_diverges_keeps_its_course():
    wild = {"num_seeds": 1, "num_samples": 40, "num_test": 20, "patch_dim": 4, "steps": 60, "ranks": [4]}
    with pytest.raises(
        DivergenceError, match="a descent on gaussian data diverged; smaller step sizes"
    ) as caught:
        study.run(ParameterizationSettings(**wild, lr_value=1e30))
    assert not caught.value.arrays()["loss"].isfinite().all()


def test_every_form_is_measured_on_every_kind_of_data():
    few = {"num_seeds": 1, "num_samples": 40, "num_test": 20, "patch_dim": 4, "steps": 3, "ranks": [4]}
    measured = study.run(ParameterizationSettings(**few))
    forms = {name.removeprefix("associated_") for name in measured.metrics if name.startswith("associated_")}
    assert forms == {
        f"{data}_{form}_{way}"
        for data in study.DATA
        for form in ("free", "symmetric", "gram4")
        for way in ("gradient_descent", "adam")
    }
    assert measured.metrics.keys() >= {f"error_there_{form}" for form in forms}
    assert measured.arrays["association_cubic_gram4_adam"].shape == (1, len(measured.arrays["step"]))


def test_the_memory_holds_the_logits_of_every_step():
    few, many = (ParameterizationSettings(num_seeds=2, grid_side=8, steps=steps) for steps in (100, 1100))
    assert many.memory_bytes() - few.memory_bytes() >= 1000 * 2 * 64**2 * 4
