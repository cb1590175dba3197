"""Figures of the theory chapters: from a record's arrays to a matplotlib Figure, nothing filtered, nothing smoothed."""

from collections.abc import Mapping, Sequence
from itertools import count, product
from math import gcd

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.evidence.figures import INK, PALETTE, SMALL, band, figure_style, legend_below, panels
from src.evidence.records import Record

SIGNED = "vlag"  # seaborn's perceptually uniform diverging map


def sample_grid(record: Record) -> Figure:
    """Four inputs as grids of patches: the feature's coefficient in each, the informative set outlined."""
    import seaborn  # noqa: F401  (registers its colour maps)

    arrays = record.arrays
    with figure_style():
        figure, axes = panels(1, 4, figsize=(8, 2.4))
        for axis, grid, label, chosen in zip(
            axes, arrays["coefficient"], arrays["label"], arrays["informative_set"], strict=True
        ):
            image = axis.imshow(grid, cmap=SIGNED, vmin=-1, vmax=1)
            _outline(axis, arrays["membership_blocks"] == chosen)
            _patch_axes(axis, f"label y = {label:+.0f}")
        figure.colorbar(image, ax=axes, ticks=[-1, 0, 1], shrink=0.8, label="coefficient ⟨w*, Xⱼ⟩")
    return figure


def partitions(record: Record) -> Figure:
    """The three partitions side by side: each colour a set."""
    with figure_style():
        figure, axes = panels(1, 3, figsize=(7.6, 2.9))
        for axis, name in zip(axes, ("blocks", "contiguous", "random"), strict=True):
            membership = record.arrays[f"membership_{name}"]
            # Neighbouring sets get far-apart colours: order the colour map by a stride coprime to their number.
            sets = int(membership.max()) + 1
            colour = membership * next(stride for stride in count(7) if gcd(stride, sets) == 1) % sets
            axis.imshow(colour, cmap="viridis")
            for (row, column), index in np.ndenumerate(membership):
                bright = colour[row, column] > membership.max() / 2
                axis.text(
                    column,
                    row,
                    index,
                    ha="center",
                    va="center",
                    fontsize=SMALL,
                    color="black" if bright else "white",
                )
            _patch_axes(
                axis, {"blocks": "localized squares", "contiguous": "runs in reading order"}.get(name, name)
            )
    return figure


