"""How many samples the theory's model needs as D grows: from scratch, and with learned attention kept."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import inf, nan

import numpy as np
import torch

from src.recipes import Measured, recipe
from src.recipes.synthetic import Task
from src.seeding import child_generator
from src.shapes import Float, Int
from src.structure import patch_association
from src.synthetic.baselines import distractor_prob_at
from src.synthetic.distribution import random_feature
from src.synthetic.gradient import loss_and_gradient
from src.synthetic.realistic import Run
from src.synthetic.transfer import Arm, Descent, accuracy_on, descend_with_retries, transfer_curve

ARMS = ("scratch", "kept")
MARGIN = 0.03  # samples are enough where test accuracy is within this of the labelling function's
RESAMPLES = 2000


@dataclass(frozen=True)
class Regime:
    """The distribution and the model. Only D changes, and q with it: the best linear rule errs alike at every D."""

    num_patches: list[int]
    set_size: int
    patch_dim: int
    linear_error: float
    degree: int
    linear_coefficient: float

    def task(self, seed: int, index: int, row: int, device: torch.device) -> Task:
        num_patches = self.num_patches[row]
        own_seed = child_generator(seed, "samples needed", num_patches).initial_seed()
        prob = distractor_prob_at(self.linear_error, num_patches, self.set_size)
        return Task.draw(own_seed, index, num_patches, self.set_size, self.patch_dim, prob, device=device)


@dataclass(frozen=True)
class Samples:
    """Sample sizes: from scratch in multiples of D, for pretraining one a D, downstream the same at every D."""

    samples_per_patch: list[int]
    pretraining_samples: list[int]
    downstream_sizes: list[int]
    downstream_draws: int
    num_test: int


@dataclass(frozen=True)
class Steps:
    """Iterations, one number a D, and the rule for step sizes: that of v falls, and that of A grows, as D²."""

    steps: list[int]
    lr_value_scale: float
    lr_attention_scale: float
    max_move: float

    def descent(self, regime: Regime, row: int) -> Descent:
        area = regime.num_patches[row] ** 2
        rates = (self.lr_value_scale / area, self.lr_attention_scale * area)
        model = (regime.degree, regime.linear_coefficient)
        return Descent(self.steps[row], *rates, *model, max_move=self.max_move)


@dataclass(frozen=True)
class Point:
    """One repetition at one D: over the sizes from scratch, over the downstream sizes, and two numbers."""

    accuracy_scratch: Float[np.ndarray, " sizes"]
    association_scratch: Float[np.ndarray, " sizes"]
    loss_scratch: Float[np.ndarray, " sizes"]
    retries_scratch: Int[np.ndarray, " sizes"]
    accuracy_kept: Float[np.ndarray, " downstream"]
    association_kept: float
    labelling_accuracy: float


@recipe("scale", "samples-needed")
def samples_needed(
    *, seed: int, num_seeds: int, regime: Regime, samples: Samples, steps: Steps, device: torch.device
) -> Measured:
    """Claim `samples-needed`: samples needed at each D from scratch and with attention kept, and their slopes in D.

    Source: the paper's theorem on transfer. Cost: the defaults under 30 s, D up to 256 about an hour on one core.
    Expected: a slope near 1 from scratch, near 0 with attention kept. Departures from the paper: the update of A
    is capped at `max_move`, and d is the same at every D.
    """
    check_settings(regime, samples, steps)
    points = [
        [measure_point(seed, index, row, regime, samples, steps, device) for index in range(num_seeds)]
        for row in range(len(regime.num_patches))
    ]
    arrays = {
        each.name: np.array([np.stack([getattr(point, each.name) for point in row], -1) for row in points])
        for each in fields(Point)
    }
    arrays |= {
        "num_patches": np.array(regime.num_patches),
        "distractor_prob": np.array(
            [distractor_prob_at(regime.linear_error, size, regime.set_size) for size in regime.num_patches]
        ),
        "sizes_scratch": np.outer(regime.num_patches, samples.samples_per_patch),
        "sizes_kept": np.tile(samples.downstream_sizes, (len(points), 1)),
        "threshold": arrays["labelling_accuracy"].mean(-1) - MARGIN,
    }
    generator = child_generator(seed, "samples needed", "bootstrap")
    shape = (RESAMPLES, len(points), num_seeds)
    metrics, needed = needed_and_slopes(arrays, torch.randint(num_seeds, shape, generator=generator).numpy())
    association = zip(regime.num_patches, arrays["association_kept"].tolist(), strict=True)
    return Measured(metrics | {f"association_kept_{D}": each for D, each in association}, arrays | needed)


def check_settings(regime: Regime, samples: Samples, steps: Steps) -> None:
    """Raise ValueError unless there are two D or more, sizes ascend, and lists of one value a D have as many."""
    count = len(regime.num_patches)
    if len({*regime.num_patches}) < max(2, count):
        raise ValueError(f"num_patches = {regime.num_patches}: two or more different values are needed")
    for name, each in (("pretraining_samples", samples.pretraining_samples), ("steps", steps.steps)):
        if len(each) != count:
            raise ValueError(f"{name} = {each}: {count} values are needed, one for each of num_patches")
    for name in ("samples_per_patch", "downstream_sizes"):
        sizes = getattr(samples, name)
        if sizes != sorted({*sizes}):
            raise ValueError(f"{name} = {sizes}: ascending sizes are needed; the nearest: {sorted({*sizes})}")


def measure_point(
    seed: int, index: int, row: int, regime: Regime, samples: Samples, steps: Steps, device: torch.device
) -> Point:
    """Both arms of one repetition at one D. Its samples, nested by size, are gone when this returns."""
    task, descent = regime.task(seed, index, row, device), steps.descent(regime, row)
    sizes = [size * regime.num_patches[row] for size in samples.samples_per_patch]
    pretraining = samples.pretraining_samples[row]
    train = task.sample("train", max(*sizes, pretraining))
    test = task.sample("test", samples.num_test)
    options = {"degree": descent.degree, "linear_coefficient": descent.linear_coefficient}
    runs = {
        n: replace(
            task.run(train, n, descent.lr_value, descent.lr_attention, **options), max_move=descent.max_move
        )
        for n in {*sizes, pretraining}
    }
    retries = dict(zip(runs, descend_with_retries([*runs.values()], descent.steps), strict=True))
    scratch = [runs[n] for n in sizes]
    labelling = task.labelling_accuracy(test)
    accuracy = [accuracy_on(run.model, test.patches, test.label) for run in scratch]
    association = {n: _association(run, task) for n, run in runs.items()}
    loss = [loss_and_gradient(run.model, run.patches, run.label)[0].item() for run in scratch]
    kept = runs[pretraining].model.attention_logits.detach()
    del train, test, runs, scratch  # the largest things here, before the downstream draws are made
    return Point(
        np.array(accuracy),
        np.array([association[n] for n in sizes]),
        np.array(loss),
        np.array([retries[n] for n in sizes]),
        kept_accuracy(task, kept, descent, samples),
        association[pretraining],
        labelling,
    )


def _association(run: Run, task: Task) -> float:
    return patch_association(run.model.attention_logits.detach(), task.partition).mean().item()


def kept_accuracy(
    task: Task, logits: Float[torch.Tensor, "patches patches"], descent: Descent, samples: Samples
) -> Float[np.ndarray, " downstream"]:
    """Test accuracy with attention kept, over downstream sizes: the mean over draws, each with a feature of its own."""
    generator = task.generator("downstream features")
    dim = task.distribution.feature.numel()
    draws = [
        {"kept": Arm(replace(task.distribution, feature=random_feature(dim, generator=generator)), logits)}
        for _ in range(samples.downstream_draws)
    ]
    own_seed = task.generator("downstream").initial_seed()
    curve = transfer_curve(draws, samples.downstream_sizes, descent, seed=own_seed, num_test=samples.num_test)
    return curve.accuracy["kept"].double().mean(0).numpy()


def needed_and_slopes(
    arrays: Mapping[str, np.ndarray], resampled: Int[np.ndarray, "resamples patches seeds"]
) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """Samples needed a D and arm, slopes of their logarithm in log D, and the ends of 95 % bootstrap intervals.

    Parameters
    ----------
    arrays : `num_patches` and `threshold` (D,); `sizes_…` (D, sizes) and `accuracy_…` (D, sizes, seeds) of each arm.
    resampled : indices of seeds, drawn at each D with replacement; both arms take the same, so that they stay paired.

    Returns
    -------
    Metrics, one value each; and the arrays needed_…, needed_…_low, needed_…_high (D,).
    """
    num_patches, threshold = arrays["num_patches"], arrays["threshold"]
    metrics, needed, slopes = {}, {}, {}
    for arm in ARMS:
        sizes, accuracy = arrays[f"sizes_{arm}"], arrays[f"accuracy_{arm}"]
        rows = np.arange(len(num_patches))[:, None]
        means = accuracy.swapaxes(1, 2)[rows, resampled].mean(2)  # (resamples, D, sizes)
        needed[f"needed_{arm}"] = crossing(sizes, accuracy.mean(-1), threshold)
        draws = crossing(sizes, means, threshold)
        needed[f"needed_{arm}_low"], needed[f"needed_{arm}_high"] = interval(draws)
        metrics[f"slope_{arm}"] = [slope(num_patches, needed[f"needed_{arm}"]).item()]
        slopes[arm] = slope(num_patches, draws)
    slopes["gap"] = slopes["scratch"] - slopes["kept"]
    for name, draws in slopes.items():
        low, high = interval(draws)
        metrics |= {f"slope_{name}_low": [low.item()], f"slope_{name}_high": [high.item()]}
    return metrics, needed


def crossing(
    sizes: Int[np.ndarray, "patches sizes"],
    accuracy: Float[np.ndarray, "*resamples patches sizes"],
    threshold: Float[np.ndarray, " patches"],
) -> Float[np.ndarray, "*resamples patches"]:
    """Where mean accuracy first reaches the threshold, log-linear between sizes.

    The first size, which is then an upper bound, where it is there already; inf where it is never reached.
    """
    threshold = threshold[:, None]
    reached = accuracy >= threshold
    after = reached.argmax(-1)[..., None]
    before = np.maximum(after - 1, 0)
    low, high = (np.take_along_axis(accuracy, each, -1) for each in (before, after))
    log_low, log_high = (
        np.take_along_axis(np.broadcast_to(np.log(sizes), accuracy.shape), each, -1)
        for each in (before, after)
    )
    share = (threshold - low) / np.where(after > before, high - low, 1)
    found = np.exp(log_low + share * (log_high - log_low))
    return np.where(reached.any(-1), found[..., 0], inf)


def slope(
    num_patches: Int[np.ndarray, " patches"], needed: Float[np.ndarray, "*resamples patches"]
) -> Float[np.ndarray, "*resamples"]:
    """Least-squares slope of log samples in log D; nan where one of them is not finite."""
    finite = np.isfinite(needed)
    x = np.log(num_patches) - np.log(num_patches).mean()
    fitted = np.log(np.where(finite, needed, 1)) @ x / (x @ x)
    return np.where(finite.all(-1), fitted, nan)


def interval(draws: Float[np.ndarray, "resamples ..."]) -> Float[np.ndarray, "2 ..."]:
    """Ends of the 95 % percentile interval; a draw without a value counts as below the one and above the other."""
    unknown = np.isnan(draws)
    low = np.quantile(np.where(unknown, -inf, draws), 0.025, axis=0, method="lower")
    high = np.quantile(np.where(unknown, inf, draws), 0.975, axis=0, method="higher")
    return np.stack([low, high])
