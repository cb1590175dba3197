"""The distribution of the paper's Assumption 1, spatially structured by Definition 2.1, and its labelling function."""

from dataclasses import dataclass

import torch
from torch import Tensor

from src.common.choices import check_share, refusal
from src.common.shapes import Float, Int
from src.structure import Partition


@dataclass(frozen=True)
class SpatialSample:
    """n draws: `patches` (n, D, d), `label` (n,) in {-1, +1}, `informative_set` (n,) in 0 … L - 1."""

    patches: Float[Tensor, "samples patches dim"]
    label: Float[Tensor, " samples"]
    informative_set: Int[Tensor, " samples"]


@dataclass(frozen=True, eq=False)
class SpatialDistribution:
    """Inputs whose label lives in one hidden set of patches.

    One set, drawn uniformly, is informative: each of its patches is label * feature + noise. Every other patch
    carries +feature or -feature with probability q / 2 each (a distractor), or nothing; plus noise. The noise is
    normal, orthogonal to the feature, with standard deviation `noise_std` in every other direction.

    Parameters
    ----------
    partition : the hidden partition of the D patches.
    feature : (d,) unit vector w*; its device and dtype are those of everything sampled.
    distractor_prob : q, in [0, 1].
    noise_std : sigma >= 0; by default 1 / sqrt(d), as in the paper.
    """

    partition: Partition
    feature: Float[Tensor, " dim"]
    distractor_prob: float
    noise_std: float | None = None

    def __post_init__(self) -> None:
        check_unit(self.feature)
        check_share(distractor_prob=self.distractor_prob)
        if self.noise_std is None:
            object.__setattr__(self, "noise_std", self.feature.numel() ** -0.5)
        if self.noise_std < 0:
            raise ValueError(refusal("noise_std", self.noise_std, "a number >= 0", 0.0))
        object.__setattr__(self, "partition", self.partition.to(self.feature.device))

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> SpatialSample:
        """Draw `n` >= 1 independent inputs with their labels."""
        if n < 1:
            raise ValueError(f"n = {n}: at least 1 sample is needed")
        label = self._uniform(n, generator=generator).sub(0.5).sign_()
        informative_set = torch.randint(
            self.partition.num_sets, (n,), generator=generator, device=self.feature.device
        )
        uniform = self._uniform(n, self.partition.num_patches, generator=generator)
        distractor = (uniform < self.distractor_prob / 2).to(label.dtype) - (
            uniform >= 1 - self.distractor_prob / 2
        ).to(label.dtype)
        informative = self.partition.membership == informative_set[:, None]
        coefficient = torch.where(informative, label[:, None], distractor)
        patches = self._noise(n, generator=generator)
        patches.addcmul_(coefficient[:, :, None], self.feature)
        return SpatialSample(patches, label, informative_set)

    def labelling_function(self, patches: Float[Tensor, "samples patches dim"]) -> Float[Tensor, " samples"]:
        """f*(X) = sign(sum_l T(sum_{i in S_l} <w*, X_i>)), where T keeps what reaches 0.9 C and drops the rest.

        Returns (n,) in {-1, 0, +1}; 0 where full sets of both signs cancel.
        """
        per_set = (patches @ self.feature)[:, self.partition.sets].sum(-1)
        kept = per_set.where(per_set.abs() >= 0.9 * self.partition.set_size, 0.0)
        # A set's sum is C up to rounding: round, so that opposite full sets cancel exactly.
        return kept.round().sum(-1).sign()

    def _uniform(self, *shape: int, generator: torch.Generator | None) -> Tensor:
        return torch.rand(shape, generator=generator, device=self.feature.device, dtype=self.feature.dtype)

    def _noise(self, n: int, *, generator: torch.Generator | None) -> Float[Tensor, "samples patches dim"]:
        """N(0, sigma² (I - w* w*^T)), built in place: the patches are the largest tensor of a run."""
        noise = torch.empty(
            n,
            self.partition.num_patches,
            self.feature.numel(),
            device=self.feature.device,
            dtype=self.feature.dtype,
        ).normal_(generator=generator)
        noise.addcmul_((noise @ self.feature)[:, :, None], self.feature, value=-1)
        return noise.mul_(self.noise_std)


def random_feature(
    patch_dim: int,
    *,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, " dim"]:
    """A feature w*: uniform on the unit sphere of R^d, on the generator's device."""
    if patch_dim < 1:
        raise ValueError(f"patch_dim = {patch_dim}: an integer >= 1 is needed")
    device = generator.device if generator is not None else "cpu"
    direction = torch.randn(patch_dim, generator=generator, device=device, dtype=dtype)
    return direction / direction.norm()


def check_unit(feature: Float[Tensor, " dim"]) -> None:
    """ValueError unless the feature w* has norm 1."""
    norm = feature.norm().item()
    if abs(norm - 1) > 1e-3:
        raise ValueError(f"feature has norm {norm:.4g}; a unit vector is needed: feature / feature.norm()")
