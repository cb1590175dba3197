"""What the learned model is held against: linear rules, planted attention, the shortcut without association."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from src.common.shapes import Float
from src.structure import Partition
from src.synthetic.distribution import SpatialDistribution
from src.synthetic.model import PositionalAttentionModel

# Softmax weight exp(-60) is under 1e-26: planted attention is uniform over one set to the last float32 digit.
PLANTED_GAP = 60.0


@dataclass(frozen=True)
class GeneralizedLinear:
    """g(X) = phi(sum_j <weight_j, X_j> + bias) with an increasing odd phi, so that its sign is the linear one's.

    weight : (D, d); bias : ().
    """

    weight: Float[Tensor, "patches dim"]
    bias: Float[Tensor, ""]

    def __call__(self, patches: Float[Tensor, "samples patches dim"]) -> Float[Tensor, " samples"]:
        return torch.einsum("npd,pd->n", patches, self.weight) + self.bias


def fit_generalized_linear(
    patches: Float[Tensor, "samples patches dim"],
    label: Float[Tensor, " samples"],
    *,
    loss: Literal["least_squares", "logistic"] = "logistic",
    penalty: float = 1.0,
) -> GeneralizedLinear:
    """Fit the best generalized linear network by scikit-learn, one free weight per patch and dimension.

    Parameters
    ----------
    patches, label : (n, D, d) and (n,) in {-1, +1}.
    loss : "least_squares" (ridge regression on the label) or "logistic" (logistic regression).
    penalty : weight of the squared norm; 1.0 is scikit-learn's default in both.
    """
    from sklearn.linear_model import LogisticRegression, Ridge

    if loss not in ("least_squares", "logistic"):
        raise ValueError(f"loss = {loss!r}: 'least_squares' or 'logistic' is needed")
    inputs, target = patches.flatten(1).cpu().numpy(), label.cpu().numpy()
    if loss == "logistic":
        fitted = LogisticRegression(C=1 / penalty, max_iter=200).fit(inputs, target)
    else:
        fitted = Ridge(alpha=penalty, solver="cholesky").fit(inputs, target)
    weight = torch.as_tensor(
        fitted.coef_.reshape(patches.shape[1:]), device=patches.device, dtype=patches.dtype
    )
    bias = torch.as_tensor(fitted.intercept_.item(), device=patches.device, dtype=patches.dtype)
    return GeneralizedLinear(weight, bias)


def equal_weights_rule(distribution: SpatialDistribution) -> GeneralizedLinear:
    """sum_j <w*, X_j>: told the feature, and fair to every patch, since any patch may be informative.

    Not the best linear rule: slightly unequal weights err less, see `weighted_rule_error`.
    """
    weight = distribution.feature.expand(distribution.partition.num_patches, -1)
    return GeneralizedLinear(weight, weight.new_zeros(()))


def linear_rule_error(num_patches: int, set_size: int, distractor_prob: float) -> float:
    """Exact error of sign(sum_j <w*, X_j>), a tie settled by a coin.

    It errs where the distractors of the D - C other patches outweigh the C informative ones; their sum has the
    distribution of D - C draws from {+1, -1, 0}, a power of one characteristic function.
    """
    others = num_patches - set_size
    length = 2 * num_patches + 1
    one = torch.zeros(length, dtype=torch.float64)
    one[[1, -1]] = distractor_prob / 2
    one[0] = 1 - distractor_prob
    mass = torch.fft.ifft(torch.fft.fft(one) ** others).real
    below = mass[length // 2 + 1 : length - set_size].sum()
    return float(below + mass[length - set_size] / 2)


def weighted_rule_error(weights: Sequence[int], set_size: int, distractor_prob: float) -> float:
    """Exact error of sign(sum_l weight_l sum_{j in S_l} <w*, X_j>), a tie settled by a coin.

    Equal weights are `linear_rule_error`. They are not the best ones: slightly unequal weights settle most ties,
    and better than a coin does.

    Parameters
    ----------
    weights : (L,) integers >= 0, not all 0: what the rule gives to each set.
    """
    weight = torch.as_tensor(weights)
    largest = set_size * int(weight.sum())
    if weight.min() < 0 or largest == 0:
        raise ValueError(f"weights = {list(weights)}: integers >= 0 are needed, one of them above 0")
    length = 2 * largest + 1
    angle = 2 * torch.pi * torch.arange(length, dtype=torch.float64) / length
    one_set = (1 - distractor_prob * (1 - torch.cos(weight[:, None] * angle))) ** set_size
    error = 0.0
    for value in weight.unique():
        informative = int((weight == value).nonzero()[0])
        others = one_set[torch.arange(len(weight)) != informative].prod(0)
        mass = torch.fft.ifft(others).real.roll(largest)  # of the sums from -largest to largest
        total = torch.arange(-largest, largest + 1) + int(value) * set_size
        share = (weight == value).double().mean()
        error += float(share * (mass[total < 0].sum() + mass[total == 0].sum() / 2))
    return error


def lowest_linear_error(num_patches: int, set_size: int, distractor_prob: float) -> float:
    """The lowest exact error found among linear rules that give some sets one weight and the others another.

    An upper bound of what the best linear rule errs, and not above `linear_rule_error`.
    """
    num_sets = num_patches // set_size
    pairs = ((1, 1), (2, 1), (3, 2), (4, 3), (6, 5), (11, 10), (21, 20))
    counts = range(1, num_sets + 1, max(1, num_sets // 16))
    return min(
        weighted_rule_error([high] * count + [low] * (num_sets - count), set_size, distractor_prob)
        for high, low in pairs
        for count in counts
    )


def distractor_prob_at(linear_error: float, num_patches: int, set_size: int) -> float:
    """The q at which the linear rule's exact error is `linear_error`: what keeps the task as hard at every D."""
    largest = linear_rule_error(num_patches, set_size, 1.0)
    if not 0 < linear_error < largest:
        raise ValueError(
            f"linear_error = {linear_error}: a number in (0, {largest:.3g}) is needed for num_patches = {num_patches}"
        )
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        below = linear_rule_error(num_patches, set_size, middle) < linear_error
        low, high = (middle, high) if below else (low, middle)
    return high


