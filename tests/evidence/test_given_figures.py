"""The figures of structure that is given draw what the record holds."""

import numpy as np
import pytest

from src.evidence.figures import given
from src.evidence.verdicts import t_interval
from tests.records import record

VARIANTS = ["content", "mask", "positional", "free", "uniform"]


@pytest.fixture
def made():
    draw = np.random.default_rng(0)
    metrics = {
        f"accuracy_{size}_{name}": list(draw.uniform(0.3, 0.5, 3))
        for size in ("few", "all")
        for name in VARIANTS
    }
    profiles = {f"profile_{size}": draw.uniform(0.5, 2, (5, 3, 4)) for size in ("few", "all")}
    return record(
        metrics,
        parameters={"seed": 0, "num_seeds": 3, "variants": VARIANTS, "share": 0.1},
        arrays=profiles | {"distance": np.array([0.0, 1.0, 1.4, 2.0])},
    )


def test_each_variant_shows_its_repetitions_interval_and_mean(made):
    axes = given.accuracy_by_variant(made).axes
    assert [label.get_text() for label in axes[0].get_yticklabels()] == [
        "Gaussian mask", "content", "positional", "free matrix", "uniform",
    ]  # fmt: skip
    for axis, size in zip(axes, ("few", "all"), strict=True):
        points, interval, mean = axis.lines[3:6]  # of the second row
        values = 100 * np.array(made.metrics[f"accuracy_{size}_content"])
        assert np.allclose(points.get_xdata(), values) and set(points.get_ydata()) == {1}
        assert np.allclose(interval.get_xdata(), t_interval(list(values), 0.95))
        assert mean.get_xdata() == pytest.approx(values.mean())
        assert axis.lines[-1].get_xdata()[0] == pytest.approx(values.mean())
    assert [axis.get_title() for axis in axes] == ["10 % of the images", "all images"]


def test_one_repetition_has_no_interval(made):
    for values in made.metrics.values():
        del values[1:]
    assert len(given.accuracy_by_variant(made).axes[0].lines) == 2 * 5 + 1


def test_the_lines_are_the_profiles_and_uniform_attention_is_the_line_at_one(made):
    for axis, size in zip(given.reach(made).axes, ("few", "all"), strict=True):
        *lines, uniform = axis.lines
        for line, name in zip(lines, ("mask", "content", "positional", "free"), strict=True):
            expected = made.arrays[f"profile_{size}"][VARIANTS.index(name)].mean(0)
            assert np.allclose(line.get_ydata(), expected)
        assert list(uniform.get_ydata()) == [1, 1]
