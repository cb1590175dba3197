"""Claim `structure`: the frequencies of Assumption 1, and the labelling function's accuracy, on fresh samples."""

from src.common.device import pick_device
from src.common.seeding import child_generator
from src.experiments.measured import Measured, columns
from src.experiments.settings import StructureSettings
from src.structure import Partition
from src.synthetic.distribution import SpatialDistribution, random_feature
from src.synthetic.measures import frequencies, labelling_accuracy, linear_error_map


def run(settings: StructureSettings) -> Measured:
    """Source: Definition 2.1 and Assumption 1. Cost: seconds.

    Expected: accuracy at least 1 - (L - 1) (q / 2)^C: an error needs another set that is full of the wrong sign.
    """
    device, side, block = pick_device(settings.device), settings.grid_side, settings.block
    partition = Partition.blocks(side, side, block)
    bound = (partition.num_sets - 1) * (settings.distractor_prob / 2) ** partition.set_size
    rows = []
    for index in range(settings.num_seeds):
        generator = child_generator(settings.seed, "structure", index, device=device)
        feature = random_feature(settings.patch_dim, generator=generator)
        distribution = SpatialDistribution(partition, feature, settings.distractor_prob)
        sample = distribution.sample(settings.num_samples, generator=generator)
        accuracy = labelling_accuracy(distribution, sample)
        row = {"labelling_accuracy": accuracy, "excess_error": 1 - accuracy - bound}
        rows.append(row | frequencies(distribution, sample))
    generator = child_generator(settings.seed, "partition")
    set_sizes, probs, linear_error = linear_error_map(side**2)
    arrays = {
        "coefficient": (sample.patches[:4] @ feature).round().cpu().reshape(4, side, side),
        "label": sample.label[:4].cpu(),
        "informative_set": sample.informative_set[:4].cpu(),
        "membership_blocks": _on_grid(partition, side),
        "membership_contiguous": _on_grid(Partition.contiguous(side**2, block**2), side),
        "membership_random": _on_grid(Partition.random(side**2, block**2, generator=generator), side),
        "set_sizes": set_sizes,
        "distractor_probs": probs,
        "linear_error": linear_error,
    }
    return Measured(columns(rows), arrays)


def _on_grid(partition: Partition, side: int):
    """(side, side): the set that each patch of the grid belongs to."""
    return partition.membership.cpu().reshape(side, side)
