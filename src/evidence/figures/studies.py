"""Figures of the studies beyond the paper."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from src.evidence.figures import INK, PALETTE, SMALL, band, figure_style, legend_below, panels
from src.evidence.records import Record

ARMS = {"overlapping": "equal sets", "unequal": "unequal sets", "noisy": "unequal, some missed"}


def shared_sets(record: Record) -> Figure:
    """Correlation of similarity with shared sets over the steps, by arm; sets counted alike, and by 1 / size.

    Lines are means over the repetitions, bands from the lowest to the highest; dashed, the bound of the rule.
    """
    arrays, step = record.arrays, record.arrays["step"]
    with figure_style():
        figure, axes = panels(1, len(ARMS), figsize=(9, 2.9), sharey=True)
        for axis, (arm, title) in zip(axes, ARMS.items(), strict=True):
            band(axis, step, arrays[f"spearman_{arm}"], color=PALETTE["content"], label="each set counts 1")
            if arm != "overlapping":
                weighted = arrays[f"spearman_weighted_{arm}"]
                band(axis, step, weighted, "-.", color=PALETTE["positional"], label="counts 1 / size")
            axis.axhline(0.8, color=INK, linestyle="--", linewidth=1)
            axis.set(title=title, xlabel="iteration", xlim=(0, step[-1]), ylim=(-0.2, 1.0))
        axes[0].set(ylabel="Spearman's correlation")
        axes[1].legend(fontsize=SMALL)
    return figure


def similarity_by_count(record: Record) -> Figure:
    """First repetition, last step: similarity of each pair of patches against the number of sets that they share."""
    with figure_style():
        figure, axes = panels(1, len(ARMS), figsize=(9, 2.9), sharey=True)
        for axis, (arm, title) in zip(axes, ARMS.items(), strict=True):
            similarity, counts = record.arrays[f"similarity_{arm}"], record.arrays[f"counts_{arm}"]
            pairs = np.triu_indices(len(counts), 1)
            count, value = counts[pairs].astype(int), similarity[pairs]
            axis.plot(count, value, "o", color=PALETTE["content"], markersize=3, alpha=0.7)
            shared = np.unique(count)
            means = [value[count == each].mean() for each in shared]
            axis.plot(shared, means, "_", color=PALETTE["positional"], markersize=18, markeredgewidth=2)
            axis.set(title=title, xlabel="sets that two patches share", xticks=shared)
        axes[0].set(ylabel="similarity, (A + Aᵀ) / 2")
    return figure


def phase_maps(record: Record) -> Figure:
    """Association at the end, mean over the repetitions: over q and C, and over N and D; crossed where all diverged.

    Lines: where the linear rule errs by 1, 5, 10 and 20 %.
    """
    parameters, arrays = record.parameters, record.arrays
    first = (parameters["set_sizes"], parameters["distractor_probs"])
    second = (parameters["patch_counts"], parameters["training_sizes"])
    with figure_style():
        figure, axes = panels(1, 2, figsize=(9, 3.4))
        for axis, (rows, columns), name in zip(axes, (first, second), ("structure", "samples"), strict=True):
            shape = (len(rows), len(columns))
            scores = _mean_of_finite(arrays[f"association_{name}"]).reshape(shape)
            image = axis.imshow(scores, vmin=0, vmax=1, origin="lower", aspect="auto")
            axis.set_xticks(range(len(columns)), [f"{value:g}" for value in columns], rotation=45)
            axis.set_yticks(range(len(rows)), [f"{value}" for value in rows])
            axis.grid(False)
            for row, column in zip(*np.nonzero(np.isnan(scores)), strict=True):
                axis.text(column, row, "×", ha="center", va="center")
            linear = arrays[f"linear_error_{name}"].reshape(shape)
            if min(shape) > 1 and name == "structure":
                lines = axis.contour(linear, levels=[0.01, 0.05, 0.1, 0.2], colors="black", linewidths=1)
                labels = axis.clabel(lines, fmt=_percent, fontsize=SMALL)
                for drawn in (lines, *labels):
                    drawn.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        axes[0].set(xlabel="chance of a distractor, q", ylabel="patches in a set, C")
        axes[1].set(xlabel="training samples, N", ylabel="patches, D")
        figure.colorbar(image, ax=axes, label="patch association")
    return figure


def _percent(level: float) -> str:
    return f"{100 * level:g} %"


def phase_line(record: Record) -> Figure:
    """Each point of the first map: association, at its peak and at the end, against the linear rule's error."""
    arrays, colours = record.arrays, (PALETTE["content"], PALETTE["positional"])
    with figure_style():
        figure, axis = panels(figsize=(6, 3.2))
        labels = {"peak": "largest so far", "association": "at the end"}
        for (name, label), colour, marker in zip(labels.items(), colours, "^o", strict=True):
            means = _mean_of_finite(arrays[f"{name}_structure"])
            axis.plot(
                100 * arrays["linear_error_structure"], means, marker, color=colour, alpha=0.8, label=label
            )
        axis.set(xlabel="error of the linear rule (%)", ylabel="patch association", ylim=(0, 1.04))
        axis.legend(fontsize=SMALL)
    return figure


def error_and_association(record: Record) -> Figure:
    """Each repetition's way from high error (right) to low (left), and its association on the way, by data and form.

    Gradient descent. The dashed line is the error at which forms are compared.
    """
    arrays, judged = record.arrays, f"gram{record.parameters['ranks'][0]}"
    forms = {
        "free": ("free A", "content"),
        "symmetric": ("symmetric A", "positional"),
        judged: ("PᵀP", "convnet"),
    }
    titles = {
        "gaussian": "Gaussian patches",
        "cubic": "Gaussian, pure cubic",
        "structured": "structured patches",
    }
    with figure_style():
        figure, axes = panels(1, len(titles), figsize=(9, 3.2), sharey=True)
        for axis, (data, title) in zip(axes, titles.items(), strict=True):
            for form, (label, colour) in forms.items():
                key = f"{data}_{form}_gradient_descent"
                error, score = (arrays[f"{name}_{key}"].T for name in ("error", "association"))
                lines = axis.plot(100 * error, score, color=PALETTE[colour], alpha=0.7, linewidth=1)
                lines[0].set_label(label)
            axis.axvline(100 * record.parameters["equal_error"], color=INK, linestyle="--", linewidth=1)
            axis.set(title=title, xlabel="test error (%)", xlim=(15, 0), ylim=(0.2, 1.04))
        axes[0].set(ylabel="patch association")
        legend_below(figure, axes[0], columns=3)
    return figure


def _mean_of_finite(runs: np.ndarray) -> np.ndarray:
    """Mean over the repetitions (last axis) that did not diverge; nan where all did."""
    there = np.isfinite(runs)
    total = np.where(there, runs, 0.0).sum(-1)
    return np.divide(total, there.sum(-1), out=np.full(len(runs), np.nan), where=there.any(-1))
