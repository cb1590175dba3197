"""Transfer: keep the attention, learn a new feature from few samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

import torch
from torch import Tensor

from src.common.seeding import child_generator
from src.common.shapes import Float, Int
from src.synthetic.distribution import SpatialDistribution
from src.synthetic.gradient import samples_per_block
from src.synthetic.model import PositionalAttentionModel, activation_and_slope
from src.synthetic.realistic import Run, check_finite, many_descents

# Five thirds shrink a step 243-fold; what diverges even so is no matter of the step size.
MAX_RETRIES = 5


@dataclass(frozen=True)
class Arm:
    """One way to meet the downstream task: where its data come from, and the attention that is kept.

    attention_logits : (D, D), frozen while v is learned; None learns attention and v, both from scratch.
    """

    distribution: SpatialDistribution
    attention_logits: Float[Tensor, "patches patches"] | None


@dataclass(frozen=True)
class Descent:
    """Settings of the downstream descent, as in `gradient_descent` and `PositionalAttentionModel`."""

    steps: int
    lr_value: float
    lr_attention: float
    degree: int = 3
    linear_coefficient: float = 0.03
    diagonal: float = 1.0
    max_move: float = inf


@dataclass(frozen=True)
class TransferCurve:
    """Per arm: test `accuracy` (runs, sizes), and `retries` (runs, sizes), how often its steps had to shrink."""

    accuracy: dict[str, Float[Tensor, "runs sizes"]]
    retries: dict[str, Int[Tensor, "runs sizes"]]


def transfer_curve(
    runs: Sequence[Mapping[str, Arm]],
    sample_sizes: Sequence[int],
    descent: Descent,
    *,
    seed: int,
    num_test: int = 4000,
) -> TransferCurve:
    """Test accuracy against downstream sample size, for every arm.

    Parameters
    ----------
    runs : one mapping name -> Arm for each seed; all runs have the same arms.
    sample_sizes : downstream training samples. A larger sample contains the smaller ones, and arms with the same
        distribution see the same draws.
    seed : the draws' and the initializations' streams derive from it by name.
    num_test : fresh inputs on which each trained model is measured.

    Notes
    -----
    A descent that diverges is run again from the same start with both step sizes divided by three, so that no
    arm loses for its step size alone; the curve counts these retries.
    """
    if not sample_sizes or min(sample_sizes) < 1:
        raise ValueError(f"sample_sizes = {list(sample_sizes)}: at least one size, each >= 1, is needed")
    downstream, tests = [], []
    for index, arms in enumerate(runs):
        drawn = {}
        for arm in arms.values():
            device = arm.distribution.feature.device
            if arm.distribution not in drawn:
                draw = child_generator(seed, "downstream", index, device=device)
                drawn[arm.distribution] = [
                    arm.distribution.sample(n, generator=draw) for n in (max(sample_sizes), num_test)
                ]
            train, test = drawn[arm.distribution]
            for size in sample_sizes:
                start = child_generator(seed, "downstream model", index, device=device)
                downstream.append(
                    downstream_run(arm, train.patches[:size], train.label[:size], descent, generator=start)
                )
                tests.append(test)
    retries = descend_with_retries(downstream, descent.steps)
    accuracy = [
        accuracy_on(run.model, test.patches, test.label) for run, test in zip(downstream, tests, strict=True)
    ]
    shape = (len(runs), len(runs[0]), len(sample_sizes))
    return TransferCurve(
        dict(zip(runs[0], torch.tensor(accuracy).reshape(shape).unbind(1), strict=True)),
        dict(zip(runs[0], torch.tensor(retries).reshape(shape).unbind(1), strict=True)),
    )


def learn_downstream(
    arm: Arm,
    patches: Float[Tensor, "samples patches dim"],
    label: Float[Tensor, " samples"],
    descent: Descent,
    *,
    generator: torch.Generator,
) -> tuple[PositionalAttentionModel, int]:
    """Train a fresh model on the downstream sample, its attention kept where the arm has one; and the retries."""
    run = downstream_run(arm, patches, label, descent, generator=generator)
    return run.model, *descend_with_retries([run], descent.steps)


def downstream_run(
    arm: Arm,
    patches: Float[Tensor, "samples patches dim"],
    label: Float[Tensor, " samples"],
    descent: Descent,
    *,
    generator: torch.Generator,
) -> Run:
    """A fresh model at the start of its downstream descent, with the arm's attention where it has one."""
    model = PositionalAttentionModel(
        *patches.shape[1:],
        degree=descent.degree,
        linear_coefficient=descent.linear_coefficient,
        diagonal=descent.diagonal,
        generator=generator,
        dtype=patches.dtype,
    )
    kept = arm.attention_logits is not None
    if kept:
        with torch.no_grad():
            model.attention_logits.copy_(arm.attention_logits)
    lr_attention = 0.0 if kept else descent.lr_attention
    return Run(model, patches, label, descent.lr_value, lr_attention, descent.max_move)


