"""The figures of the study of disordered images draw what the record holds."""

import numpy as np
import pytest

from src.evidence.figures import disorder
from src.experiments.resolve import resolve
from src.workshop.measure import measure

SMALL = {
    "train_limit": 64,
    "patch_size": 4,
    "embed_dim": 8,
    "depth": 1,
    "num_heads": 2,
    "mlp_dim": 8,
    "epochs": 1,
}


@pytest.fixture(scope="module")
def record():
    conditions = ["in_place", "by_image", "warped"]
    return measure(
        "locality-needs-order", resolve("disorder", SMALL | {"num_seeds": 2, "conditions": conditions})
    )


def test_a_column_a_condition_with_the_image_and_the_similarities_of_the_marked_place(record):
    figure = disorder.one_place(record)
    axes = np.array(figure.axes[:9]).reshape(3, 3)
    row, column = disorder.PLACE
    for index, (image, *maps) in enumerate(axes.T):
        assert np.array_equal(image.images[0].get_array(), record.arrays["images"][index])
        assert image.get_title() == ("in place", "by image", "warped")[index]
        for model, drawn in enumerate(maps):
            shown = record.arrays["similarity"][index, model, 4 * row + column]
            assert np.allclose(drawn.images[0].get_array(), shown.reshape(4, 4))
            assert drawn.images[0].get_array()[row, column] == pytest.approx(1.0, abs=1e-5)


def test_every_repetition_is_a_point_of_each_condition(record):
    figure = disorder.what_is_followed(record)
    for axis, model in zip(figure.axes, ("content", "positional"), strict=True):
        _, grid, sources = axis.lines
        names = [f"{{}}_{condition}_{model}" for condition in record.parameters["conditions"]]
        for line, metric in ((grid, "grid"), (sources, "sources")):
            expected = [record.metrics[name.format(metric)] for name in names]
            assert np.allclose(line.get_ydata(), np.array(expected, dtype=float).ravel(), equal_nan=True)
        places = np.round(grid.get_xdata()).reshape(3, 2)
        assert np.array_equal(places, [[0, 0], [1, 1], [2, 2]])
    assert np.isnan(sources.get_ydata()[2:4]).all()  # by image
