"""The figures of the studies draw what the records hold."""

import numpy as np
import pytest

from src.evidence.figures import studies
from src.experiments.resolve import resolve
from src.workshop.measure import measure

FEW = {"num_seeds": 2, "num_samples": 60, "num_test": 40, "patch_dim": 4}


@pytest.fixture(scope="module")
def overlapping():
    return measure(
        "overlapping-sets",
        resolve("overlapping", FEW | {"num_patches": 8, "num_sets": 5, "largest": 5, "steps": 20}),
    )


@pytest.fixture(scope="module")
def phase():
    grid = {"num_patches": 8, "set_sizes": [2, 4], "distractor_probs": [0.1, 0.5, 0.9]}
    grid |= {"patch_counts": [8, 12], "training_sizes": [30, 60]}
    return measure("phase-diagram", resolve("phase", FEW | grid | {"steps": 20}))


def test_the_lines_are_means_over_the_repetitions(overlapping):
    axes = studies.shared_sets(overlapping).axes
    for axis, arm in zip(axes, studies.ARMS, strict=True):
        drawn = axis.lines[0].get_ydata()
        assert np.allclose(drawn, overlapping.arrays[f"spearman_{arm}"].mean(0))
    assert [len(axis.lines) for axis in axes] == [2, 3, 3]  # with the bound of the rule


def test_every_pair_of_patches_is_a_point_and_each_bar_the_mean_of_its_count(overlapping):
    for axis in studies.similarity_by_count(overlapping).axes:
        points, bars = axis.lines
        assert len(points.get_xdata()) == 8 * 7 / 2
        for count, mean in zip(bars.get_xdata(), bars.get_ydata(), strict=True):
            assert mean == pytest.approx(points.get_ydata()[points.get_xdata() == count].mean())


def test_the_maps_show_the_mean_of_each_point_and_cross_what_diverged(phase):
    phase.arrays["association_samples"][1] = np.nan
    first, second, _ = studies.phase_maps(phase).axes
    shown = first.images[0].get_array()
    assert np.allclose(shown, phase.arrays["association_structure"].mean(-1).reshape(2, 3))
    assert [text.get_text() for text in second.texts] == ["×"] and second.texts[0].get_position() == (1, 0)
    assert [label.get_text() for label in first.get_xticklabels()] == ["0.1", "0.5", "0.9"]


def test_the_points_of_the_line_are_the_maps(phase):
    (axis,) = studies.phase_line(phase).axes
    peak, end = axis.lines
    assert np.allclose(end.get_xdata(), 100 * phase.arrays["linear_error_structure"])
    assert np.allclose(end.get_ydata(), phase.arrays["association_structure"].mean(-1))
    assert (peak.get_ydata() >= end.get_ydata()).all()


def test_every_repetition_of_every_form_has_a_line_and_the_bound_is_drawn():
    small = FEW | {"steps": 5, "ranks": [4], "equal_error": 0.1}
    record = measure("parameterization", resolve("parameterization", small))
    figure = studies.error_and_association(record)
    for axis, data in zip(figure.axes, ("gaussian", "cubic", "structured"), strict=True):
        *lines, bound = axis.lines
        assert len(lines) == 3 * 2 and list(bound.get_xdata()) == [10.0, 10.0]
        drawn = np.stack([line.get_xdata() for line in lines[:2]])
        assert np.allclose(drawn, 100 * record.arrays[f"error_{data}_free_gradient_descent"])
