"""Figures of the study of several layers."""

import numpy as np
from matplotlib.figure import Figure

from src.evidence.figures import INK, PALETTE, SMALL, figure_style, panels
from src.evidence.records import Record

SCORES = {"association": "in its own set", "reading": "in any one set"}
ABLATED = {"association": ("own-set", "content"), "reading": ("any-set", "positional")}


def heads_by_layer(record: Record) -> Figure:
    """Both scores of every head of the first repetition, a row of panels a depth."""
    depths = record.parameters["depths"]
    with figure_style():
        ratios = {"height_ratios": [2 + depth for depth in depths]}
        size = (6.4, 0.9 + sum(0.5 + 0.3 * depth for depth in depths))
        figure, axes = panels(
            len(depths), len(SCORES), figsize=size, squeeze=False, sharex=True, gridspec_kw=ratios
        )
        for row, depth in zip(axes, depths, strict=True):
            for axis, (name, words) in zip(row, SCORES.items(), strict=True):
                scores = record.arrays[f"{name}_{depth}_layers"][0]
                image = axis.imshow(scores, vmin=0, vmax=1, aspect="auto")
                axis.set(title=words if depth == depths[0] else None)
                axis.set_xticks(range(scores.shape[1]), range(1, scores.shape[1] + 1))
                axis.set_yticks(range(depth), range(1, depth + 1))
                axis.grid(False)
            row[0].set(ylabel=f"layer of {depth}")
        for axis in axes[-1]:
            axis.set(xlabel="head")
        figure.colorbar(image, ax=axes, label="share of a row's top C")
    return figure


def ablated_heads(record: Record) -> Figure:
    """Accuracy of each repetition, whole and where heads look everywhere alike; a panel a depth.

    Dashed, what the sum of all patches reaches; dotted, the best rule. Without heads to ablate, there is no point.
    """
    depths, metrics = record.parameters["depths"], record.metrics
    columns = [("whole", "", INK)]
    for name, (words, colour) in ABLATED.items():
        columns += [(f"{words}\nheads off", f"loss_{name}", PALETTE[colour])]
        columns += [("as many\nothers off", f"loss_others_{name}", PALETTE[colour])]
    with figure_style():
        figure, axes = panels(1, len(depths), figsize=(7.2, 3), squeeze=False, sharey=True)
        for axis, depth in zip(axes[0], depths, strict=True):
            whole = metrics[f"accuracy_{depth}_layers"]
            for at, (_, metric, colour) in enumerate(columns):
                lost = metrics[f"{metric}_{depth}_layers"] if metric else [0.0] * len(whole)
                left = [(100 * (a - b)) for a, b in zip(whole, lost, strict=True) if b is not None]
                spread = at + 0.25 * np.linspace(-1, 1, len(left)) if len(left) > 1 else [at] * len(left)
                marker = "^" if metric.startswith("loss_others") else "o"
                axis.plot(spread, left, marker, color=colour, markersize=4, alpha=0.8)
            for error, line in (("linear_error", "--"), ("bayes_error", ":")):
                axis.axhline(100 * (1 - record.arrays[error].item()), color=INK, linestyle=line, linewidth=1)
            axis.set_xticks(range(len(columns)), [words for words, *_ in columns], fontsize=SMALL)
            axis.set(title=f"{depth} layer{'s' if depth > 1 else ''}", xlim=(-0.5, len(columns) - 0.5))
        axes[0, 0].set(ylabel="test accuracy (%)", ylim=(None, 101))
    return figure
