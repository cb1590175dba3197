"""The figures of several layers draw what the record holds."""

import numpy as np
import pytest

from src.evidence.figures import layers as figures
from src.experiments.resolve import resolve
from src.workshop.measure import measure

SMALL = {"num_seeds": 2, "depths": [1, 3], "num_train": 64, "epochs": [1, 1], "embed_dim": 8, "num_heads": 2}
SMALL |= {"grid_side": 4, "set_size": 4, "mlp_dim": 8, "num_test": 40, "batch_size": 32}


@pytest.fixture(scope="module")
def record():
    return measure("many-layers", resolve("layers", SMALL))


def test_each_layer_is_a_row_and_each_head_a_column(record):
    *axes, _ = figures.heads_by_layer(record).axes
    shown = iter(axes)
    for depth in (1, 3):
        for name in ("association", "reading"):
            drawn = next(shown).images[0].get_array()
            assert np.allclose(drawn, record.arrays[f"{name}_{depth}_layers"][0])


def test_the_points_are_the_repetitions_and_what_has_no_value_has_none(record):
    record.metrics["loss_association_3_layers"][:] = [0.25, None]
    record.metrics["accuracy_3_layers"][:] = [0.75, 0.8]
    axis = figures.ablated_heads(record).axes[1]
    whole, without, *_, linear, bayes = axis.lines
    assert np.allclose(whole.get_ydata(), [75.0, 80.0]) and np.allclose(without.get_ydata(), [50.0])
    assert np.allclose(linear.get_ydata(), 100 - 100 * record.arrays["linear_error"])
    assert np.allclose(bayes.get_ydata(), 100 - 100 * record.arrays["bayes_error"])
