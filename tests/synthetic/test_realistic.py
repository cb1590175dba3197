from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import softplus

from src.structure import Partition, patch_association
from src.synthetic.distribution import SpatialDistribution, random_feature
from src.synthetic.model import PositionalAttentionModel
from src.synthetic.realistic import DivergenceError, Run, gradient_descent, many_descents


@pytest.fixture
def task():
    generator = torch.Generator().manual_seed(0)
    partition = Partition.random(12, 3, generator=generator)
    distribution = SpatialDistribution(
        partition, random_feature(7, generator=generator, dtype=torch.float64), 0.4
    )
    sample = distribution.sample(300, generator=generator)
    model = PositionalAttentionModel(12, 7, generator=generator, dtype=torch.float64)
    return partition, sample, model


def autograd_descent(model, patches, label, steps, lr_value, lr_attention):
    """The slow reference: the loss of the forward pass, differentiated by torch."""
    losses = []
    for step in range(steps + 1):
        loss = softplus(-label * model(patches)).mean()
        losses.append(loss.item())
        if step == steps:
            return losses
        grad_logits, grad_value = torch.autograd.grad(loss, [model.attention_logits, model.value_vector])
        with torch.no_grad():
            model.attention_logits -= lr_attention * grad_logits
            model.value_vector -= lr_value * grad_value


@pytest.mark.parametrize("degree", [3, 5])
def test_closed_form_follows_autograd_for_twenty_steps(task, degree):
    _, sample, model = task
    model.degree = degree
    # Start well away from 0, where every term of the gradient matters.
    with torch.no_grad():
        model.value_vector += 0.05
        model.attention_logits += 0.3 * torch.randn(12, 12, dtype=torch.float64).masked_fill(
            model.on_diagonal, 0
        )
    slow = deepcopy(model)
    rates = {"lr_value": 2e-3, "lr_attention": 5.0}
    fast = gradient_descent(model, sample.patches, sample.label, steps=20, **rates)
    losses = autograd_descent(slow, sample.patches, sample.label, 20, *rates.values())
    assert (model.attention_logits - slow.attention_logits).abs().max() < 1e-10
    assert (model.value_vector - slow.value_vector).abs().max() < 1e-10
    assert (fast.loss - torch.tensor(losses, dtype=torch.float64)).abs().max() < 1e-10
    assert (fast.attention_logits[-1] - fast.attention_logits[0]).abs().max() > 0.01


def test_records_the_start_every_nth_step_and_the_last(task):
    _, sample, model = task
    trajectory = gradient_descent(
        model, sample.patches, sample.label, steps=7, lr_value=1e-3, lr_attention=1.0, record_every=3
    )
    assert trajectory.step == [0, 3, 6, 7]
    assert torch.equal(trajectory.value_vector[-1], model.value_vector)
    assert trajectory.attention_logits.shape == (4, 12, 12)


def test_attention_stays_where_its_step_size_is_zero(task):
    _, sample, model = task
    before = model.attention_logits.detach().clone()
    gradient_descent(model, sample.patches, sample.label, steps=5, lr_value=1e-2, lr_attention=0.0)
    assert torch.equal(model.attention_logits, before)


def test_finds_the_partition_and_so_does_a_relabelled_run(task):
    partition, _, _ = task
    generator = torch.Generator().manual_seed(5)
    distribution = SpatialDistribution(
        partition, random_feature(7, generator=generator, dtype=torch.float64), 0.4
    )
    sample = distribution.sample(4000, generator=generator)
    model = PositionalAttentionModel(12, 7, generator=generator, dtype=torch.float64)
    order = torch.randperm(12, generator=generator)
    relabelled = deepcopy(model)
    with torch.no_grad():
        relabelled.attention_logits.copy_(model.attention_logits[order][:, order])
    rates = {"steps": 150, "lr_value": 1e-2, "lr_attention": 20.0, "record_every": 150}
    gradient_descent(model, sample.patches, sample.label, **rates)
    gradient_descent(relabelled, sample.patches[:, order], sample.label, **rates)
    assert patch_association(model.attention_logits.detach(), partition).mean() > 0.95
    assert torch.allclose(relabelled.attention_logits, model.attention_logits[order][:, order], atol=1e-8)


