"""Inputs like those of Assumption 1, but of sets that may overlap, differ in size, and miss some of their patches."""

from dataclasses import dataclass

import torch

from src.common.choices import check_share
from src.common.shapes import Bool, Float
from src.synthetic.distribution import SpatialSample, check_unit


@dataclass(frozen=True, eq=False)
class OverlappingSets:
    """Inputs whose label lives in one of several sets of patches, drawn uniformly; a patch may be in many, or in none.

    Each patch of the set carries label * feature, but for a chance `miss_prob`; every other patch, and one that misses,
    carries +feature or -feature with probability q / 2 each, or nothing. Noise is as in `SpatialDistribution`.

    Parameters
    ----------
    member : (sets, patches), whether a set has a patch; every set has one at least.
    feature : (d,) unit vector w*.
    distractor_prob : q, in [0, 1]. miss_prob : in [0, 1].
    """

    member: Bool[torch.Tensor, "sets patches"]
    feature: Float[torch.Tensor, " dim"]
    distractor_prob: float
    miss_prob: float = 0.0

    def __post_init__(self) -> None:
        check_unit(self.feature)
        if not self.member.any(1).all():
            raise ValueError("member has a set without patches; each needs one at least")
        check_share(distractor_prob=self.distractor_prob, miss_prob=self.miss_prob)

    def co_membership(
        self, weight: Float[torch.Tensor, " sets"] | None = None
    ) -> Float[torch.Tensor, "patches patches"]:
        """(D, D): how many sets hold both patches, each set counted with its `weight`, by default 1."""
        member = self.member.to(self.feature.dtype)
        return member.T @ (member if weight is None else weight[:, None] * member)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> SpatialSample:
        """Draw `n` independent inputs with their labels."""
        (sets, patches), dim, like = self.member.shape, len(self.feature), self.feature
        options = {"generator": generator, "device": like.device}
        label = torch.rand(n, **options, dtype=like.dtype).sub(0.5).sign_()
        informative_set = torch.randint(sets, (n,), **options)
        uniform = torch.rand(n, patches, **options)
        half = self.distractor_prob / 2
        distractor = (uniform < half).to(like.dtype) - (uniform >= 1 - half).to(like.dtype)
        carries = self.member[informative_set] & (torch.rand(n, patches, **options) >= self.miss_prob)
        coefficient = torch.where(carries, label[:, None], distractor)
        noise = torch.randn(n, patches, dim, **options, dtype=like.dtype) / dim**0.5
        noise -= (noise @ like)[..., None] * like
        return SpatialSample(noise + coefficient[..., None] * like, label, informative_set)


def random_sets(
    sets: int, patches: int, smallest: int, largest: int, *, generator: torch.Generator | None = None
) -> Bool[torch.Tensor, "sets patches"]:
    """Sets drawn one by one: a size, uniform from `smallest` to `largest`, then so many patches of all."""
    size = torch.randint(smallest, largest + 1, (sets, 1), generator=generator)
    rank = torch.rand(sets, patches, generator=generator).argsort(1).argsort(1)
    return rank < size
