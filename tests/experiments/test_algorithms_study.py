"""What `algorithms` measures: both kinds of attention on the same lists, and their errors set against each other."""

import numpy as np
import pytest

from src.experiments import algorithms
from src.experiments.study_settings import AlgorithmsSettings

SMALL = {"length": 3, "depth": 1, "width": 4, "num_samples": 50, "num_test": 20, "batch_size": 10, "steps": 4}
SMALL |= {"test_ranges": [4.0, 20.0]}


def test_a_range_as_good_as_that_of_training_is_refused():
    with pytest.raises(ValueError, match=r"ascending values from 1\.01 train_range = 2\.02 on"):
        AlgorithmsSettings(**SMALL | {"test_ranges": [2.0000001]})


def test_the_lead_is_the_ratio_of_the_errors_at_both_ends():
    found = algorithms.run(AlgorithmsSettings(**SMALL, num_seeds=2, task="sort"))
    standard, positional = (found.arrays[f"error_{kind}_sort"] for kind in algorithms.ATTENTIONS)
    assert standard.shape == positional.shape == (2, 3) and list(found.arrays["range"]) == [2.0, 4.0, 20.0]
    for where, column in (("inside", 0), ("outside", 2)):
        lead = np.log10(standard[:, column] / positional[:, column])
        assert found.metrics[f"lead_{where}_sort"] == pytest.approx(list(lead))
    assert (standard[:, 2] > standard[:, 0]).all()


def test_a_repetition_does_not_depend_on_those_beside_it_nor_a_task_on_the_others():
    alone = algorithms.run(AlgorithmsSettings(**SMALL, num_seeds=1, task="min"))
    beside = algorithms.run(AlgorithmsSettings(**SMALL, num_seeds=2, task="all"))
    assert set(alone.metrics) < set(beside.metrics) and len(beside.metrics) == 10
    for name, values in alone.metrics.items():
        assert values == pytest.approx(beside.metrics[name][:1], abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 7}, "width = 7: a multiple of num_heads = 2 is needed; the nearest: 6"),
        ({"test_ranges": [2.0, 4.0]}, "test_ranges = .*: ascending values from 1.01 train_range = 2.02 on"),
        ({"test_ranges": [8.0, 4.0]}, "test_ranges = .*: ascending values from 1.01 train_range = 2.02 on"),
        ({"task": "max"}, "task = 'max': all | sum"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        AlgorithmsSettings(**changes)


def test_lists_beyond_the_range_of_training_have_an_end_outside_it(monkeypatch):
    told, draw = {}, algorithms.draw_numbers

    def drawn(count, n, reach, *, outside, generator):
        told[reach] = outside
        return draw(count, n, reach, outside=outside, generator=generator)

    monkeypatch.setattr(algorithms, "draw_numbers", drawn)
    algorithms.run(AlgorithmsSettings(**SMALL, num_seeds=1, task="sum"))
    assert told == {2.0: 0.0, 4.0: 2.0, 20.0: 2.0}
