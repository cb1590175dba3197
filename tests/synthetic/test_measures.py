"""What is measured of a descent, by hand on planted states."""

import pytest
import torch

from src.experiments.realistic import _figure_4
from src.structure import Partition
from src.synthetic.distribution import SpatialDistribution, SpatialSample
from src.synthetic.measures import labelling_accuracy, measure_trajectory, working_rows
from src.synthetic.realistic import Trajectory
from src.synthetic.tasks import Task


@pytest.fixture
def task():
    return Task(
        (0, "task", 0), SpatialDistribution(Partition(torch.tensor([[0, 3], [1, 2]])), torch.eye(3)[1], 0.3)
    )


def test_the_curves_of_planted_logits_are_those_counted_by_hand(task):
    sample = task.sample("test", 30)
    run = task.run(sample, 30, 0.1, 1.0)
    logits = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(0))
    logits.diagonal(dim1=1, dim2=2).fill_(1.0)
    value = torch.tensor([[3.0, 4.0, 0.0]])
    nothing = torch.zeros(1)
    found = measure_trajectory(Trajectory([0], nothing, nothing, logits, value), run, task, sample)
    (A,), mates, sets = logits.tolist(), {0: 3, 3: 0, 1: 2, 2: 1}, [0, 3, 1, 2]
    S = logits[0].softmax(-1).tolist()
    assert found["set_mass"][0].tolist() == pytest.approx([S[i][i] + S[i][mates[i]] for i in sets])
    assert found["gamma"].item() == pytest.approx(sum(A[i][mates[i]] for i in sets) / 4)
    others = [A[i][j] for i in sets for j in sets if j not in (i, mates[i])]
    assert found["rho"].item() == pytest.approx(sum(others) / 8)
    assert found["alpha"].item() == pytest.approx(4) and found["alignment"].item() == pytest.approx(0.8)


def test_the_plateau_ends_with_the_last_step_before_attention_moves():
    mass = torch.tensor([[0.3, 0.305, 0.309, 0.4, 0.302, 0.9]])[..., None]
    error = torch.tensor([[0.5, 0.2, 0.08, 0.07, 0.05, 0.02]])
    ones = torch.ones_like(error)
    found = _figure_4({"set_mass": mass, "accuracy": 1 - error, "alignment": ones, "association": ones})
    assert found["error_plateau"] == pytest.approx([0.08]) and found["error_end"] == pytest.approx([0.02])
    assert found["set_mass_end"] == pytest.approx([0.9])


def test_an_input_on_which_full_sets_cancel_is_no_right_answer(task):
    carried = torch.tensor([[1.0, -1, -1, 1], [1, 0, 0, 1], [1, 0, 0, 0], [-1, 0, 1, -1]])
    patches = carried[..., None] * task.distribution.feature
    sample = SpatialSample(patches, torch.tensor([1.0, 1, 1, -1]), torch.zeros(4, dtype=torch.long))
    assert labelling_accuracy(task.distribution, sample) == 0.5


def test_rows_that_work_are_told_from_those_that_do_not(task):
    sample = task.sample("test", 200)
    run = task.run(sample, 200, 0.1, 1.0)
    with torch.no_grad():  # the rows of patches 0 and 3 read their own set, the others each other's patches
        run.model.attention_logits.copy_(
            torch.tensor([[1.0, -50, -50, 1], [30, 1, -50, -50], [30, -50, 1, -50], [1, -50, -50, 1]])
        )
        run.model.value_vector.copy_(task.distribution.feature)
    found = working_rows(run, task, sample)
    assert found["working_rows_per_set"] == 1.0
    assert found["accuracy_working_rows"] != found["accuracy_other_rows"]
