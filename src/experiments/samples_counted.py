"""Samples needed: read off curves of accuracy, fitted against D, with bootstrap intervals."""

from collections.abc import Mapping
from math import inf, nan

import numpy as np

from src.common.shapes import Float, Int

ARMS = ("scratch", "kept", "oracle", "uniform")
MARGINS = (2, 3, 5)  # points below the labelling function's accuracy at which samples are enough
ENDS = {"low": min, "high": max}


def needed_and_slopes(
    arrays: Mapping[str, np.ndarray],
    threshold: Float[np.ndarray, " patches"],
    resampled: Int[np.ndarray, "resamples patches seeds"],
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Samples needed a D and arm, slopes of their logarithm in log D, and the ends of 95 % bootstrap intervals.

    Parameters
    ----------
    arrays : `num_patches` (D,); `sizes_…` (D, sizes) and `accuracy_…` (D, 2, sizes, seeds) of each arm.
    resampled : indices of seeds, drawn at each D with replacement; all arms take the same, so that they stay paired.

    Returns
    -------
    Metrics: slope_…, slope_…_low, slope_…_high of scratch, kept, oracle and of the gap, scratch minus kept; and
    budget_shift_…, how much more samples half the budget asks for, as a share, at the D where that is most. Arrays
    (D,): needed_…, needed_…_low, needed_…_high; and local_slope_… (D - 1,), between neighbouring D.
    """
    num_patches = arrays["num_patches"]
    rows = np.arange(len(num_patches))[:, None]
    metrics, found, draws = {}, {}, {}
    for arm in ARMS:
        sizes, accuracy = arrays[f"sizes_{arm}"], arrays[f"accuracy_{arm}"]
        half, full = (crossing(sizes, accuracy[:, part].mean(-1), threshold) for part in (0, 1))
        means = accuracy[:, 1].swapaxes(1, 2)[rows, resampled].mean(2)  # (resamples, D, sizes)
        resampled_counts = crossing(sizes, means, threshold)
        found[f"needed_{arm}"] = full
        found[f"needed_{arm}_low"], found[f"needed_{arm}_high"] = interval(resampled_counts)
        if arm == "uniform":
            continue  # a linear rule: it never comes near the labelling function, and has no slope
        with np.errstate(invalid="ignore"):
            found[f"local_slope_{arm}"] = np.diff(np.log(full)) / np.diff(np.log(num_patches))
            shift = half / full - 1
        metrics[f"budget_shift_{arm}"] = float(np.where(np.isnan(shift), inf, shift).max())
        metrics[f"slope_{arm}"], draws[arm] = (
            slope(num_patches, full).item(),
            slope(num_patches, resampled_counts),
        )
    draws["gap"] = draws["scratch"] - draws["kept"]
    metrics["slope_gap"] = metrics["slope_scratch"] - metrics["slope_kept"]
    for name, each in draws.items():
        metrics[f"slope_{name}_low"], metrics[f"slope_{name}_high"] = interval(each).tolist()
    return metrics, found


def over_margins(metrics: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """slope_…_low and slope_…_high that hold the intervals of all margins; and the largest move by a doubled budget."""
    ends = {f"slope_{name}_{end}": pick for name in ("scratch", "kept", "gap") for end, pick in ENDS.items()}
    ends |= {f"budget_shift_{arm}": max for arm in ("scratch", "kept")}
    return {name: [pick(metrics[f"{name}_{margin}"][0] for margin in MARGINS)] for name, pick in ends.items()}


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
