"""Figures of the probes: each measure by layer, of both attentions, on plain and on permuted patches."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.evidence.figures import INK, PALETTE, SMALL, band, figure_style, legend_below, panels
from src.evidence.records import Record
from src.evidence.statements import MODELS

ORDERS = {"": ("", "-"), "_permuted": (", permuted", "--")}


def structure_by_layer(record: Record) -> Figure:
    """LDS, CDS and RMSC of the tokens, mean over images, by layer; dotted before training, plain patches.

    Lines are means over the repetitions, bands from the lowest to the highest.
    """
    labels = {"lds": "LDS", "cds": "CDS", "rmsc": "RMSC"}
    with figure_style():
        figure, axes = panels(1, 3, figsize=(9, 3.1))
        for axis, (measure, label) in zip(axes, labels.items(), strict=True):
            _by_layer(axis, record, measure)
            axis.set(title=label)
            axis.set_ylim(bottom=0)
        legend_below(figure, axes[0], columns=2)
    return figure


def read_back(record: Record) -> Figure:
    """How often a linear readout gives a token's position, by layer: of all tokens, and of those without encodings."""
    with figure_style():
        figure, axes = panels(1, 2, figsize=(9, 3.3), sharey=True)
        dropped = f"{100 * record.parameters['drop_share']:.0f} % without encodings"
        for axis, (measure, title) in zip(
            axes, {"readback": "all tokens", "dropped": dropped}.items(), strict=True
        ):
            _by_layer(axis, record, measure)
            patches = (record.parameters["image_size"] // record.parameters["patch_size"]) ** 2
            axis.axhline(1 / patches, color=INK, linewidth=1)
            axis.set(title=title, yscale="log", ylim=(0.01, 1.2))
        axes[0].set(ylabel="positions right [share]")
        legend_below(figure, axes[0], columns=2)
    return figure


def fixed_pattern(record: Record) -> Figure:
    """Variance over places, as a share of that of images: of an empty image, of the images' mean; and their cosine."""
    labels = {"share": "empty image", "common": "mean over images", "cosine": "cosine of the two"}
    with figure_style():
        figure, axes = panels(1, 3, figsize=(9, 3.1))
        for axis, (measure, title) in zip(axes, labels.items(), strict=True):
            _by_layer(axis, record, measure)
            axis.set(title=title)
        for axis in axes[:2]:
            axis.set_ylim(bottom=0)
        axes[0].set(ylabel="share of the variance")
        axes[2].set(ylabel="cosine")
        legend_below(figure, axes[0], columns=2)
    return figure


def _by_layer(axis: Axes, record: Record, measure: str) -> None:
    """A line a model, with its band; dotted before training. What a record lacks is left out."""
    for model in MODELS:
        drawn = {f"before_{model}": (f"{model}, untrained", ":")}
        drawn |= {f"after_{model}{order}": (model + words, line) for order, (words, line) in ORDERS.items()}
        for name, (label, line) in drawn.items():
            runs = record.arrays.get(f"{measure}_{name}")
            if runs is not None:
                layers = np.arange(runs.shape[1])
                band(axis, layers, runs, line, color=PALETTE[model], alpha=0.15, label=label)
                axis.set(xlabel="layer", xticks=layers)
    axis.tick_params(labelsize=SMALL)
