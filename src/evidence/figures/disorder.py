"""Figures of the study of disordered images: what encodings learn, condition by condition."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from src.evidence.figures import INK, PALETTE, SMALL, figure_style, legend_below, panels
from src.evidence.figures.vision import DIVERGING
from src.evidence.records import Record
from src.evidence.statements import MODELS

TITLES = {"in_place": "in place", "permuted": "permuted", "by_class": "by class", "by_image": "by image"}
TITLES |= {"warped": "warped"}
PLACE = (2, 2)  # row and column, from 0, of the patch that is looked at


def one_place(record: Record) -> Figure:
    """First repetition: a test image under each condition, and how alike one place's encoding is to every other's.

    The square marks the place. Arrays: `images` (conditions, height, width, 3), `similarity` (conditions, attentions,
    patches, patches).
    """
    conditions = record.parameters["conditions"]
    images, similarity = record.arrays["images"], record.arrays["similarity"]
    side = round(similarity.shape[-1] ** 0.5)
    patch = images.shape[1] / side
    row, column = (min(each, side - 1) for each in PLACE)
    with figure_style():
        figure, axes = panels(
            1 + len(MODELS), len(conditions), figsize=(1.35 * len(conditions) + 1, 4.4), squeeze=False
        )
        for axis, image, condition in zip(axes[0], images, conditions, strict=True):
            axis.imshow(image)
            axis.set_title(TITLES[condition])
            _mark(axis, column * patch - 0.5, row * patch - 0.5, patch)
        for line, name, by_condition in zip(axes[1:], MODELS, similarity.swapaxes(0, 1), strict=True):
            for axis, matrix in zip(line, by_condition, strict=True):
                shown = matrix[row * side + column].reshape(side, side)
                picture = axis.imshow(shown, cmap=DIVERGING, vmin=-1, vmax=1)
                _mark(axis, column - 0.5, row - 0.5, 1.0)
            line[0].set_ylabel(MODELS[name].replace(" ", "\n"))
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            axis.spines[:].set_visible(False)
        figure.colorbar(picture, ax=axes[1:], shrink=0.8, label="cosine similarity")
    return figure


def _mark(axis: Axes, left: float, top: float, side: float) -> None:
    axis.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor="black", linewidth=2.4))
    axis.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor="white", linewidth=1.2))


def what_is_followed(record: Record) -> Figure:
    """Correlation of similarity with nearness, by condition: a point a repetition, on the grid and of the sources.

    Metrics: `grid_…`, `sources_…` for each condition and attention; None where there is no value.
    """
    conditions, rng = (
        record.parameters["conditions"],
        np.linspace(-0.08, 0.08, record.parameters["num_seeds"]),
    )
    kinds = {
        "grid": ("nearness on the grid", "reference", "o", -0.17),
        "sources": ("nearness of what the places show", "oracle", "^", 0.17),
    }
    with figure_style():
        figure, axes = panels(1, len(MODELS), figsize=(9, 3.3), sharey=True)
        for axis, model in zip(axes, MODELS, strict=True):
            axis.axhline(0, color=INK, linewidth=1)
            for metric, (label, colour, marker, shift) in kinds.items():
                values = [record.metrics[f"{metric}_{condition}_{model}"] for condition in conditions]
                x = np.concatenate([place + shift + rng for place in range(len(conditions))])
                y = np.array(values, dtype=float).ravel()
                axis.plot(x, y, marker, color=PALETTE[colour], markersize=4.5, alpha=0.85, label=label)
            axis.set_xticks(range(len(conditions)), [TITLES[each] for each in conditions], fontsize=SMALL)
            axis.set(title=MODELS[model], xlim=(-0.5, len(conditions) - 0.5))
        axes[0].set(ylabel="correlation with similarity")
        legend_below(figure, axes[0], columns=2)
    return figure
