"""What `phase-diagram` measures: each cell is the descent that it says, and what has no value is left out."""

import numpy as np
import pytest
import torch

from src.experiments import phase
from src.experiments.study_settings import PhaseSettings
from src.synthetic.baselines import linear_rule_error
from src.synthetic.exact import bayes_error
from src.synthetic.measures import association
from src.synthetic.realistic import gradient_descent
from src.synthetic.tasks import draw_task

SMALL = {"num_patches": 16, "set_sizes": [2, 4], "distractor_probs": [0.2, 0.6], "num_samples": 200}
SMALL |= {"patch_counts": [8, 16], "training_sizes": [100, 200], "num_test": 200, "steps": 40}


def test_a_cell_is_the_descent_of_its_task_with_steps_that_follow_the_size():
    settings = PhaseSettings(**SMALL, num_seeds=1)
    found = phase.run(settings)
    sets = {"num_patches": 16, "set_size": 4, "patch_dim": 16, "distractor_prob": 0.6}
    task = draw_task(0, 0, **sets, device=torch.device("cpu"))
    run = task.run(task.sample("train", 200), 200, 0.001 * 4, 50.0 / 4)
    course = gradient_descent(run.model, run.patches, run.label, steps=40, lr_value=0.004, lr_attention=12.5)
    expected = association(course.attention_logits[-1], task).item()
    assert found.arrays["association_structure"][3, 0] == pytest.approx(expected, abs=1e-6)
    assert found.arrays["peak_structure"][3, 0] >= expected
    exact = linear_rule_error(16, 4, 0.6), bayes_error(16, 4, 0.6)
    assert found.arrays["linear_error_structure"][3] == exact[0]
    assert found.arrays["gain_structure"][3] == exact[0] - exact[1]


def test_the_shapes_are_cells_by_repetitions():
    found = phase.run(PhaseSettings(**SMALL))
    assert found.arrays["association_structure"].shape == found.arrays["error_samples"].shape == (4, 2)
    assert all(len(values) == 2 for values in found.metrics.values())


def test_a_correlation_leaves_out_what_diverged_and_has_no_value_where_nothing_varies():
    scores = np.array([[1.0, 1.0, 0.5], [0.5, 1.0, np.nan], [0.2, 1.0, 0.4], [0.1, 1.0, 0.3]])
    found = phase._correlations(scores, np.array([1.0, 2.0, 3.0, 4.0]))
    assert found == pytest.approx([-1.0, np.nan, -1.0], nan_ok=True)


def test_a_descent_that_diverges_has_no_value():
    settings = PhaseSettings(**SMALL | {"set_sizes": [2], "distractor_probs": [0.6]}, lr_value=100.0)
    assert np.isnan(phase.run(settings).arrays["association_structure"]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"set_sizes": [5]}, "set_sizes = .*: divisors of num_patches = 24 in each"),
        ({"patch_counts": [16, 30]}, "patch_counts = .*: multiples of set_size = 4 in each"),
        ({"patch_counts": [32, 16]}, "patch_counts = .*: a list of ascending values"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        PhaseSettings(**changes)


def test_samples_are_set_against_association_at_the_largest_number_of_patches(monkeypatch):
    settings = PhaseSettings(
        num_patches=8,
        set_sizes=[2, 4],
        distractor_probs=[0.1, 0.8],
        patch_counts=[8, 12, 16],
        training_sizes=[30, 60, 90],
    )

    def planted(cells, _):  # falls with N at the smallest D, rises at the largest
        rises = [n * (D - 12) for D, _, _, n in cells]
        return {
            name: np.array(rises, dtype=float)[:, None] for name in ("association", "gain", "linear_error")
        } | {name: np.array(rises, dtype=float) for name in ("gain", "linear_error")}

    monkeypatch.setattr(phase, "_map", planted)
    assert phase.run(settings).metrics["samples_correlation"] == pytest.approx([1.0])
