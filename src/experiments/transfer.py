"""Claim `transfer`: a new feature learned from few samples, with the attention kept and in five other ways."""

from dataclasses import replace

import torch
from torch import Tensor

from src.common.device import pick_device
from src.common.seeding import child_generator
from src.common.shapes import Float
from src.experiments.measured import Measured
from src.experiments.settings import TransferSettings
from src.experiments.tasks import activation_of, draw_tasks
from src.structure import Partition
from src.synthetic.baselines import planted_logits
from src.synthetic.distribution import SpatialDistribution, random_feature
from src.synthetic.projected import ProjectedInputs
from src.synthetic.realistic import check_finite, many_descents
from src.synthetic.tasks import Task
from src.synthetic.transfer import Arm, Descent, downstream_run, transfer_curve
from src.synthetic.validated import chosen_on_validation, descend


def run(settings: TransferSettings) -> Measured:
    """Source: the paper's theorem on transfer. Cost: a minute on two cores.

    Expected: kept attention near the oracle's accuracy from the first few samples on; from scratch, with uniform
    attention, and with another partition, no such thing. `accuracy_…` are at the steps and step sizes that do best on
    validation inputs, chosen for each descent; `fixed_…` after `steps` iterations of one size, whatever the arm.
    """
    tasks = draw_tasks(settings, pick_device(settings.device))
    descent = Descent(settings.steps, settings.lr_value, settings.lr_attention, **activation_of(settings))
    learned = _pretrain(tasks, settings.num_samples, descent)
    runs = [_arms(*each) for each in zip(tasks, learned, strict=True)]
    sizes = settings.sample_sizes
    fixed = transfer_curve(runs, sizes, descent, seed=settings.seed, num_test=settings.num_test)
    chosen = {
        arm: torch.tensor(
            [_validated(settings, index, arms[arm], descent) for index, arms in enumerate(runs)]
        )
        for arm in runs[0]
    }
    # accuracy_kept_10, accuracy_scratch_10, accuracy_other_partition_10, …: one for each arm and sample size
    metrics = {
        f"accuracy_{arm}_{size}": accuracy[:, column].tolist()
        for arm, accuracy in chosen.items()
        for column, size in enumerate(sizes)
    }
    arrays = {"sample_sizes": torch.tensor(sizes)} | {f"accuracy_{arm}": each for arm, each in chosen.items()}
    arrays |= {f"fixed_{arm}": accuracy for arm, accuracy in fixed.accuracy.items()}
    arrays |= {f"retries_{arm}": retries for arm, retries in fixed.retries.items()}
    return Measured(metrics, arrays)


def _validated(settings: TransferSettings, index: int, arm: Arm, descent: Descent) -> list[float]:
    """Test accuracy over the sample sizes, each at the step and step sizes that are best on validation."""
    draw = child_generator(
        settings.seed, "validated downstream", index, device=arm.distribution.feature.device
    )
    train = arm.distribution.sample(max(settings.sample_sizes), generator=draw)
    validation, test = (
        ProjectedInputs.draw(arm.distribution, settings.num_test, generator=draw) for _ in range(2)
    )
    feature, every, accuracy = arm.distribution.feature, max(1, settings.steps // 24), []
    for size in settings.sample_sizes:
        courses = []
        for scale in settings.step_scales:
            start = child_generator(settings.seed, "validated model", index, device=feature.device)
            begun = downstream_run(arm, train.patches[:size], train.label[:size], descent, generator=start)
            begun = replace(begun, lr_value=scale * begun.lr_value, lr_attention=scale * begun.lr_attention)
            courses.append(descend(begun, feature, validation, test, budget=settings.steps, every=every))
        accuracy.append(chosen_on_validation(courses, settings.steps)[1])
    return accuracy


def _pretrain(
    tasks: list[Task], num_samples: int, descent: Descent
) -> list[Float[Tensor, "patches patches"]]:
    """The attention that each task's descent learns; its samples, the largest thing here, are gone afterwards."""
    rates = (descent.lr_value, descent.lr_attention)
    options = {"degree": descent.degree, "linear_coefficient": descent.linear_coefficient}
    runs = [task.run(task.sample("train", num_samples), num_samples, *rates, **options) for task in tasks]
    check_finite(many_descents(runs, steps=descent.steps, record_every=descent.steps))
    return [run.model.attention_logits.detach() for run in runs]


def _arms(task: Task, learned: Float[Tensor, "patches patches"]) -> dict[str, Arm]:
    """Kept, scratch, uniform, oracle and shortcut attention on a new feature; kept under another partition."""
    dim, partition = task.distribution.feature.numel(), task.partition
    feature = random_feature(dim, generator=task.generator("downstream feature"))
    same = SpatialDistribution(partition, feature, task.distribution.distractor_prob)
    drawn = child_generator(*task.name, "other partition")
    other = Partition.random(partition.num_patches, partition.set_size, generator=drawn)
    return {
        "kept": Arm(same, learned),
        "scratch": Arm(same, None),
        # as the held diagonal: the same weight on every patch
        "uniform": Arm(same, torch.ones_like(learned)),
        "oracle": Arm(same, planted_logits(partition, shift=0)),
        "shortcut": Arm(same, planted_logits(partition, shift=1)),
        "other_partition": Arm(SpatialDistribution(other, feature, same.distractor_prob), learned),
    }
