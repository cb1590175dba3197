"""Test inputs as the one-layer model sees them: it reads a patch through <v, X_j> alone, a scalar with a known law."""

from dataclasses import dataclass

import torch

from src.common.shapes import Float
from src.structure import Partition
from src.synthetic.distribution import SpatialDistribution
from src.synthetic.model import activation


@dataclass(frozen=True)
class ProjectedInputs:
    """n fresh inputs, each multiplied by its label, so that a right prediction is a positive margin.

    For a v that does not depend on them, <v, y X_j> = <v, w*> coefficient_j + sigma |v - <v, w*> w*| noise_j, with the
    noise standard normal: n D numbers in place of n D d, and the same inputs serve every feature.
    """

    coefficient: Float[torch.Tensor, "samples patches"]
    noise: Float[torch.Tensor, "samples patches"]
    noise_std: float

    @classmethod
    def draw(
        cls, distribution: SpatialDistribution, n: int, *, generator: torch.Generator
    ) -> "ProjectedInputs":
        """`n` >= 1 inputs of the distribution; what its feature is does not matter."""
        along = SpatialDistribution(
            distribution.partition, distribution.feature.new_ones(1), distribution.distractor_prob
        )
        sample = along.sample(n, generator=generator)  # d = 1: a patch is its coefficient
        coefficient = sample.patches[..., 0] * sample.label[:, None]
        noise = torch.empty_like(coefficient).normal_(generator=generator)
        return cls(coefficient, noise, distribution.noise_std)

    def labelling_accuracy(self, partition: Partition) -> float:
        """Share of these inputs, as drawn, to which the labelling function gives the right label."""
        along = SpatialDistribution(partition, self.coefficient.new_ones(1), 0.0)
        return (along.labelling_function(self.coefficient[..., None]) > 0).double().mean().item()

    def seen_through(self, attention: Float[torch.Tensor, "patches patches"]) -> "ProjectedInputs":
        """The inputs after the model's mixing of patches, D sum_j S_ij …: once for all v, where attention is kept."""
        mixing = len(attention) * attention.mT
        return ProjectedInputs(self.coefficient @ mixing, self.noise @ mixing, self.noise_std)

    def accuracy(
        self,
        value_vector: Float[torch.Tensor, "*runs dim"],
        feature: Float[torch.Tensor, "*runs dim"],
        *,
        degree: int,
        linear_coefficient: float,
    ) -> Float[torch.Tensor, "*runs"]:
        """Share of right predictions by value vectors v; the inputs are those that `seen_through` gives."""
        alpha = (value_vector * feature).sum(-1, keepdim=True)
        beside = self.noise_std * (value_vector - alpha * feature).norm(dim=-1)
        z = alpha[..., None] * self.coefficient + beside[..., None, None] * self.noise
        return (activation(z, degree, linear_coefficient).sum(-1) > 0).double().mean(-1)
