"""The idealized descent, which counts patterns, against autograd through the full model."""

import torch
from harness import Promise, arguments, compare, curve, finish
from torch.nn.functional import softplus

from src.structure import Partition
from src.synthetic.distribution import SpatialDistribution, SpatialSample, random_feature
from src.synthetic.idealized import IdealizedModel, count_patterns, idealized_descent
from src.synthetic.model import PositionalAttentionModel

PATCHES, SET_SIZE, ITERATIONS, SAMPLES = 4_096, 8, 1_000, 1_024
# The two logits stand for D² entries: with this step gamma leaves rho within the 1,000 iterations at D = 4,096.
RATES = {"lr_value": 1e-5, "lr_attention": 1e7}
COUNTED, FULL = f"{ITERATIONS:,} iterations by patterns", "1 iteration by autograd"
PROMISE = Promise(
    "idealized_descent",
    f"{ITERATIONS:,} iterations of the idealized descent (D = {PATCHES:,}, C = {SET_SIZE}, {SAMPLES:,} draws each) "
    "in at most 30 s on two cores, at a cost at most linear in the number of sets; beside it, one iteration of "
    "autograd through the full model at the same D and as many draws.",
    at_most_seconds=30.0,
)


def distribution(num_patches: int, generator: torch.Generator) -> SpatialDistribution:
    """d = 1 and no noise: of a patch the idealized model sees its coefficient alone."""
    feature = random_feature(1, generator=generator, dtype=torch.float64)
    partition = Partition.contiguous(num_patches, SET_SIZE)
    return SpatialDistribution(partition, feature, distractor_prob(num_patches), 0.0)


def distractor_prob(num_patches: int) -> float:
    """q D = C²: now and then the distractors outweigh the informative set."""
    return min(1.0, SET_SIZE**2 / num_patches)


def by_autograd(source: SpatialDistribution, sample: SpatialSample, state: torch.Tensor) -> torch.Tensor:
    """d loss / d (alpha, gamma, rho) through the full model, its parameters built from the three numbers."""
    numbers = state.clone().requires_grad_()
    alpha, gamma, rho = numbers
    membership = source.partition.membership
    logits = torch.where(membership[:, None] == membership, gamma, rho)
    model = PositionalAttentionModel(len(membership), 1, dtype=torch.float64).to(state.device)
    filled = {"value_vector": alpha * source.feature, "attention_logits": logits}
    margin = sample.label * torch.func.functional_call(model, filled, sample.patches)
    return torch.autograd.grad(softplus(-margin).mean(), numbers)[0]


def agreement(device: torch.device) -> str:
    """Both gradients on the same draws, at a small D, in float64."""
    generator = torch.Generator(device).manual_seed(0)
    source = distribution(64, generator)
    sample = source.sample(SAMPLES, generator=generator)
    counts = count_patterns(sample, source.partition, source.feature)
    worst = 0.0
    for numbers in ((0.05, 0.0, 0.0), (0.03, 2.0, -0.3)):
        state = torch.tensor(numbers, dtype=torch.float64, device=device)
        expected = by_autograd(source, sample, state)
        ours = IdealizedModel(64, SET_SIZE).loss_and_gradient(counts, state)[2]
        worst = max(worst, ((ours - expected).abs().max() / expected.abs().max()).item())
    if worst > 1e-10:
        raise SystemExit(f"the gradients disagree by {worst:.1e}; at most 1e-10 was expected")
    return f"On the same draws (D = 64, float64) both gradients agree within {worst:.0e} of the largest."


def descent(num_patches: int, steps: int, device: torch.device):
    """`steps` updates, each from fresh draws."""
    probability = distractor_prob(num_patches)
    return lambda: idealized_descent(
        num_patches,
        SET_SIZE,
        probability,
        steps=steps,
        num_samples=SAMPLES,
        generator=torch.Generator(device).manual_seed(1),
        **RATES,
    )


def full_iteration(device: torch.device):
    """One estimate of the risk's gradient, draws included, as an iteration by patterns has it."""
    generator = torch.Generator(device).manual_seed(1)
    source = distribution(PATCHES, generator)
    state = torch.tensor([0.002, 2.0, -0.3], dtype=torch.float64, device=device)
    return lambda: by_autograd(source, source.sample(SAMPLES, generator=generator), state)


def main() -> None:
    chosen = arguments(__doc__)
    agreed = agreement(chosen.device)
    calls = {FULL: full_iteration(chosen.device), COUNTED: descent(PATCHES, ITERATIONS, chosen.device)}
    work = {FULL: 1, COUNTED: ITERATIONS + 1}
    rows = compare(calls, repeats=min(chosen.repeats, 3), device=chosen.device, work=work, unit="iterations")
    over_sets = curve(
        "20 iterations over the number of sets",
        "sets",
        [(count, descent(count * SET_SIZE, 20, chosen.device)) for count in (32, 64, 128, 256, 512, 1_024)],
        device=chosen.device,
    )
    finish(PROMISE, rows, chosen, reference=FULL, contender=COUNTED, curves=[over_sets], agreement=agreed)


if __name__ == "__main__":
    main()
