"""The figures of the probes draw what the record holds."""

import numpy as np
import pytest

from src.evidence.figures import probes
from src.experiments.resolve import resolve
from src.workshop.measure import measure

FEW = {"num_seeds": 2, "embed_dim": 8, "mlp_dim": 8, "depth": 1, "epochs": 1, "train_limit": 64}


@pytest.fixture(scope="module")
def record():
    return measure("spatial-probes", resolve("probes", FEW | {"probe_images": 20}))


@pytest.mark.parametrize(
    ("draw", "measures"),
    [
        (probes.structure_by_layer, ("lds", "cds", "rmsc")),
        (probes.read_back, ("readback", "dropped")),
        (probes.fixed_pattern, ("share", "common", "cosine")),
    ],
)
def test_each_line_is_the_mean_of_its_model(record, draw, measures):
    for axis, name in zip(draw(record).axes, measures, strict=True):
        lines = {line.get_label(): line.get_ydata() for line in axis.lines if line.get_label()[0] != "_"}
        models = ("content",) if name == "dropped" else probes.MODELS
        for model in models:
            for label, key in (
                (f"{model}, untrained", f"before_{model}"),
                (model, f"after_{model}"),
                (f"{model}, permuted", f"after_{model}_permuted"),
            ):
                expected = record.arrays[f"{name}_{key}"].mean(0)
                assert np.allclose(lines.pop(label), expected, equal_nan=True)
        assert not lines


def test_chance_is_drawn(record):
    for axis in probes.read_back(record).axes:
        (chance,) = [line for line in axis.lines if line.get_label()[0] == "_"]
        assert list(chance.get_ydata()) == [1 / 64, 1 / 64]
