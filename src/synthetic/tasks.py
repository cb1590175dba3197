"""One repetition of a theory experiment: its own distribution, and random streams that have names."""

from dataclasses import dataclass

import torch
from torch import Tensor

from src.common.seeding import child_generator
from src.common.shapes import Float
from src.structure import Partition
from src.synthetic.distribution import SpatialDistribution, SpatialSample, random_feature
from src.synthetic.model import PositionalAttentionModel
from src.synthetic.realistic import Run


@dataclass(frozen=True)
class Task:
    """A distribution with its own random partition and feature; every draw derives from `name` by what it is for."""

    name: tuple[int | str, ...]
    distribution: SpatialDistribution

    @property
    def partition(self) -> Partition:
        return self.distribution.partition

    def generator(self, *purpose: str) -> torch.Generator:
        return child_generator(*self.name, *purpose, device=self.distribution.feature.device)

    def sample(self, purpose: str, n: int) -> SpatialSample:
        return self.distribution.sample(n, generator=self.generator(purpose))

    def run(
        self, sample: SpatialSample, n: int, lr_value: float, lr_attention: float, **options: int | float
    ) -> Run:
        """A descent on the first `n` samples, from this repetition's initialization; `options` go to the model."""
        start = self.generator("model")
        model = PositionalAttentionModel(*sample.patches.shape[1:], **options, generator=start)
        return Run(model, sample.patches[:n], sample.label[:n], lr_value, lr_attention)

    def by_set(
        self, matrix: Float[Tensor, "*frames patches patches"]
    ) -> Float[Tensor, "*frames patches patches"]:
        """Rows and columns reordered so that each set stands together: association becomes blocks on the diagonal."""
        order = self.partition.sets.flatten()
        return matrix[..., order, :][..., order]


def draw_task(
    seed: int,
    index: int,
    *,
    num_patches: int,
    set_size: int,
    patch_dim: int,
    distractor_prob: float,
    device: torch.device,
) -> Task:
    """Repetition `index`: a random partition of D patches into sets of C, a random feature in R^d."""
    name = (seed, "task", index)
    partition = Partition.random(num_patches, set_size, generator=child_generator(*name, "partition"))
    feature = random_feature(patch_dim, generator=child_generator(*name, "feature", device=device))
    return Task(name, SpatialDistribution(partition, feature, distractor_prob))
