"""Figures of what descent chooses: Figure 4 as printed, the events, association's lifetime, which set the rows find."""

from collections.abc import Sequence
from itertools import cycle
from math import log10

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.evidence.figures import (
    INK,
    MARKERS,
    PALETTE,
    SHADES,
    SMALL,
    band,
    figure_style,
    legend_below,
    panels,
)
from src.evidence.paper_figures import paper_figure
from src.evidence.records import Record
from src.evidence.verdicts import t_interval
from src.synthetic.baselines import linear_rule_error
from src.synthetic.exact import bayes_error

# What the softmax sees on the diagonal, by how the paper is read; D = 10, d = 100.
READINGS = {0.15: "(T), log log d", 0.5: "fits Figure 4", 1.0: "this book", 1.53: "public code"}


def figure_4(record: Record) -> Figure:
    """The paper's Figure 4: A at the end, test error and cosine over the steps; marks are the printed values,
    their bars what could be read off."""
    arrays, printed, asked = record.arrays, paper_figure("4"), record.parameters
    exact = [asked[name] for name in ("num_patches", "set_size", "distractor_prob")]
    with figure_style():
        figure, (matrix, error, cosine) = panels(1, 3, figsize=(8.6, 2.8))
        image = matrix.imshow(_logits(arrays["attention"][-1], asked["diagonal"]), cmap="viridis")
        ticks = range(0, asked["num_patches"], 2)
        matrix.set(title="A / √d at the end", xlabel="patch j, by set", ylabel="patch i, by set")
        matrix.set(xticks=ticks, yticks=ticks)
        matrix.grid(False)
        figure.colorbar(image, ax=matrix, shrink=0.8)
        ours = {"color": PALETTE["realistic"], "label": "ours"}
        band(error, arrays["step"], 100 * (1 - arrays["accuracy"]), **ours)
        _marks(
            error,
            printed["test_error"]["step"],
            printed["test_error"]["percent"],
            printed["precision"]["percent"],
        )
        for value, style, name in (
            (linear_rule_error(*exact), ":", "linear rule"),
            (bayes_error(*exact), "--", "Bayes rule"),
        ):
            error.axhline(100 * value, color=INK, linestyle=style, label=f"{name}, exact")
        band(cosine, arrays["step"], arrays["alignment"], **ours)
        _marks(cosine, printed["cosine"]["step"], printed["cosine"]["value"], printed["precision"]["cosine"])
        for axis, label in ((error, "test error (%)"), (cosine, "cosine of v and w*")):
            axis.set(xscale="log", xlim=(1, arrays["step"][-1]), xlabel="gradient steps", ylabel=label)
        error.set_ylim(0, 35)
        legend_below(figure, error, columns=2)
    return figure


def _logits(attention: np.ndarray, diagonal: float) -> np.ndarray:
    """The logits of which this is the softmax: known up to a constant for each row, which the held diagonal gives."""
    logits = np.log(attention)
    return logits - np.diag(logits)[:, None] + diagonal


def _marks(
    axis: Axes, x: Sequence[int | float], y: Sequence[int | float], precision: Sequence[int | float]
) -> None:
    look = {"color": PALETTE["positional"], "markersize": 4, "clip_on": False}
    axis.errorbar(x, y, yerr=precision, fmt="o", label="paper, as printed", **look)


def events_paths(record: Record) -> Figure:
    """alpha and the gap gamma - rho over time: a line for each ratio of the steps, the record's own in black ink."""
    arrays = record.arrays
    ratios, time = arrays["step_ratios"], arrays["time"]
    own = record.parameters["lr_attention"] / record.parameters["lr_value"]
    with figure_style():
        figure, (left, right) = panels(1, 2, figsize=(8, 3))
        scale = mpl.colors.LogNorm(ratios[0], ratios[-1])
        shade = mpl.cm.ScalarMappable(scale, SHADES)
        gap = arrays["gamma"] - arrays["rho"]
        for axis, curves, label in ((left, arrays["alpha"], "α"), (right, gap, "γ − ρ")):
            for ratio, curve in zip(ratios, curves, strict=False):
                axis.plot(time, curve, color=shade.to_rgba(ratio), linewidth=1)
            axis.plot(time, curves[-1], color=INK, linewidth=2.5, label=f"own ratio, {own:,.0f}")
            axis.set(xscale="log", xlabel="time = lr_value × iterations", ylabel=label)
        legend_below(figure, left)
        figure.colorbar(shade, ax=[left, right], label="lr_attention / lr_value")
    return figure