def _outline(axis: Axes, inside: np.ndarray) -> None:
    """Draw the border between True and False cells."""
    for (row, column), value in np.ndenumerate(inside):
        if value:
            frame = plt.Rectangle(
                (column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=1.6
            )
            axis.add_patch(frame)


def _patch_axes(axis: Axes, title: str) -> None:
    axis.set(title=title, xlabel="patch column", ylabel="patch row")
    axis.label_outer()
    axis.grid(False)


def linear_error(record: Record) -> Figure:
    """How much the linear rule already solves: its exact error over set size and distractor probability."""
    sizes, probs = record.arrays["set_sizes"], record.arrays["distractor_probs"]
    num_patches = record.parameters["grid_side"] ** 2
    with figure_style():
        figure, axis = panels(figsize=(5.8, 3.6))
        edges = np.arange(len(sizes) + 1) - 0.5
        cells = (edges, _edges(probs), record.arrays["linear_error"])
        # drawn one by one, cells leave seams
        image = axis.pcolormesh(*cells, vmin=0, vmax=0.5, rasterized=True)
        hard = sizes**2 / (num_patches - sizes)
        axis.plot(np.arange(len(sizes)), hard, ":", color="white", label="q (D − C) = C²")
        places = np.arange(len(sizes)), probs, record.arrays["linear_error"]
        if len(sizes) > 1:
            axis.contour(*places, levels=[1 / 8], colors="white", linestyles="--", linewidths=1.5)
            axis.plot([], [], "--", color="white", linewidth=1.5, label="error 1/8")
        own = np.flatnonzero(sizes == record.parameters["block"] ** 2)  # none for a set of one patch
        prob = np.full(len(own), record.parameters["distractor_prob"])
        axis.plot(own, prob, "*", color=PALETTE["positional"], markersize=14, label="this chapter")
        axis.set(
            yscale="log",
            ylim=(probs[0], probs[-1]),
            xlabel="set size C (patches)",
            ylabel="distractor probability q",
        )
        axis.set_xticks(range(len(sizes)), sizes)
        axis.grid(False)
        axis.legend(loc="lower right", labelcolor="white")
        figure.colorbar(image, ax=axis, label="error of the linear rule")
    return figure


def linear_scaling(
    num_patches: Sequence[int], errors: Mapping[str, Sequence[float]], own: tuple[float, float]
) -> Figure:
    """The linear rule's exact error against D along several scalings, and the point of the paper's own setting."""
    with figure_style():
        figure, axis = panels(figsize=(5.6, 3.8))
        lines = product(("-", "--"), (PALETTE["gamma"], PALETTE["rho"]))
        for (name, curve), (style, colour) in zip(errors.items(), lines, strict=True):
            axis.plot(num_patches, curve, style, color=colour, label=name)
        axis.axhline(0.125, color=INK, linestyle=":", label="1/8")
        axis.plot(*own, "*", color=PALETTE["gamma"], markersize=12, label="Figure 4 of the paper")
        axis.set(xscale="log", ylim=(0, None), xlabel="patches D", ylabel="error of the linear rule")
        legend_below(figure, axis, columns=2)
    return figure


def _edges(centres: np.ndarray) -> np.ndarray:
    """Cell borders of a geometric grid."""
    ratio = np.sqrt(centres[1] / centres[0])
    return np.append(centres / ratio, centres[-1] * ratio)


def linear_errors(record: Record) -> Figure:
    """Test error of each linear network, one point a repetition, against the bound 1/8."""
    names = {
        "error_least_squares": "least squares",
        "error_logistic": "logistic",
        "error_equal_weights": "linear rule",
        "error_labelling": "labelling function",
    }
    with figure_style():
        figure, axis = panels(figsize=(6.2, 2.6))
        for row, name in enumerate(names):
            values = record.metrics[name]
            axis.plot(values, np.full(len(values), row), "o", color=PALETTE["content"], alpha=0.7)
        axis.axvline(0.125, color=PALETTE["positional"], linestyle="--", label="1/8")
        axis.axvline(
            record.metrics["error_exact_here"][0],
            color=INK,
            linestyle=":",
            label="linear rule, exact",
        )
        axis.set(xlabel="test error", xlim=(0, 0.55))
        axis.set_yticks(range(len(names)), names.values())
        axis.invert_yaxis()
        axis.legend()
    return figure


def attention_pair(record: Record) -> Figure:
    """The associated model's attention and the shortcut's, patches ordered by set."""
    with figure_style():
        figure, axes = panels(1, 2, figsize=(7.4, 3.4))
        for axis, name in zip(axes, ("associated", "shortcut"), strict=True):
            image = _attention(axis, record.arrays[f"attention_{name}"], name, record.parameters["set_size"])
        figure.colorbar(image, ax=axes, label="attention weight")
    return figure


def _attention(
    axis: Axes, attention: np.ndarray, title: str, set_size: int, vmax: float | None = None, labels: int = 8
):
    image = axis.imshow(attention, cmap="viridis", vmin=0, vmax=vmax or attention.max())
    ticks = np.arange(0, len(attention), set_size * max(1, len(attention) // (labels * set_size)))
    axis.set(title=title, xlabel="attended patch j,\nby set", ylabel="attending patch i, by set")
    axis.set_xticks(ticks - 0.5, ticks)
    axis.set_yticks(ticks - 0.5, ticks)
    axis.label_outer()
    axis.grid(False)
    return image


def idealized_dynamics(record: Record) -> Figure:
    """alpha, gamma and rho, then accuracy and loss, over the iterations of the idealized descent."""
    arrays = record.arrays
    steps = np.arange(arrays["alpha"].shape[1])
    with figure_style():
        figure, axes = panels(1, 3, figsize=(8, 2.7))
        band(axes[0], steps, arrays["alpha"], color=PALETTE["alpha"], label="α = ⟨v, w*⟩")
        for name, label in (("gamma", "γ, inside a set"), ("rho", "ρ, across sets")):
            band(axes[1], steps, arrays[name], color=PALETTE[name], label=label)
        for name, colour in (("accuracy", "gamma"), ("loss", "rho")):
            band(axes[2], steps, arrays[name], color=PALETTE[colour], label=name)
        for axis, ylabel in zip(
            axes, ("α", "attention logit", "accuracy · logistic loss (nats)"), strict=True
        ):
            axis.set(xscale="symlog", xlim=(0, steps[-1]), xlabel="iteration", ylabel=ylabel)
            axis.legend()
    return figure


def descent_curves(record: Record) -> Figure:
    """Loss, test accuracy, association and alignment over the iterations; the dashed line is early stopping."""
    arrays, step = record.arrays, record.arrays["step"]
    curves = {
        "loss": "training loss (nats)",
        "accuracy": "test accuracy",
        "association": "patch association",
        "alignment": "alignment ⟨v, w*⟩ / |v|",
    }
    with figure_style():
        figure, axes = panels(2, 2, figsize=(7.6, 4.8), sharex=True)
        for axis, (name, label) in zip(axes.flat, curves.items(), strict=True):
            band(axis, step, arrays[name], color=PALETTE["realistic"], label=label)
            axis.axvline(record.parameters["steps"], color=INK, linestyle="--", linewidth=1)
            axis.set(ylabel=label)
        axes[0, 1].axhline(
            np.mean(record.metrics["labelling_accuracy"]),
            color=INK,
            linestyle=":",
            label="labelling function",
        )
        axes[0, 1].legend()
        for axis in axes[1]:
            axis.set(xlabel="iteration")
    return figure


def attention_snapshots(record: Record) -> Figure:
    """The first repetition's attention, patches ordered by set: at the start, at the last step at which association is
    largest, at early stopping and at the end."""
    step, frames = record.arrays["step"], record.arrays["attention"]
    stop = int(np.searchsorted(step, record.parameters["steps"]))
    until_stop = record.arrays["association"][0, : stop + 1]
    chosen = [0, int(np.flatnonzero(until_stop == until_stop.max())[-1]), stop, len(step) - 1]
    with figure_style():
        figure, axes = panels(1, 4, figsize=(9, 2.6))
        for axis, index in zip(axes, chosen, strict=True):
            title = f"iteration {step[index]}"
            image = _attention(
                axis, frames[index], title, record.parameters["set_size"], frames[chosen].max(), labels=4
            )
        figure.colorbar(image, ax=axes, shrink=0.55, label="attention weight")
    return figure


def beside_idealized(record: Record, idealized: Record) -> Figure:
    """The three numbers of the idealized process, and the same three measured in the realistic one."""
    steps = np.arange(idealized.arrays["alpha"].shape[1])
    labels = {
        "alpha": "α = ⟨v, w*⟩",
        "gamma": "mean logit inside a set, γ",
        "rho": "mean logit across sets, ρ",
    }
    with figure_style():
        figure, axes = panels(1, 3, figsize=(8, 2.7))
        for axis, (name, label) in zip(axes, labels.items(), strict=True):
            for process, source, x, line in (
                ("realistic", record, record.arrays["step"], "-"),
                ("idealized", idealized, steps, "--"),
            ):
                band(axis, x, source.arrays[name], line, color=PALETTE[process], label=process)
            axis.axvline(record.parameters["steps"], color=INK, linestyle="--", linewidth=1)
            axis.set(xlabel="iteration", ylabel=label)
        axes[0].legend()
    return figure


def sample_size_sweep(record: Record) -> Figure:
    """Accuracy at early stopping and peak association against the number of training samples."""
    sizes = record.arrays["sweep_sizes"]
    with figure_style():
        figure, axis = panels(figsize=(5.6, 3.2))
        for name, label, colour, line in (
            ("accuracy", "test accuracy", "gamma", "o-"),
            ("association", "peak association", "rho", "s-"),
        ):
            band(axis, sizes, record.arrays[f"sweep_{name}"], line, color=PALETTE[colour], label=label)
        axis.set(xscale="log", xlabel="training samples N", ylabel="share")
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.minorticks_off()
        axis.legend()
    return figure


def set_mass(record: Record) -> Figure:
    """Each row's attention on its own set over the iterations (first repetition), rows ordered by set."""
    mass, step = record.arrays["set_mass"][0], record.arrays["step"]
    with figure_style():
        figure, axes = panels(1, 2, figsize=(7.6, 2.9))
        image = axes[0].imshow(
            mass.T, aspect="auto", vmin=0, vmax=1, extent=(step[0], step[-1], mass.shape[1], 0)
        )
        axes[0].set(xlabel="iteration", ylabel="attending patch i, by set", title="every row")
        axes[0].set_yticks(range(0, mass.shape[1] + 1, record.parameters["set_size"]))
        axes[0].grid(False)
        figure.colorbar(image, ax=axes[0], label="attention on the own set")
        early = int(np.searchsorted(step, record.parameters["steps"]))
        bins = np.linspace(0, 1, 21)
        axes[1].hist(mass[early], bins, color=PALETTE["gamma"], alpha=0.6, label=f"iteration {step[early]}")
        axes[1].hist(mass[-1], bins, color=PALETTE["rho"], alpha=0.6, label=f"iteration {step[-1]}")
        axes[1].set(xlabel="attention on the own set", ylabel="rows", title="rows part in two")
        axes[1].yaxis.set_major_locator(MaxNLocator(integer=True))
        axes[1].legend()
    return figure


def transfer_curves(record: Record) -> Figure:
    """Test accuracy on the new feature against downstream sample size, for each kind of attention.

    Steps are chosen on validation; the thin line is training from scratch for a number of steps fixed beforehand.
    """
    labels = {
        "kept": ("kept attention", "kept", "o-"),
        "oracle": ("oracle attention", "oracle", "^:"),
        "shortcut": ("shortcut attention", "shortcut", "v:"),
        "scratch": ("from scratch", "scratch", "s-"),
        "uniform": ("uniform attention", "reference", "x--"),
        "other_partition": ("kept attention, other partition", "other partition", "d--"),
    }
    sizes = record.arrays["sample_sizes"]
    with figure_style():
        figure, axis = panels(figsize=(6.2, 4.6))
        for name, (label, colour, line) in labels.items():
            runs = record.arrays[f"accuracy_{name}"]
            band(axis, sizes, runs, line, color=PALETTE[colour], alpha=0.2, label=label, markersize=5)
        fixed = record.arrays["fixed_scratch"].mean(0)
        axis.plot(sizes, fixed, ":", color=PALETTE["scratch"], linewidth=1, label="from scratch, steps fixed")
        axis.set(xscale="log", xlabel="downstream samples N", ylabel="test accuracy")
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.minorticks_off()
        legend_below(figure, axis, columns=2)
    return figure