def test_divergence_names_the_step_and_both_step_sizes_and_keeps_the_trajectory(task):
    _, sample, model = task
    with pytest.raises(
        DivergenceError, match=r"at step \d+ with lr_value = 100 and lr_attention = 1000; smaller"
    ) as caught:
        gradient_descent(model, sample.patches, sample.label, steps=200, lr_value=100.0, lr_attention=1000.0)
    trajectory = caught.value.trajectory
    assert 1 <= trajectory.step[-1] < 200
    assert trajectory.loss[:-1].isfinite().all() and not trajectory.loss[-1].isfinite()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"steps": -1}, "steps = -1: an integer >= 1 is needed"),
        ({"steps": 0}, "steps = 0: an integer >= 1 is needed"),
        ({"record_every": 0}, "record_every = 0: an integer >= 1 is needed"),
        ({"lr_value": -1.0}, "lr_value = -1.0: a step size >= 0 is needed"),
        ({"lr_attention": float("nan")}, "lr_attention = nan: a step size >= 0 is needed"),
    ],
)
def test_wrong_settings_are_refused(task, change, text):
    _, sample, model = task
    settings = {"steps": 1, "lr_value": 1e-3, "lr_attention": 1.0}
    with pytest.raises(ValueError, match=text):
        gradient_descent(model, sample.patches, sample.label, **{**settings, **change})


@pytest.mark.parametrize("cap", [0.0, float("nan")])
def test_a_cap_that_is_not_positive_is_refused(task, cap):
    _, sample, model = task
    with pytest.raises(ValueError, match=f"max_move = {cap}: a number above 0 is needed"):
        many_descents([Run(model, sample.patches, sample.label, 1e-3, 1.0, max_move=cap)], steps=1)


def many(sizes, dtype, lr_attention=5.0):
    """Independent runs with their own features, partitions and sample sizes, started away from 0."""
    runs = []
    for seed, n in enumerate(sizes):
        generator = torch.Generator().manual_seed(seed)
        partition = Partition.random(12, 3, generator=generator)
        feature = random_feature(7, generator=generator, dtype=dtype)
        sample = SpatialDistribution(partition, feature, 0.4).sample(n, generator=generator)
        model = PositionalAttentionModel(12, 7, init_scale=0.03, generator=generator, dtype=dtype)
        runs.append(Run(model, sample.patches, sample.label, 2e-3, lr_attention))
    return runs


# float32: 40 steps multiply rounding; a hundred times its unit leaves room and would not hide a wrong term.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_a_run_goes_the_same_way_alone_and_in_company(dtype, tolerance):
    sizes = [50, 3, 200, 50, 17]
    together = many(sizes, dtype)
    alone = deepcopy(together)
    trajectories = many_descents(together, steps=40, record_every=7)
    for run, lonely, trajectory in zip(together, alone, trajectories, strict=True):
        rates = {"lr_value": lonely.lr_value, "lr_attention": lonely.lr_attention}
        expected = gradient_descent(
            lonely.model, lonely.patches, lonely.label, steps=40, record_every=7, **rates
        )
        assert trajectory.step == expected.step == [0, 7, 14, 21, 28, 35, 40]
        for name in ("loss", "accuracy", "attention_logits", "value_vector"):
            assert (getattr(trajectory, name) - getattr(expected, name)).abs().max() < tolerance
        assert torch.equal(run.model.value_vector, trajectory.value_vector[-1])
        assert torch.equal(run.model.attention_logits, trajectory.attention_logits[-1])
    assert (trajectory.attention_logits[-1] - trajectory.attention_logits[0]).abs().max() > 0.01


