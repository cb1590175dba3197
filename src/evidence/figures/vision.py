"""Pictures of the vision half. Each function takes a record and returns a Figure; none changes a number.

Arrays over models are ordered as `MODELS`; the similarity pictures also take the first model alone.
"""

from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.evidence.figures import DESK, INK, PALETTE, SMALL, figure_style, panels
from src.evidence.records import Record
from src.evidence.statements import MODELS

THRESHOLD = 0.55  # of the paper's picture
PIXELS = 450  # that the widest panel has on a page
# Perceptually uniform on both sides of a light middle; gaps (nan) are grey.
DIVERGING = sns.color_palette("vlag", as_cmap=True).with_extremes(bad=INK)


def example_images(record: Record) -> Figure:
    """Images of the data set with their labels.

    Arrays: `images` (n, height, width, 3) uint8, `labels` (n,).
    """
    images, labels = _arrays(record, "images", "labels")
    columns = min(len(images), 10)
    rows = -(-len(images) // columns)
    with figure_style():
        figure, axes = panels(rows, columns, figsize=(0.9 * columns, 1.1 * rows), squeeze=False)
        for ax, image, label in zip(axes.flat, images, labels, strict=False):
            ax.imshow(image)
            name = fill(str(label), 12, max_lines=3, placeholder=" …")  # a folder may have any name
            ax.set_title(name, fontsize=SMALL, parse_math=False)
            ax.set_axis_off()
        for ax in axes.flat[len(images) :]:
            ax.remove()
    return figure


def training_curves(record: Record) -> Figure:
    """Loss, validation accuracy and locality by epoch: mean over seeds, band of one standard deviation.

    Arrays: `loss_by_epoch`, `accuracy_by_epoch`, `locality_by_epoch` (models, seeds, epochs). The last epoch
    is the same in all; an array with one entry more than the loss starts at epoch 0, the initialization.
    """
    labels = {
        "loss_by_epoch": "training loss [nat]",
        "accuracy_by_epoch": "validation accuracy [share]",
        "locality_by_epoch": "locality correlation [1]",
    }
    curves = dict(zip(labels, _arrays(record, *labels), strict=True))
    num_epochs = curves["loss_by_epoch"].shape[-1]
    with figure_style():
        figure, axes = panels(1, len(labels), figsize=(9.0, 2.8))
        for ax, (name, label) in zip(axes, labels.items(), strict=True):
            epochs = np.arange(num_epochs + 1)[-curves[name].shape[-1] :]
            for model, by_seed in zip(MODELS, curves[name], strict=True):
                _mean_and_deviation(ax, epochs, by_seed, model)
            ax.set(xlabel="epoch", ylabel=label)
            ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        ax.axhline(0, color=PALETTE["reference"], linewidth=0.8, linestyle=":")
        figure.axes[0].legend()
    return figure


def similarity_grid(record: Record, permuted: bool = False) -> Figure:
    """Similarity of the positional encodings before and after training, as the paper draws it.

    At the place of each patch stands a small picture of the whole grid: the similarity of this patch's
    encoding to that of every patch. The colours span [-1, 1] in all panels.

    Arrays: `similarity_before` and `similarity_after` (models, patches, patches) in [-1, 1], `grid` = (height,
    width); with `permuted` those of the models trained on permuted images, `similarity_…_permuted`.
    """
    stages = ("before", "after")
    suffix = "_permuted" if permuted else ""
    return _similarity_panels(
        record, stages, DIVERGING, Normalize(-1, 1), label="cosine similarity of encodings [1]", suffix=suffix
    )


def similarity_thresholded(record: Record, threshold: float = THRESHOLD) -> Figure:
    """Which encodings are more similar than the threshold, before and after training.

    Arrays: `similarity_before`, `similarity_after` (models, patches, patches) in [-1, 1],
    `grid` = (height, width).
    """
    two_colours = ListedColormap([DIVERGING(0.5), DIVERGING(1.0)]).with_extremes(bad=INK)
    figure = _similarity_panels(
        record, ("before", "after"), two_colours, Normalize(0, 1), label="", threshold=threshold
    )
    figure.axes[-1].set_yticks([0.25, 0.75], [f"similarity\n< {threshold:g}", f"similarity\n≥ {threshold:g}"])
    return figure


def attention_maps(record: Record) -> Figure:
    """Attention of every layer and head of both models; a row of a picture is the token that looks.

    The colours show attention relative to uniform attention, on a log scale: the white middle is 1 / tokens.

    Arrays: `attention_content`, `attention_positional` (depth, heads, tokens, tokens), rows sum to one.
    """
    maps = _arrays(record, *(f"attention_{model}" for model in MODELS))
    depth, heads, num_tokens, _ = maps[0].shape
    norm = LogNorm(1 / num_tokens, num_tokens)  # one token takes all: attention relative to uniform = tokens
    with figure_style():
        figure, axes = panels(1, len(MODELS), figsize=(9.5, 0.9 + 4.4 * depth / heads))
        for ax, model, attention in zip(axes, MODELS, maps, strict=True):
            picture = _draw_mosaic(ax, attention * num_tokens, DIVERGING, norm)
            ax.set(title=f"{model} attention", xlabel="head", ylabel="layer")
        bar = figure.colorbar(picture, ax=axes, extend="min", shrink=0.8, pad=0.01)
        bar.set_label("attention / uniform attention [1]")
    return figure


def attention_distance(record: Record) -> Figure:
    """Mean distance between a patch and where it looks, for every head, by layer.

    Lines join the layers' means over heads; the dotted line is the distance of uniform attention.

    Arrays: `distance_by_head` (models, depth, heads) in patches, `grid` = (height, width).
    """
    distances, grid = _arrays(record, "distance_by_head", "grid")
    layers = np.arange(1, distances.shape[1] + 1)
    places = np.indices(tuple(grid)).reshape(2, -1).T
    uniform = np.linalg.norm(places[:, None] - places[None], axis=-1).mean()
    with figure_style():
        figure, ax = panels(figsize=(4.8, 3.2))
        for shift, model, by_head in zip((-0.08, 0.08), MODELS, distances, strict=True):
            x = np.repeat(layers + shift, by_head.shape[1])
            ax.scatter(x, by_head.ravel(), s=18, alpha=0.8, color=PALETTE[model], edgecolors="none")
            ax.plot(layers + shift, by_head.mean(axis=1), color=PALETTE[model], label=model)
        ax.axhline(uniform, color=PALETTE["reference"], linestyle=":", label="uniform")
        ax.set(xlabel="layer", ylabel="mean attention distance [patches]", xticks=layers)
        ax.legend()
    return figure


def hard_reads(record: Record, least: float = 0.9) -> Figure:
    """Arrows from patches to the one place that takes more than `least` of their positional attention, by layer.

    Of each layer the head with most arrows is drawn; a ring is a patch that reads itself.

    Arrays: `attention_positional` (depth, heads, tokens, tokens) with the CLS token first, `grid` = (height, width).
    """
    attention, grid = _arrays(record, "attention_positional", "grid")
    patches = attention[:, :, 1:, 1:]
    hard, place = patches.max(-1) > least, patches.argmax(-1)
    height, width = grid.tolist()
    xy = np.indices((height, width)).reshape(2, -1)[::-1]
    columns = min(len(patches), 4)
    rows = -(-len(patches) // columns)
    look = {"color": PALETTE["positional"], "alpha": 0.6}
    with figure_style():
        size = (DESK, (DESK / columns * height / width + 0.3) * rows)
        figure, axes = panels(rows, columns, figsize=size, squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        for layer, ax in enumerate(axes.flat[: len(patches)]):
            head = hard[layer].sum(-1).argmax()
            start, end = xy[:, hard[layer, head]], xy[:, place[layer, head, hard[layer, head]]]
            itself = start[:, (start == end).all(0)]
            ax.plot(*xy, ".", color=INK, markersize=2)
            ax.quiver(*start, *(end - start), angles="xy", scale_units="xy", scale=1, width=0.009, **look)
            ax.plot(*itself, "o", fillstyle="none", markersize=5, **look)
            ax.set(title=f"layer {layer + 1}: {start.shape[1]} of {xy.shape[1]}", aspect="equal")
            ax.set(xlim=(-0.6, width - 0.4), ylim=(height - 0.4, -0.6))
        for ax in axes.flat[len(patches) :]:
            ax.remove()
    return figure


def accuracy_by_model(record: Record) -> Figure:
    """Test accuracy of each model: a point per seed, mean and standard deviation over seeds beside them.

    Metrics: `accuracy_content`, `accuracy_positional` and, where measured, `accuracy_convnet`, in [0, 1].
    """
    models = _measured(record, "accuracy_{}")
    with figure_style():
        figure, ax = panels(figsize=(1.2 + 1.2 * len(models), 3.2))
        for place, model in enumerate(models):
            _seeds(ax, place, record.metrics[f"accuracy_{model}"], model)
        ax.set_xticks(range(len(models)), models)
        ax.set(xlabel="model", ylabel="test accuracy [share]", xlim=(-0.5, len(models) - 0.5))
        ax.margins(y=0.2)
    return figure


def permutation_effect(record: Record) -> Figure:
    """Test accuracy on plain images (filled) and with one fixed permutation of the patches (open).

    Metrics: `accuracy_{model}` and `accuracy_{model}_permuted` in [0, 1], one value per seed, for the
    models content, positional, convnet, as far as both were measured.
    """
    models = _measured(record, "accuracy_{}", "accuracy_{}_permuted")
    with figure_style():
        figure, ax = panels(figsize=(1.2 + 1.8 * len(models), 3.2))
        for index, model in enumerate(models):
            plain, permuted = (record.metrics[f"accuracy_{model}{kind}"] for kind in ("", "_permuted"))
            place, means = 2.4 * index, [np.mean(plain), np.mean(permuted)]
            ax.plot([place + 0.2, place + 1.2], means, color=PALETTE[model], linewidth=1, alpha=0.6)
            _seeds(ax, place, plain, model, narrow=True)
            _seeds(ax, place + 1, permuted, model, filled=False, narrow=True)
        ticks = [2.4 * index + side for index in range(len(models)) for side in (0, 1)]
        ax.set_xticks(ticks, [f"{model}, {kind}" for model in models for kind in ("plain", "permuted")])
        plt.setp(ax.get_xticklabels(), rotation=35, ha="right", rotation_mode="anchor")
        ax.set(xlabel="model and order of the patches", ylabel="test accuracy [share]")
        ax.margins(y=0.2)
    return figure


def _arrays(record: Record, *names: str) -> list[np.ndarray]:
    missing = [name for name in names if name not in record.arrays]
    if missing:
        have = ", ".join(sorted(record.arrays)) or "none"
        raise ValueError(f"the record has no array {', '.join(missing)}; it has {have}")
    return [np.asarray(record.arrays[name]) for name in names]


def _measured(record: Record, *patterns: str) -> list[str]:
    """Models, in a fixed order, for which the record has every metric of the patterns."""
    models = [
        model for model in (*MODELS, "convnet") if all(p.format(model) in record.metrics for p in patterns)
    ]
    if not models:
        have = ", ".join(sorted(record.metrics)) or "none"
        raise ValueError(f"the record has no model with metrics {', '.join(patterns)}; it has {have}")
    return models


def _mean_and_deviation(ax: Axes, x: np.ndarray, by_seed: np.ndarray, model: str) -> None:
    mean = by_seed.mean(axis=0)
    ax.plot(x, mean, color=PALETTE[model], label=model)
    if len(by_seed) > 1:
        sd = by_seed.std(axis=0, ddof=1)
        ax.fill_between(x, mean - sd, mean + sd, color=PALETTE[model], alpha=0.25, linewidth=0)


def _seeds(
    ax: Axes,
    place: float | int,
    values: list[float],
    model: str,
    *,
    filled: bool = True,
    narrow: bool = False,
) -> None:
    """A point per seed in a narrow column, mean and deviation beside it, their values above; narrow: the mean's."""
    color = PALETTE[model]
    spread = np.linspace(-0.08, 0.08, len(values)) if len(values) > 1 else np.zeros(1)
    face = color if filled else "none"
    ax.scatter(place + spread, values, s=22, facecolors=face, edgecolors=color, linewidths=1)
    text, top = f"{np.mean(values):.3f}", max(values)
    if len(values) > 1:
        sd = np.std(values, ddof=1)
        ax.errorbar(place + 0.2, np.mean(values), yerr=sd, fmt="_", color=color, capsize=3)
        top = max(top, np.mean(values) + sd)
        text = text if narrow else f"{text}\n± {sd:.3f}"
    above = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "fontsize": SMALL}
    ax.annotate(text, (place + 0.06, top), **above)


def _similarity_panels(
    record, stages, cmap, norm, *, label: str, threshold: float | None = None, suffix: str = ""
) -> Figure:
    """Rows of panels by model, columns by stage, one colour bar."""
    *similarities, grid = _arrays(record, *(f"similarity_{stage}{suffix}" for stage in stages), "grid")
    height, width = (int(side) for side in grid)
    models = tuple(MODELS)[: len(similarities[0])]
    with figure_style():
        side = (DESK - 0.9) / len(stages)
        size = (DESK, (side + 0.3) * len(models) * height / width)
        figure, axes = panels(len(models), len(stages), figsize=size, squeeze=False)
        for column, (stage, by_model) in enumerate(zip(stages, similarities, strict=True)):
            for row, (model, similarity) in enumerate(zip(models, by_model, strict=True)):
                tiles = similarity.reshape(height, width, height, width)
                tiles = tiles if threshold is None else (tiles >= threshold).astype(float)
                picture = _draw_mosaic(axes[row, column], tiles, cmap, norm)
                axes[row, column].set(title=f"{model}, {stage} training")
                axes[row, column].set(xlabel="patch column", ylabel="patch row")
        figure.colorbar(picture, ax=axes, shrink=0.6, pad=0.01, label=label)
    return figure


def _draw_mosaic(ax: Axes, tiles: np.ndarray, cmap, norm):
    """Draw tiles (rows, columns, height, width) side by side with thin gaps; ticks count from 1."""
    rows, columns, height, width = tiles.shape
    gap = max(1, height // 16)
    framed = np.full((rows, columns, height + gap, width + gap), np.nan)
    framed[:, :, :height, :width] = tiles
    mosaic = framed.transpose(0, 2, 1, 3).reshape(rows * (height + gap), columns * (width + gap))
    # Every cell as it is, unless the page has fewer pixels than cells: there `nearest` would drop cells.
    interpolation = "nearest" if mosaic.shape[1] <= PIXELS else "auto"
    picture = ax.imshow(mosaic[:-gap, :-gap], cmap=cmap, norm=norm, interpolation=interpolation)
    for axis, count, size in ((ax.yaxis, rows, height), (ax.xaxis, columns, width)):
        step = -(-count // 8)
        shown = np.arange(0, count, step)
        axis.set_ticks(shown * (size + gap) + (size - 1) / 2, [str(index + 1) for index in shown])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return picture
