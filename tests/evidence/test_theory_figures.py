"""The figures of Figure 2, of the linear rules and of transfer draw what their records hold."""

import numpy as np
import pytest

from src.evidence.figures import gaussian, synthetic
from src.evidence.paper_figures import paper_figure
from src.experiments.resolve import resolve
from src.workshop.measure import measure


@pytest.fixture(scope="module")
def figure_2_record():
    small = {
        "patch_dim": 5,
        "num_samples": 60,
        "num_test": 40,
        "figure_steps": 25,
        "steps": 5,
        "ranks": [16, 2],
    }
    return measure("gaussian", resolve("figures", small))


def test_figure_2_has_our_curves_and_the_papers_values_as_marks(figure_2_record):
    error, association, matrix, _ = gaussian.figure_2(figure_2_record).axes
    arrays = figure_2_record.arrays
    assert any(np.allclose(line.get_ydata(), arrays["figure_error_gaussian"].mean(0)) for line in error.lines)
    printed = paper_figure("2")
    marks = [line for line in error.lines if line.get_marker() == "x"]
    assert marks[0].get_xdata().tolist() == printed["test_error"]["step"]
    assert marks[0].get_ydata() == pytest.approx(np.array(printed["test_error"]["percent"]) / 100)
    marks = [line for line in association.lines if line.get_marker() == "x"]
    assert marks[0].get_ydata().tolist() == [printed["matrix"]["association"]]
    chance = [line for line in association.lines if line.get_linestyle() == "--"]
    assert chance[0].get_ydata()[0] == pytest.approx(printed["matrix"]["chance"])
    assert np.array_equal(matrix.images[0].get_array(), arrays["figure_logits"][0])


def test_the_study_draws_each_way_of_making_logits_by_optimizer_and_data(figure_2_record):
    figure = gaussian.what_decides(figure_2_record)
    assert len(figure.axes) == 6
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["free A", "symmetric A", "PᵀP, rank 16", "PᵀP, rank 2"]
    drawn = figure.axes[5].lines[2].get_ydata()
    assert np.allclose(drawn, figure_2_record.arrays["association_structured_gram16_adam"].mean(0))


@pytest.mark.parametrize(("side", "sets"), [(2, 4), (7, 49)])
def test_a_grid_with_one_set_size_is_drawn_without_contours_and_each_set_in_its_own_colour(side, sets):
    small = {"num_seeds": 1, "grid_side": side, "block": 1, "patch_dim": 2, "num_samples": 4}
    record = measure("structure", resolve("01_dataset", small))
    assert len(record.arrays["set_sizes"]) == 1
    synthetic.linear_error(record).canvas.draw()
    for axis in synthetic.partitions(record).axes:
        assert len(np.unique(axis.images[0].get_array())) == sets
