from dataclasses import replace

import numpy as np
import pytest
import torch

from src.structure import Partition
from src.synthetic.distribution import SpatialDistribution, random_feature
from src.synthetic.model import PositionalAttentionModel
from src.synthetic.projected import ProjectedInputs
from src.synthetic.realistic import Run, gradient_descent
from src.synthetic.validated import Course, chosen_on_validation, descend


def test_the_step_is_chosen_on_validation_among_those_within_the_budget():
    logits = torch.zeros(2, 2)
    course = Course(np.array([0, 10, 20]), np.array([0.5, 0.7, 0.9]), np.array([0.1, 0.2, 0.3]), logits)
    other = Course(np.array([0, 10, 20]), np.array([0.5, 0.8, 0.6]), np.array([0.4, 0.5, 0.6]), logits + 1)
    assert chosen_on_validation([course, other], 10) == (1, 0.5)
    assert chosen_on_validation([course, other], 20) == (0, 0.3)


@pytest.fixture(scope="module")
def distribution():
    generator = torch.Generator().manual_seed(0)
    partition = Partition.random(8, 2, generator=generator)
    return SpatialDistribution(partition, random_feature(5, generator=generator), 0.3)


def begin(distribution: SpatialDistribution, lr_value: float) -> Run:
    sample = distribution.sample(60, generator=torch.Generator().manual_seed(1))
    model = PositionalAttentionModel(8, 5, generator=torch.Generator().manual_seed(2))
    return Run(model, sample.patches, sample.label, lr_value, 3.0)


def inputs(distribution: SpatialDistribution) -> list[ProjectedInputs]:
    return [
        ProjectedInputs.draw(distribution, 500, generator=torch.Generator().manual_seed(seed))
        for seed in (3, 4)
    ]


def test_the_course_is_the_plain_descents_and_keeps_the_logits_of_its_best_look(distribution):
    course = descend(
        begin(distribution, 0.01), distribution.feature, *inputs(distribution), budget=35, every=5
    )
    assert course.step.tolist() == [0, 5, 10, 15, 20, 25, 30, 35]
    run = begin(distribution, 0.01)
    trajectory = gradient_descent(
        run.model, run.patches, run.label, steps=35, lr_value=0.01, lr_attention=3.0, record_every=5
    )
    best = int(course.validation.argmax())
    assert torch.allclose(course.logits, trajectory.attention_logits[best], atol=1e-5)
    assert course.validation[best] > course.validation[0]


def test_a_descent_that_diverges_ends_its_course_there(distribution):
    course = descend(
        begin(distribution, 1e6), distribution.feature, *inputs(distribution), budget=40, every=1
    )
    assert course.step[-1] < 40
    assert chosen_on_validation([course], 40)[1] > 0.3  # the start, or a look before it burst


def test_the_look_that_counts_is_the_best_on_validation_not_on_test_inputs(distribution):
    validation = ProjectedInputs.draw(distribution, 501, generator=torch.Generator().manual_seed(3))
    test = replace(
        validation, coefficient=-validation.coefficient, noise=-validation.noise
    )  # all answers wrong
    course = descend(begin(distribution, 0.01), distribution.feature, validation, test, budget=35, every=5)
    assert course.validation[-1] > 0.8 > 0.5 > course.test[-1]