def events_map(records: Sequence[Record]) -> Figure:
    """Whether alpha grows again, for every setting, over the ratio divided by the predicted critical one."""
    with figure_style():
        figure, axis = panels(figsize=(6.2, 5))
        axis.axhline(0, color=INK, linewidth=1)
        axis.axvspan(-log10(3), log10(3), color=INK, alpha=0.2, linewidth=0, label="within a factor of 3")
        colours = SHADES(np.linspace(0, 1, len(records)))
        for record, shade, marker in zip(records, colours, cycle(MARKERS), strict=False):
            asked = record.parameters
            predicted = record.mean("critical_ratio_log10_predicted")
            name = "D {num_patches}, C {set_size}, q {distractor_prob:.2g}, p {degree}, diagonal {diagonal:g}".format(
                **asked
            )
            growth = record.arrays["alpha_growth"].mean(0)
            look = (
                {"color": PALETTE["positional"], "zorder": 3} if record.scale == "paper" else {"color": shade}
            )
            ratios = np.log10(record.arrays["step_ratios"]) - predicted
            axis.plot(ratios, growth, f"{marker}-", **look, markersize=4, label=name)
        axis.set(
            xlabel="log₁₀ of the ratio of the steps,\nover the predicted critical one",
            ylabel="ln (α at the end / α at association)",
        )
        legend_below(figure, axis)
    return figure


def lifetimes(records: Sequence[Record]) -> Figure:
    """Steps for which association lasts, and the linear theory's amplification, over the diagonal; a column for p.

    Descents that diverged are left out.
    """
    with figure_style():
        figure, axes = panels(2, len(records), figsize=(3.9 * len(records), 4.6), sharex=True, squeeze=False)
        for column, record in zip(axes.T, records, strict=True):
            arrays, longest = record.arrays, record.parameters["lifetime_steps"]
            for mode, (name, colour, marker, shift) in enumerate(
                (("fixed sample", "scratch", "o", -0.03), ("new inputs each step", "kept", "s", 0.03))
            ):
                life = arrays["lifetime"][mode]  # (diagonals, repetitions)
                middle = np.nanmedian(life, axis=1)
                spread = np.abs(np.stack([np.nanmin(life, 1), np.nanmax(life, 1)]) - middle)
                column[0].errorbar(
                    arrays["diagonals"] + shift,
                    middle,
                    spread,
                    fmt=f"{marker}-",
                    color=PALETTE[colour],
                    label=name,
                    capsize=2,
                )
            column[0].axhline(longest, color=INK, linestyle=":", label="followed no longer")
            column[0].set(title=f"p = {record.parameters['degree']}", ylabel="lifetime (steps)")
            column[1].plot(arrays["diagonals"], arrays["log_amplification"], "o-", color=PALETTE["reference"])
            column[1].set(xlabel="diagonal, as the softmax sees it", ylabel="ln of amplification")
        legend_below(figure, axes[0, 0])
    return figure


def which_set(record: Record) -> Figure:
    """Shares of rows that read their own set and another one, over the diagonal: a column for each N, a line a step."""
    arrays = record.arrays
    with figure_style():
        figure, axes = panels(
            2, len(arrays["sizes"]), figsize=(8, 4.6), sharex=True, sharey=True, squeeze=False
        )
        colours = SHADES(np.linspace(0, 1, len(arrays["steps"])))
        for row, name in zip(axes, ("own", "other"), strict=True):
            for axis, size, values in zip(row, arrays["sizes"], arrays[name], strict=True):
                for step, runs, colour in zip(arrays["steps"], values, colours, strict=True):
                    _rows(axis, arrays["diagonals"], runs, colour, f"step of A {step:g}")
                for value in READINGS:
                    axis.axvline(value, color=INK, linestyle=":", linewidth=0.8)
                axis.set(title=f"N = {size:,}, rows on {'their own' if name == 'own' else 'another'} set")
                axis.set_ylabel("share of rows")
                axis.label_outer()
        ends = {value: f"{value:g}" for value in (arrays["diagonals"][0], arrays["diagonals"][-1])}
        ticks = ends | {value: f"{value:g}, {name}" for value, name in READINGS.items()}
        for axis in axes[-1]:
            axis.set_xticks([*ticks], ticks.values(), fontsize=SMALL, rotation=35, ha="right")
            axis.set_xlabel("diagonal, as the softmax sees it")
        legend_below(figure, axes[0, 0], columns=3)
    return figure


def _rows(axis: Axes, diagonals: np.ndarray, runs: np.ndarray, colour: np.ndarray, label: str) -> None:
    """Mean over the repetitions and its 95 % interval, Student's."""
    mean = runs.mean(1)
    low, _ = np.transpose([t_interval(each, 0.95) for each in runs.tolist()])
    axis.errorbar(diagonals, mean, mean - low, fmt="o-", color=colour, markersize=3, capsize=2, label=label)
