import math

import pytest
import torch

from src.structure import Partition
from src.synthetic.baselines import linear_rule_error
from src.synthetic.distribution import SpatialDistribution, random_feature
from src.synthetic.exact import bayes_error, population


@pytest.mark.parametrize(
    ("q", "linear", "bayes", "ties"),
    [(math.log(100) / 20, 0.0784, 0.0255, 0.0499), (math.log(100) / 10, 0.1561, 0.0906, 0.1672)],
)
def test_the_printed_figure_4_fits_half_of_the_q_in_words(q, linear, bayes, ties):
    assert linear_rule_error(10, 2, q) == pytest.approx(linear, abs=5e-5)
    assert bayes_error(10, 2, q) == pytest.approx(bayes, abs=5e-5)
    assert bayes_error(10, 2, q, tie=1.0) == pytest.approx(ties, abs=5e-5)


@pytest.mark.parametrize(("num_patches", "set_size", "q"), [(6, 2, 0.7), (8, 4, 0.9), (9, 3, 0.4)])
def test_population_gives_both_exact_errors(num_patches, set_size, q):
    partition = Partition.random(num_patches, set_size, generator=torch.Generator().manual_seed(1))
    inputs = population(partition, q)
    coefficient, weight = inputs.patches[:, :, 0], inputs.weight
    assert weight.sum() == pytest.approx(1, abs=1e-12)
    total = coefficient.sum(-1)
    linear = (weight * ((total < 0) + 0.5 * (total == 0))).sum()
    assert linear == pytest.approx(linear_rule_error(num_patches, set_size, q), abs=1e-9)
    in_set = coefficient[:, partition.sets].sum(-1)
    decided = (in_set == set_size).sum(-1) - (in_set == -set_size).sum(-1)
    for tie in (0.5, 1.0):
        error = (weight * ((decided < 0) + tie * (decided == 0))).sum()
        assert error == pytest.approx(bayes_error(num_patches, set_size, q, tie=tie), abs=1e-9)


def test_labelling_function_errs_as_the_bayes_rule_does_with_ties_counted_as_errors():
    generator = torch.Generator().manual_seed(2)
    distribution = SpatialDistribution(
        Partition.contiguous(10, 2), random_feature(20, generator=generator), 0.23
    )
    sample = distribution.sample(40_000, generator=generator)
    error = (distribution.labelling_function(sample.patches) != sample.label).double().mean().item()
    exact = bayes_error(10, 2, 0.23, tie=1.0)
    assert abs(error - exact) < 4 * math.sqrt(exact / 40_000)


def test_population_refuses_what_is_too_large():
    with pytest.raises(ValueError, match="num_patches = 32"):
        population(Partition.contiguous(32, 4), 0.4)