@torch.no_grad()
def descend_with_retries(runs: Sequence[Run], steps: int) -> list[int]:
    """Train all runs' models in place; those that diverge again from their start, with steps a third as large.

    Returns
    -------
    How often each run's steps had to shrink. DivergenceError where MAX_RETRIES did not help.
    """
    left = dict(enumerate(runs))
    retries = [0] * len(runs)
    while left:
        trajectories = many_descents(list(left.values()), steps=steps, record_every=steps)
        diverged = {}
        for (index, run), trajectory in zip(left.items(), trajectories, strict=True):
            if trajectory.divergence:
                if retries[index] == MAX_RETRIES:
                    check_finite([trajectory])
                retries[index] += 1
                run.model.attention_logits.copy_(trajectory.attention_logits[0])
                run.model.value_vector.copy_(trajectory.value_vector[0])
                diverged[index] = replace(run, lr_value=run.lr_value / 3, lr_attention=run.lr_attention / 3)
        left = diverged
    return retries


@torch.no_grad()
def learn_values(
    mixed: Float[Tensor, "runs samples patches dim"],
    label: Float[Tensor, "runs samples"],
    start: Float[Tensor, "runs dim"],
    *,
    lr_value: float,
    steps: Sequence[int],
    degree: int,
    linear_coefficient: float,
) -> Float[Tensor, "t runs dim"]:
    """Descent on v alone, attention frozen, for R runs side by side: v at the ascending `steps`.

    mixed : D S X, the patches after attention. It never changes, so that F(X) = sum_i sigma(<v, mixed_i>) is all that
        is left of the model, and the descent is `gradient_descent` with `lr_attention` = 0.
    """
    value, recorded = start.clone(), []
    for step in range(steps[-1] + 1):
        if step in steps:
            recorded.append(value.clone())
        z = torch.einsum("rnpd,rd->rnp", mixed, value)
        output, slope = activation_and_slope(z, degree, linear_coefficient)
        upstream = -label * torch.sigmoid(-label * output.sum(-1)) / label.shape[-1]
        value -= lr_value * torch.einsum("rnp,rnpd->rd", slope * upstream[..., None], mixed)
    return torch.stack(recorded)


@torch.no_grad()
def accuracy_on(
    model: Callable[[Tensor], Tensor],
    patches: Float[Tensor, "samples patches dim"],
    label: Float[Tensor, " samples"],
) -> float:
    """Share of inputs whose margin has the label's sign; an undecided input counts as wrong."""
    return accuracies_on(model, patches, label).item()


@torch.no_grad()
def accuracies_on(
    model: Callable[[Tensor], Tensor],
    patches: Float[Tensor, "samples patches dim"],
    label: Float[Tensor, " samples"],
) -> Float[Tensor, "*runs"]:
    """`accuracy_on` for each model of a stack, all measured in one reading of the inputs."""
    size = samples_per_block(patches)
    blocks = zip(patches.split(size), label.split(size), strict=True)
    return sum((model(x) * y > 0).sum(-1) for x, y in blocks).double() / len(label)
