"""Claim `transfer`: a new feature learned from few samples, with the attention kept and in four other ways."""

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
from src.synthetic.realistic import check_finite, many_descents
from src.synthetic.tasks import Task
from src.synthetic.transfer import Arm, Descent, transfer_curve


def run(settings: TransferSettings) -> Measured:
    """Source: the paper's theorem on transfer. Cost: about 20 s on two cores.

    Expected: kept attention near the oracle's accuracy from the first few samples on; from scratch, and with another
    partition, no such thing.
    """
    tasks = draw_tasks(settings, pick_device(settings.device))
    descent = Descent(settings.steps, settings.lr_value, settings.lr_attention, **activation_of(settings))
    runs = [_arms(*each) for each in zip(tasks, _pretrain(tasks, settings.num_samples, descent), strict=True)]
    sizes = settings.sample_sizes
    curve = transfer_curve(runs, sizes, descent, seed=settings.seed, num_test=settings.num_test)
    # accuracy_kept_10, accuracy_scratch_10, accuracy_other_partition_10, …: one for each arm and sample size
    metrics = {
        f"accuracy_{arm}_{size}": accuracy[:, column].tolist()
        for arm, accuracy in curve.accuracy.items()
        for column, size in enumerate(sizes)
    }
    arrays = {"sample_sizes": torch.tensor(sizes)}
    arrays |= {f"accuracy_{arm}": accuracy for arm, accuracy in curve.accuracy.items()}
    arrays |= {f"retries_{arm}": retries for arm, retries in curve.retries.items()}
    return Measured(metrics, arrays)


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
    """Kept, scratch, oracle and shortcut attention on the task with a new feature; kept under another partition."""
    dim, partition = task.distribution.feature.numel(), task.partition
    feature = random_feature(dim, generator=task.generator("downstream feature"))
    same = SpatialDistribution(partition, feature, task.distribution.distractor_prob)
    drawn = child_generator(*task.name, "other partition")
    other = Partition.random(partition.num_patches, partition.set_size, generator=drawn)
    return {
        "kept": Arm(same, learned),
        "scratch": Arm(same, None),
        "oracle": Arm(same, planted_logits(partition, shift=0)),
        "shortcut": Arm(same, planted_logits(partition, shift=1)),
        "other_partition": Arm(SpatialDistribution(other, feature, same.distractor_prob), learned),
    }
