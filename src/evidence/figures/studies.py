"""Figures of the studies beyond the paper."""

import numpy as np
from matplotlib.figure import Figure

from src.evidence.figures import INK, PALETTE, SMALL, band, figure_style, panels
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
            axis.plot(count, value, "o", color=PALETTE["content"], markersize=3, alpha=0.4)
            shared = np.unique(count)
            means = [value[count == each].mean() for each in shared]
            axis.plot(shared, means, "_", color=PALETTE["positional"], markersize=18, markeredgewidth=2)
            axis.set(title=title, xlabel="sets that two patches share", xticks=shared)
        axes[0].set(ylabel="similarity, (A + Aᵀ) / 2")
    return figure
