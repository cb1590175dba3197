"""The idealized process: gradient descent on the population risk, where only three numbers move.

From v = alpha w* and attention logits gamma inside a set, rho across sets, both forms survive every step. An input
then matters only through how many patches of each set carry +1 and -1: its *pattern*. F is a sum over sets, so
equal patterns can be counted together, and no D x d patch is ever built.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from src.common.choices import check_share
from src.common.shapes import Float
from src.structure import Partition, check_set_size
from src.synthetic.distribution import SpatialSample
from src.synthetic.divergence import DivergenceError, check_descent, divergence_message
from src.synthetic.model import activation, activation_slope, check_activation


@dataclass(frozen=True)
class IdealizedTrajectory:
    """Five curves (steps + 1,): `alpha`, `gamma`, `rho`, and the Monte Carlo `loss` and `accuracy` at that state."""

    alpha: Float[Tensor, " t"]
    gamma: Float[Tensor, " t"]
    rho: Float[Tensor, " t"]
    loss: Float[Tensor, " t"]
    accuracy: Float[Tensor, " t"]


@dataclass(frozen=True)
class PatternCounts:
    """How often each pattern occurs among an input's L sets: all of a sample that the idealized model sees.

    counts : (n, K), each row sums to L; label : (n,); patterns : (K, 3), the numbers of patches of a set that
    carry +1, -1 and 0, each row sums to C, K = (C + 1)(C + 2) / 2.
    """

    counts: Float[Tensor, "samples patterns"]
    label: Float[Tensor, " samples"]
    patterns: Float[Tensor, "patterns signs"]


@dataclass(frozen=True)
class IdealizedModel:
    """The one-layer model restricted to v = alpha w*, A = gamma inside a set, rho across, sigma_A on the diagonal."""

    num_patches: int
    set_size: int
    degree: int = 3
    linear_coefficient: float = 0.03
    diagonal: float = 1.0

    def loss_and_gradient(
        self, sample: PatternCounts, state: Float[Tensor, " 3"]
    ) -> tuple[Tensor, Tensor, Float[Tensor, " 3"]]:
        """Loss, accuracy, and d loss / d (alpha, gamma, rho), means over the sample.

        Notes
        -----
        A patch with coefficient c in a set with sum s, where all sums add up to t, has the preactivation alpha O,
        O = D (S_own c + S_in (s - c) + S_out (t - s)); and F = sum over patches of sigma(alpha O). A pattern's
        share of F depends on the input through t alone, so it is worked out once for each t that occurs.
        """
        alpha = state[0]
        sign = state.new_tensor([1.0, -1.0, 0.0])
        totals, which = (sample.counts @ (sample.patterns @ sign)).unique(return_inverse=True)
        output, slopes = self._output(sample.patterns, totals, state)
        value = activation(alpha * output, self.degree, self.linear_coefficient)
        margin = sample.label * (sample.counts * (sample.patterns * value).sum(-1)[which]).sum(-1)

        upstream = (-sample.label * torch.sigmoid(-margin) / len(margin))[:, None] * sample.counts
        by_total = upstream.new_zeros(len(totals), len(sample.patterns)).index_add_(0, which, upstream)
        slope = activation_slope(alpha * output, self.degree, self.linear_coefficient)
        weight = by_total[:, :, None] * sample.patterns * slope
        gradient = torch.stack([(weight * output).sum(), *(alpha * (weight * each).sum() for each in slopes)])
        return softplus(-margin).mean(), (margin > 0).to(margin.dtype).mean(), gradient

    def attention_weights(self, gamma: Tensor, rho: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(S_own, S_in, S_out): a softmax row's weight on itself, on one set mate, on one patch elsewhere."""
        own = torch.full_like(gamma, self.diagonal)
        mates, others = self.set_size - 1, self.num_patches - self.set_size
        peak = torch.stack([own, gamma, rho]).max()
        weights = torch.stack([own, gamma, rho]).sub(peak).exp()
        return tuple(weights / (weights[0] + mates * weights[1] + others * weights[2]))

    def _output(
        self,
        patterns: Float[Tensor, "patterns signs"],
        totals: Float[Tensor, " totals"],
        state: Float[Tensor, "3"],
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """O, and its slopes along gamma and rho: (totals, K, 3), one value a total t, pattern and sign."""
        own, inside, outside = self.attention_weights(state[1], state[2])
        sign = state.new_tensor([1.0, -1.0, 0.0])
        set_sum = (patterns @ sign)[:, None]
        mates, others = set_sum - sign, totals[:, None, None] - set_sum
        output = self.num_patches * (own * sign + inside * mates + outside * others)
        # Raising a logit adds its own term and takes its share of the weight from everything.
        share_inside, share_outside = (
            (self.set_size - 1) * inside,
            (self.num_patches - self.set_size) * outside,
        )
        slope_gamma = self.num_patches * inside * mates - share_inside * output
        slope_rho = self.num_patches * outside * others - share_outside * output
        return output, (slope_gamma, slope_rho)


def idealized_descent(
    num_patches: int,
    set_size: int,
    distractor_prob: float,
    *,
    degree: int = 3,
    linear_coefficient: float = 0.03,
    diagonal: float = 1.0,
    lr_value: float = 1e-3,
    lr_attention: float = 100.0,
    steps: int = 2000,
    num_samples: int = 2048,
    generator: torch.Generator | None = None,
    init_scale: float = 1e-3,
) -> IdealizedTrajectory:
    """Descend the population risk in (alpha, gamma, rho), from alpha = init_scale and gamma = rho = 0.

    The risk is an expectation; each step estimates it on `num_samples` fresh draws, so that no draw is ever
    fitted and `loss` and `accuracy` are those of unseen inputs.

    Parameters
    ----------
    num_patches, set_size, distractor_prob : D, C and q.
    degree, linear_coefficient, diagonal : p, nu and sigma_A of the model.
    lr_value, lr_attention : step sizes for v and *per entry* of A: gamma is shared by D (C - 1) entries, each of
        which moves by its own slope, so gamma moves by the mean slope, not the sum; likewise rho.
    steps, num_samples : iterations, and draws an iteration.

    Returns
    -------
    Curves of steps + 1 values in float64, on the generator's device.

    Raises
    ------
    ValueError : a parameter out of range. DivergenceError : a non-finite loss; keeps the trajectory.
    """
    check_set_size(num_patches, set_size)
    check_activation(degree, linear_coefficient)
    check_descent(steps, lr_value, lr_attention)
    if num_samples < 1:
        raise ValueError(f"num_samples = {num_samples}: an integer >= 1 is needed; the nearest: 1")
    device = generator.device if generator is not None else torch.device("cpu")
    model = IdealizedModel(num_patches, set_size, degree, linear_coefficient, diagonal)
    state = torch.tensor([init_scale, 0.0, 0.0], dtype=torch.float64, device=device)
    entries = [num_patches * (set_size - 1), num_patches * (num_patches - set_size)]
    rates = state.new_tensor([lr_value, *(lr_attention / max(entry, 1) for entry in entries)])
    rows = torch.full((steps + 1, 5), torch.nan, dtype=torch.float64, device=device)
    for step in range(steps + 1):
        sample = sample_counts(num_patches, set_size, distractor_prob, num_samples, generator=generator)
        loss, accuracy, gradient = model.loss_and_gradient(sample, state)
        rows[step] = torch.cat([state, loss[None], accuracy[None]])
        if not loss.isfinite():
            message = divergence_message(loss.item(), step, lr_value, lr_attention)
            raise DivergenceError(message, IdealizedTrajectory(*rows[: step + 1].T))
        state = state - rates * gradient
    return IdealizedTrajectory(*rows.T)


def sample_counts(
    num_patches: int,
    set_size: int,
    distractor_prob: float,
    n: int,
    *,
    generator: torch.Generator | None = None,
) -> PatternCounts:
    """Draw `n` inputs as pattern counts, in float64: one informative set, and L - 1 sets from the multinomial."""
    check_share(distractor_prob=distractor_prob)
    device = generator.device if generator is not None else torch.device("cpu")
    patterns = all_patterns(set_size).to(device)
    label = torch.rand(n, generator=generator, device=device, dtype=torch.float64).sub(0.5).sign_()
    sides = torch.tensor([distractor_prob / 2, distractor_prob / 2, 1 - distractor_prob], dtype=torch.float64)
    multiplicity = torch.lgamma(torch.tensor(set_size + 1.0)) - torch.lgamma(patterns + 1).sum(-1)
    probability = (multiplicity + torch.xlogy(patterns, sides.to(device)).sum(-1)).exp()
    counts = multinomial_counts(num_patches // set_size - 1, probability, n, generator=generator)
    counts += informative_pattern(patterns, label)
    return PatternCounts(counts, label, patterns)


def count_patterns(sample: SpatialSample, partition: Partition, feature: Tensor) -> PatternCounts:
    """The pattern counts of a drawn sample: what the idealized model would see of it."""
    coefficient = (sample.patches @ feature).round()[:, partition.sets]
    signs = torch.stack([(coefficient == sign).sum(-1) for sign in (1, -1, 0)], dim=-1)
    patterns = all_patterns(partition.set_size).to(feature.device)
    counts = (signs[:, :, None] == patterns).all(-1).sum(1)
    return PatternCounts(counts.double(), sample.label.double(), patterns)


def all_patterns(set_size: int) -> Float[Tensor, "patterns signs"]:
    """(K, 3) float64: every way to split C patches into those that carry +1, -1 and 0."""
    splits = [
        (up, down, set_size - up - down) for up in range(set_size + 1) for down in range(set_size + 1 - up)
    ]
    return torch.tensor(splits, dtype=torch.float64)


def informative_pattern(
    patterns: Tensor, label: Float[Tensor, " samples"]
) -> Float[Tensor, "samples patterns"]:
    """(n, K): one at the pattern in which the whole set carries the label."""
    set_size = patterns[0].sum()
    whole = torch.stack([patterns[:, 0] == set_size, patterns[:, 1] == set_size]).double()
    return whole[(label < 0).long()]


def multinomial_counts(
    total: int, probability: Float[Tensor, " patterns"], n: int, *, generator: torch.Generator | None = None
) -> Float[Tensor, "samples patterns"]:
    """(n, K) draws of Multinomial(total, probability), one binomial a pattern: the cost does not grow with total."""
    left = torch.full((n,), float(total), dtype=torch.float64, device=probability.device)
    mass = probability.flip(0).cumsum(0).flip(0)
    counts = torch.zeros(n, len(probability), dtype=torch.float64, device=probability.device)
    for k in range(len(probability) - 1):
        chance = (probability[k] / mass[k]).clamp(0, 1).nan_to_num(0)
        counts[:, k] = torch.binomial(left, chance.expand(n).contiguous(), generator=generator)
        left = left - counts[:, k]
    counts[:, -1] = left
    return counts
