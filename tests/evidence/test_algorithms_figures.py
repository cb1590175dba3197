"""The figure of `algorithms` draws what the record holds, and the published medians."""

import numpy as np
import pytest

from src.evidence.figures import algorithms as figures
from src.experiments.resolve import resolve
from src.workshop.measure import measure

SMALL = {"length": 3, "depth": 1, "width": 4, "num_samples": 50, "num_test": 20, "batch_size": 10, "steps": 3}


@pytest.mark.parametrize(("task", "count"), [("all", 5), ("median", 1)])
def test_every_repetition_and_the_median_of_each_task_that_was_run(task, count):
    record = measure("algorithms", resolve("algorithms", SMALL | {"num_seeds": 3, "task": task}))
    axes = figures.error_by_range(record).axes
    names = figures.TASKS if task == "all" else [task]
    assert len(axes) == len(names) == count
    for axis, name in zip(axes, names, strict=True):
        *lines, border = axis.lines
        assert list(border.get_xdata()) == [2.0, 2.0] and axis.get_title() == figures.TASKS[name]
        for kind, drawn in zip(figures.LOOKS, (lines[:5], lines[5:]), strict=True):
            errors = record.arrays[f"error_{kind}_{name}"]
            *runs, middle, published = (line.get_ydata() for line in drawn)
            assert np.allclose(runs, errors) and np.allclose(middle, np.median(errors, 0))
            assert tuple(published) == figures.PUBLISHED[name][kind]
            assert list(drawn[0].get_xdata()) == [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0]


def test_published_medians_are_the_hypothesis_by_a_wide_margin():
    for pair in figures.PUBLISHED.values():
        assert pair["standard"][1] > 300 * pair["positional"][1]
