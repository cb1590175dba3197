"""Claim `samples-needed`: samples that training needs as D grows, from scratch and with learned attention kept."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import inf, nan

import numpy as np
import torch

from src.common.device import pick_device
from src.common.seeding import child_generator
from src.common.shapes import Float, Int
from src.experiments.measured import Measured
from src.experiments.settings import SamplesNeededSettings
from src.experiments.tasks import activation_of
from src.synthetic.baselines import distractor_prob_at
from src.synthetic.distribution import random_feature
from src.synthetic.gradient import loss_and_gradient
from src.synthetic.measures import association, labelling_accuracy
from src.synthetic.tasks import Task, draw_task
from src.synthetic.transfer import Arm, Descent, accuracy_on, descend_with_retries, transfer_curve

MARGIN = 0.03  # samples are enough where test accuracy is within this of the labelling function's
RESAMPLES = 2000


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


def run(settings: SamplesNeededSettings) -> Measured:
    """Source: the paper's theorem on transfer. Cost: the defaults under 30 s, D up to 256 about an hour on one core.

    Expected: a slope near 1 from scratch, near 0 with attention kept. Only D changes, and q with it: the best linear
    rule errs alike at every D. Departures from the paper: the update of A is capped at `max_move`, and d is the
    same at every D.
    """
    device, sizes, num_seeds = pick_device(settings.device), settings.num_patches, settings.num_seeds
    probs = [distractor_prob_at(settings.linear_error, D, settings.set_size) for D in sizes]
    points = [
        [measure_point(settings, index, row, probs[row], device) for index in range(num_seeds)]
        for row in range(len(sizes))
    ]
    arrays = {
        each.name: np.array([np.stack([getattr(point, each.name) for point in row], -1) for row in points])
        for each in fields(Point)
    }
    arrays |= {
        "num_patches": np.array(sizes),
        "distractor_prob": np.array(probs),
        "sizes_scratch": np.outer(sizes, settings.samples_per_patch),
        "sizes_kept": np.tile(settings.downstream_sizes, (len(points), 1)),
        "threshold": arrays["labelling_accuracy"].mean(-1) - MARGIN,
    }
    generator = child_generator(settings.seed, "samples needed", "bootstrap")
    resampled = torch.randint(num_seeds, (RESAMPLES, len(points), num_seeds), generator=generator)
    metrics, needed = needed_and_slopes(arrays, resampled.numpy())
    kept = zip(sizes, arrays["association_kept"].tolist(), strict=True)
    return Measured(metrics | {f"association_kept_{D}": each for D, each in kept}, arrays | needed)


def measure_point(
    settings: SamplesNeededSettings, index: int, row: int, distractor_prob: float, device: torch.device
) -> Point:
    """Both arms of one repetition at one D. Its samples, nested by size, are gone when this returns."""
    num_patches, pretraining = settings.num_patches[row], settings.pretraining_samples[row]
    own_seed = child_generator(settings.seed, "samples needed", num_patches).initial_seed()
    size = {"num_patches": num_patches, "set_size": settings.set_size, "patch_dim": settings.patch_dim}
    task = draw_task(own_seed, index, **size, distractor_prob=distractor_prob, device=device)
    descent, sizes = _descent(settings, row), [each * num_patches for each in settings.samples_per_patch]
    train = task.sample("train", max(*sizes, pretraining))
    test = task.sample("test", settings.num_test)
    rates, options = (descent.lr_value, descent.lr_attention), activation_of(settings)
    runs = {
        n: replace(task.run(train, n, *rates, **options), max_move=descent.max_move)
        for n in {*sizes, pretraining}
    }
    retries = dict(zip(runs, descend_with_retries([*runs.values()], descent.steps), strict=True))
    scratch = [runs[n] for n in sizes]
    labelling = labelling_accuracy(task.distribution, test)
    accuracy = [accuracy_on(run.model, test.patches, test.label) for run in scratch]
    found = {n: association(run.model.attention_logits, task).item() for n, run in runs.items()}
    loss = [loss_and_gradient(run.model, run.patches, run.label)[0].item() for run in scratch]
    kept = runs[pretraining].model.attention_logits.detach()
    del train, test, runs, scratch  # the largest things here, before the downstream draws are made
    return Point(
        np.array(accuracy),
        np.array([found[n] for n in sizes]),
        np.array(loss),
        np.array([retries[n] for n in sizes]),
        kept_accuracy(settings, task, kept, descent),
        found[pretraining],
        labelling,
    )


def _descent(settings: SamplesNeededSettings, row: int) -> Descent:
    """Step sizes go by D: that of v falls, and that of A grows, as D²."""
    area = settings.num_patches[row] ** 2
    rates = (settings.lr_value_scale / area, settings.lr_attention_scale * area)
    return Descent(settings.steps[row], *rates, **activation_of(settings), max_move=settings.max_move)


def kept_accuracy(
    settings: SamplesNeededSettings,
    task: Task,
    logits: Float[torch.Tensor, "patches patches"],
    descent: Descent,
) -> Float[np.ndarray, " downstream"]:
    """Test accuracy with attention kept, over downstream sizes: the mean over draws, each with a feature of its own."""
    generator = task.generator("downstream features")
    features = (
        random_feature(settings.patch_dim, generator=generator) for _ in range(settings.downstream_draws)
    )
    draws = [{"kept": Arm(replace(task.distribution, feature=feature), logits)} for feature in features]
    own_seed = task.generator("downstream").initial_seed()
    curve = transfer_curve(
        draws, settings.downstream_sizes, descent, seed=own_seed, num_test=settings.num_test
    )
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
    rows = np.arange(len(num_patches))[:, None]

    def needed(arm: str) -> tuple[np.ndarray, np.ndarray]:
        """(D,), and (resamples, D)."""
        sizes, accuracy = arrays[f"sizes_{arm}"], arrays[f"accuracy_{arm}"]
        means = accuracy.swapaxes(1, 2)[rows, resampled].mean(2)  # (resamples, D, sizes)
        return crossing(sizes, accuracy.mean(-1), threshold), crossing(sizes, means, threshold)

    (scratch, scratch_draws), (kept, kept_draws) = needed("scratch"), needed("kept")
    scratch_slopes, kept_slopes = slope(num_patches, scratch_draws), slope(num_patches, kept_draws)
    scratch_low, scratch_high = interval(scratch_slopes)
    kept_low, kept_high = interval(kept_slopes)
    gap_low, gap_high = interval(scratch_slopes - kept_slopes)
    metrics = {
        "slope_scratch": slope(num_patches, scratch),
        "slope_kept": slope(num_patches, kept),
        "slope_scratch_low": scratch_low,
        "slope_scratch_high": scratch_high,
        "slope_kept_low": kept_low,
        "slope_kept_high": kept_high,
        "slope_gap_low": gap_low,
        "slope_gap_high": gap_high,
    }
    found = {"needed_scratch": scratch, "needed_kept": kept}
    found["needed_scratch_low"], found["needed_scratch_high"] = interval(scratch_draws)
    found["needed_kept_low"], found["needed_kept_high"] = interval(kept_draws)
    return {name: [value.item()] for name, value in metrics.items()}, found


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
