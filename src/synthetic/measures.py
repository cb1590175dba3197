"""What is measured of a sample, a model or a descent of the theory."""

import torch
from torch import Tensor

from src.common.shapes import Bool, Float
from src.structure import patch_association
from src.synthetic.baselines import linear_rule_error
from src.synthetic.distribution import SpatialDistribution, SpatialSample
from src.synthetic.model import activation
from src.synthetic.realistic import Run, Trajectory
from src.synthetic.tasks import Task
from src.synthetic.transfer import accuracies_on


def share(true: Bool[Tensor, "..."]) -> float:
    """Share of True."""
    return true.double().mean().item()


def labelling_accuracy(distribution: SpatialDistribution, sample: SpatialSample) -> float:
    """Share of inputs to which the labelling function gives the label they were drawn with."""
    return share(distribution.labelling_function(sample.patches) == sample.label)


def frequencies(distribution: SpatialDistribution, sample: SpatialSample) -> dict[str, float]:
    """Measured label mean, shares of distractors among uninformative patches, and noise variance times d."""
    along = sample.patches @ distribution.feature
    elsewhere = distribution.partition.membership != sample.informative_set[:, None]
    noise = sample.patches - along[:, :, None] * distribution.feature
    dim = distribution.feature.numel()
    return {
        "label_mean": sample.label.mean().item(),
        "plus_share": share(along.round()[elsewhere] == 1),
        "minus_share": share(along.round()[elsewhere] == -1),
        "noise_variance": noise.square().sum(-1).mean().item() / (dim - 1) * dim,
    }


def linear_error_map(
    num_patches: int,
) -> tuple[list[int], Float[Tensor, " probs"], Float[Tensor, "probs sizes"]]:
    """Exact error of the linear rule, for set sizes that divide D and 41 distractor probabilities."""
    set_sizes = [size for size in range(2, num_patches // 2 + 1) if num_patches % size == 0]
    probs = torch.logspace(-2, 0, 41, dtype=torch.float64)
    errors = [[linear_rule_error(num_patches, size, float(q)) for size in set_sizes] for q in probs]
    return set_sizes, probs, torch.tensor(errors)


def association(logits: Float[Tensor, "*runs patches patches"], task: Task) -> Float[Tensor, "*runs"]:
    """Patch association with the task's partition, mean over the rows."""
    return patch_association(logits.detach(), task.partition).mean(-1)


def measure_trajectory(
    trajectory: Trajectory, run: Run, task: Task, test: SpatialSample
) -> dict[str, Float[Tensor, "..."]]:
    """Curves (t,) over the recorded steps.

    Test accuracy, training loss, association, alignment <v, w*> / |v|, the three idealized numbers measured as
    means over the entries they stand for; and `set_mass` (t, D), each row's attention on its own set, ordered by set.
    """
    states = run.model.with_parameters(trajectory.attention_logits, trajectory.value_vector)
    alpha = trajectory.value_vector @ task.distribution.feature
    logits = trajectory.attention_logits
    curves = {
        "accuracy": accuracies_on(states, test.patches, test.label).float(),
        "loss": trajectory.loss,
        "association": association(logits, task),
        "alignment": alpha / trajectory.value_vector.norm(dim=-1),
        "alpha": alpha,
        "gamma": logits[:, task.partition.same_set & ~states.on_diagonal].mean(-1),
        "rho": logits[:, ~task.partition.same_set].mean(-1),
        "set_mass": (logits.softmax(-1) * task.partition.same_set).sum(-1)[:, task.partition.sets.flatten()],
    }
    return {name: curve.cpu() for name, curve in curves.items()}


@torch.no_grad()
def working_rows(run: Run, task: Task, test: SpatialSample) -> dict[str, float]:
    """How few rows do the work: those with over half of their attention on their own set, and F from them alone."""
    model, attention = run.model, run.model.attention
    works = (attention * task.partition.same_set).sum(-1) > 0.5
    preactivation = len(attention) * (test.patches @ model.value_vector) @ attention.T
    rows = activation(preactivation, model.degree, model.linear_coefficient)
    return {
        "working_rows_per_set": works.sum().item() / task.partition.num_sets,
        "accuracy_working_rows": share((rows * works).sum(-1) * test.label > 0),
        "accuracy_other_rows": share((rows * ~works).sum(-1) * test.label > 0),
    }
