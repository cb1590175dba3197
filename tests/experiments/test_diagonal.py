import numpy as np
import pytest
import torch

from src.experiments.diagonal import _reading, threshold
from src.synthetic.baselines import planted_logits
from src.synthetic.tasks import draw_task


@pytest.mark.parametrize(("shift", "own", "other"), [(0, 1.0, 0.0), (1, 0.0, 1.0), (None, 0.0, 0.0)])
@pytest.mark.parametrize("diagonal", [0.15, 3.0])
def test_tells_rows_on_their_own_set_from_rows_on_another_and_from_idle_ones(shift, own, other, diagonal):
    task = draw_task(
        0, 0, num_patches=10, set_size=2, patch_dim=4, distractor_prob=0.2, device=torch.device("cpu")
    )
    sample = task.sample("test", 50)
    run = task.run(sample, 50, 0.1, 1.0, diagonal=diagonal)
    if shift is not None:
        with torch.no_grad():
            run.model.attention_logits.copy_(planted_logits(task.partition, shift=shift, diagonal=diagonal))
    reading = _reading(run, task, sample)
    assert (reading["own"], reading["other"]) == (own, other)
    if shift == 0:
        assert reading["association"] == 1


def test_the_threshold_is_where_as_many_rows_read_their_own_set_as_another():
    diagonals, noise = np.array([0.0, 1.0, 3.0]), np.random.default_rng(0).normal(0, 0.1, 20)
    own = np.array([0.2, 0.4, 0.8])[:, None] + noise - noise.mean()
    other = np.full((3, 20), 0.6)
    found, low, high = threshold(diagonals, own, other)
    assert found == pytest.approx(2.0)  # half of the way from 0.4 to 0.8
    assert 1.5 < low < found < high < 2.5
    assert threshold(diagonals, own, other - 0.5)[0] == 0.0  # from the first one on
    assert threshold(diagonals, own, other + 0.5) == (np.inf, np.inf, np.inf)  # nowhere