def planted_logits(
    partition: Partition, *, shift: int = 0, diagonal: float = 1.0, dtype: torch.dtype | None = None
) -> Float[Tensor, "patches patches"]:
    """(D, D) logits with which every patch of set l attends, uniformly, to set l + shift.

    shift = 0 is the oracle: the patch association that training should find. The diagonal stays at sigma_A.
    """
    membership = partition.membership
    target = (membership + shift) % partition.num_sets
    attended = (membership == target[:, None]).to(dtype or torch.get_default_dtype())
    # The held diagonal is one of the C equal entries of its own set, or drowned by another set's.
    floor = diagonal if shift % partition.num_sets else diagonal - PLANTED_GAP
    return (floor + PLANTED_GAP * attended).fill_diagonal_(diagonal)


def associated_model(
    distribution: SpatialDistribution, *, shift: int = 0, **options
) -> PositionalAttentionModel:
    """The model with planted attention and v = w*; `options` go to PositionalAttentionModel."""
    feature = distribution.feature
    model = PositionalAttentionModel(
        distribution.partition.num_patches, feature.numel(), dtype=feature.dtype, **options
    ).to(feature.device)
    logits = planted_logits(distribution.partition, shift=shift, diagonal=model.diagonal, dtype=feature.dtype)
    with torch.no_grad():
        model.attention_logits.copy_(logits)
        model.value_vector.copy_(feature)
    return model


def shortcut_model(
    distribution: SpatialDistribution, *, shift: int = 1, **options
) -> PositionalAttentionModel:
    """A model that generalizes without patch association: each set attends to the set `shift` further on.

    F is a sum over patches, so it does not matter which set reads which: the predictions are the associated
    model's. No patch attends to a set mate; `patch_association` gives its floor 1 / C, the diagonal alone.
    """
    num_sets = distribution.partition.num_sets
    if shift % num_sets == 0:
        needed = "the nearest that does not: 1" if num_sets > 1 else "two sets or more are needed"
        raise ValueError(f"shift = {shift} sends each of the {num_sets} sets to itself; {needed}")
    return associated_model(distribution, shift=shift, **options)