def test_a_run_that_diverges_is_frozen_and_leaves_the_others_alone():
    runs = many([40, 40, 40], torch.float64)
    wild = replace(runs[1], lr_value=100.0, lr_attention=1000.0)
    expected = many_descents(deepcopy(runs), steps=60, record_every=25)
    first, diverged, last = many_descents([runs[0], wild, runs[2]], steps=60, record_every=25)
    assert (first.loss - expected[0].loss).abs().max() < 1e-10
    assert (last.attention_logits - expected[2].attention_logits).abs().max() < 1e-10
    with pytest.raises(DivergenceError) as alone:
        run = many([40, 40, 40], torch.float64)[1]
        gradient_descent(
            run.model, run.patches, run.label, steps=60, lr_value=100.0, lr_attention=1000.0, record_every=25
        )
    assert diverged.divergence == str(alone.value)
    assert "lr_value = 100 and lr_attention = 1000" in diverged.divergence
    assert diverged.step == alone.value.trajectory.step and 0 < diverged.step[-1] < 60
    assert len(diverged.loss) == len(diverged.step) and not diverged.loss[-1].isfinite()
    assert diverged.loss[:-1].isfinite().all()


def test_kept_attention_stays_among_runs_that_learn_theirs():
    learning, kept = many([30, 30], torch.float64)
    kept = replace(kept, lr_attention=0.0)
    before = kept.model.attention_logits.detach().clone()
    many_descents([learning, kept], steps=20)
    assert torch.equal(kept.model.attention_logits, before)
    assert kept.model.value_vector.abs().max() > 0.01


def test_no_runs_no_trajectories():
    assert many_descents([], steps=3) == []


def test_runs_of_different_models_are_refused():
    runs = many([5, 5], torch.float64)
    runs[1].model.degree = 5
    with pytest.raises(ValueError, match=r"degree = \[3, 5\]: one value for all models of a stack is needed"):
        many_descents(runs, steps=1)


def test_a_capped_update_moves_no_logit_further_and_keeps_its_direction():
    (plain,), (capped,) = many([200], torch.float64, 500.0), many([200], torch.float64, 500.0)
    free = many_descents([plain], steps=1)[0].attention_logits.diff(dim=0)[0]
    held = many_descents([replace(capped, max_move=1e-3)], steps=30)[0].attention_logits.diff(dim=0)
    assert free.abs().max() > 2e-3
    assert held.abs().amax((1, 2)).max() < 1e-3 + 1e-12
    assert (held[0] - free * (1e-3 / free.abs().max())).abs().max() < 1e-12


def test_a_cap_that_is_never_reached_changes_no_bit():
    plain, capped = many([40, 60], torch.float32), many([40, 60], torch.float32)
    expected = many_descents(plain, steps=30)
    largest = max(each.attention_logits.diff(dim=0).abs().max().item() for each in expected)
    found = many_descents([replace(run, max_move=2 * largest) for run in capped], steps=30)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.attention_logits, other.attention_logits)
        assert torch.equal(one.value_vector, other.value_vector)


def test_each_of_many_runs_has_its_own_cap():
    caps = [1e-3, float("inf"), 5e-3]
    together = [
        replace(run, max_move=cap)
        for run, cap in zip(many([50, 30, 50], torch.float64, 300.0), caps, strict=True)
    ]
    alone = deepcopy(together)
    for run, trajectory in zip(alone, many_descents(together, steps=20), strict=True):
        expected = many_descents([run], steps=20)[0]
        assert (trajectory.attention_logits - expected.attention_logits).abs().max() < 1e-10


def test_a_thinned_trajectory_keeps_the_first_steps_each_multiple_and_the_last(task):
    _, sample, model = task
    trajectory = gradient_descent(
        model, sample.patches, sample.label, steps=11, lr_value=1e-3, lr_attention=1.0
    )
    thinned = trajectory.thinned(4)
    assert thinned.step == [0, 1, 2, 3, 4, 8, 11] and trajectory.thinned(4, 6).step[5:7] == [6, 8]
    assert torch.equal(thinned.attention_logits, trajectory.attention_logits[thinned.step])
    assert torch.equal(thinned.loss, trajectory.loss[thinned.step])


def test_a_run_that_diverges_at_its_last_step_is_told():
    wild = replace(many([40], torch.float64)[0], lr_value=100.0, lr_attention=1000.0)
    burst = many_descents([deepcopy(wild)], steps=60)[0].step[-1]
    (found,) = many_descents([wild], steps=burst)
    assert found.step[-1] == burst and found.divergence and not found.loss[-1].isfinite()
