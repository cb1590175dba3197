"""Figures of the study of structure that is given, not learned."""

import numpy as np
from matplotlib.figure import Figure

from src.evidence.figures import INK, PALETTE, figure_style, legend_below, panels
from src.evidence.records import Record
from src.evidence.verdicts import t_interval

LABELS = {
    "convolved": "convolved patches",
    "mimetic": "mimetic start",
    "mask": "Gaussian mask",
    "content": "content",
    "positional": "positional",
    "free": "free matrix",
    "uniform": "uniform",
}
COLOURS = {"content": PALETTE["content"], "positional": PALETTE["positional"]}
COLOURS |= dict.fromkeys(("convolved", "mimetic", "mask"), PALETTE["convnet"])
COLOURS |= dict.fromkeys(("free", "uniform"), PALETTE["shortcut"])
# Of the lines; uniform attention is left out, it stays at 1.
LINES = {"mask": ":", "mimetic": "--", "convolved": "-", "content": "-", "positional": "-", "free": "--"}


def accuracy_by_variant(record: Record) -> Figure:
    """Accuracy of each variant with a share of the images and with all: repetitions as points, mean, 95 % interval.

    The dashed line is the mean of content attention.
    """
    shown = [name for name in LABELS if name in record.parameters["variants"]]
    share = record.parameters["share"]
    titles = {"few": f"{100 * share:g} % of the images", "all": "all images"}
    with figure_style():
        figure, axes = panels(1, 2, figsize=(9, 1.2 + 0.3 * len(shown)), sharex=True, sharey=True)
        for axis, (size, title) in zip(axes, titles.items(), strict=True):
            for place, name in enumerate(shown):
                values = 100 * np.array(record.metrics[f"accuracy_{size}_{name}"])
                axis.plot(
                    values, np.full(len(values), place), "o", color=COLOURS[name], alpha=0.7, markersize=4
                )
                if len(values) > 1:
                    axis.plot(
                        t_interval(list(values), 0.95), (place, place), color=COLOURS[name], linewidth=2
                    )
                axis.plot(values.mean(), place, "|", color=COLOURS[name], markersize=14, markeredgewidth=2)
            if "content" in shown:
                content = 100 * np.mean(record.metrics[f"accuracy_{size}_content"])
                axis.axvline(content, color=INK, linestyle="--", linewidth=1)
            axis.set(title=title, xlabel="accuracy (%)")
        axes[0].set_yticks(range(len(shown)), [LABELS[name] for name in shown])
        axes[0].invert_yaxis()
    return figure


def reach(record: Record) -> Figure:
    """First record: how much a patch looks at one so far away, in multiples of uniform attention, by variant."""
    arrays, variants = record.arrays, record.parameters["variants"]
    share = record.parameters["share"]
    titles = {"few": f"{100 * share:g} % of the images", "all": "all images"}
    with figure_style():
        figure, axes = panels(1, 2, figsize=(9, 3.4), sharey=True)
        for axis, (size, title) in zip(axes, titles.items(), strict=True):
            for name, line in LINES.items():
                if name in variants:
                    profile = arrays[f"profile_{size}"][variants.index(name)].mean(0)
                    look = {"color": COLOURS[name], "label": LABELS[name]}
                    axis.plot(arrays["distance"], profile, line, marker="o", markersize=3, **look)
            axis.axhline(1, color=INK, linewidth=1)
            axis.set(title=title, xlabel="distance (patches)", yscale="log")
        axes[0].set(ylabel="attention / uniform attention")
        axes[0].set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
        axes[0].minorticks_off()
        legend_below(figure, axes[0], columns=2)
    return figure
