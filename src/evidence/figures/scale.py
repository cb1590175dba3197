"""Pictures of how results change with scale, one factor at a time."""

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.evidence.figures import INK, MARKERS, PALETTE, SMALL, band, figure_style, legend_below, panels
from src.evidence.figures.paper import DATASETS
from src.evidence.paper_figures import paper_figure
from src.evidence.records import Record, known
from src.evidence.statements import MODELS

ARMS = {
    "scratch": ("from scratch", "o"),
    "kept": ("attention kept", "s"),
    "oracle": ("attention planted", "^"),
}
LEARNED = ("scratch", "kept")
LINES = ("-", "--", "-.")  # of learning rates
PAPER_EPOCHS = 300
ROWS = {"accuracy": "test accuracy [share]", "locality": "locality correlation [1]"}


def factor_panels(by_factor: Mapping[str, Mapping[int | float, Record]], names: Mapping[str, str]) -> Figure:
    """Test accuracy and locality of both models against each factor, all others held at the base setting.

    by_factor : factor -> its value -> the pooled record there. names : factor -> label of its axis, with the unit.
    A point is a mean over repetitions; a bar, where there are several, their standard deviation.
    """
    with figure_style():
        size = (2.4 * len(by_factor) + 0.4, 4.8)
        figure, axes = panels(
            len(ROWS), len(by_factor), figsize=size, squeeze=False, sharey="row", sharex="col"
        )
        for column, (factor, records) in enumerate(by_factor.items()):
            for row, (metric, label) in enumerate(ROWS.items()):
                ax = axes[row, column]
                for model in MODELS:
                    _points(ax, records, f"{metric}_{model}", model)
                ax.set(
                    xscale="log",
                    xlabel=names[factor] if row == len(ROWS) - 1 else "",
                    ylabel="" if column else label,
                )
                ax.set_xticks(
                    list(records),
                    [f"{value / 1000:g}k" if value >= 1000 else str(value) for value in records],
                )
                ax.tick_params(axis="x", rotation=45)
                ax.set_xlim(min(records) / 1.3, max(records) * 1.3)
                ax.minorticks_off()
        legend_below(figure, axes[0, 0], columns=2)
    return figure


def _points(
    ax: Axes,
    records: Mapping[int | float, Record],
    metric: str,
    model: str,
    line: str = "-",
    label: str | None = None,
) -> None:
    values = [known(record.values(metric)) for record in records.values()]
    spread = [np.std(each, ddof=1) if len(each) > 1 else 0.0 for each in values]
    mean = [record.mean(metric) for record in records.values()]
    look = {"fmt": f"o{line}", "markersize": 4, "capsize": 3, "color": PALETTE[model]}
    ax.errorbar(list(records), mean, yerr=spread, label=label or model, **look)


def samples_needed(record: Record, margin: int = 3) -> Figure:
    """Test accuracy against samples at each D, from scratch and with attention kept; and samples needed against D.

    Curves are means over the repetitions, bands from the lowest to the highest, dotted lines the thresholds, `margin`
    points below the labelling function. On the right bars are 95 % bootstrap intervals, dashed lines least squares; a
    hollow point is a bound, not a crossing: the first size where that is enough already, the last where none is.
    """
    with figure_style():
        figure, axes = panels(1, 3, figsize=(10.5, 3.6))
        _accuracy_of_arms(axes[:2], record, margin)
        for arm, (label, marker) in ARMS.items():
            _needed(axes[2], record, arm, label, marker, margin)
        num_patches = record.arrays["num_patches"]
        axes[2].set(
            title=f"needed, {margin} points below",
            xscale="log",
            yscale="log",
            xlabel="patches D",
            ylabel="training samples needed",
        )
        axes[2].set_xticks(num_patches, [f"{size:,}" for size in num_patches])
        axes[2].set_xticks([], minor=True)
        legend_below(figure, axes[2])
    return figure


def local_slopes(record: Record) -> Figure:
    """Slope of log samples between neighbouring D, from scratch and with attention kept, at each margin."""
    num_patches = record.arrays["num_patches"]
    middle = np.sqrt(num_patches[1:] * num_patches[:-1])
    with figure_style():
        figure, axes = panels(1, len(LEARNED), figsize=(7.4, 3), sharey=True)
        for ax, arm in zip(axes, LEARNED, strict=True):
            for margin, marker in zip((2, 3, 5), MARKERS, strict=False):
                slopes = record.arrays[f"local_slope_{arm}_{margin}"]
                ax.plot(middle, slopes, f"{marker}-", color=PALETTE[arm], label=f"{margin} points", alpha=0.8)
            ax.set(
                title=ARMS[arm][0], xscale="log", xlabel="patches D, between two", ylabel="local slope [1]"
            )
            ax.set_xticks(num_patches, [f"{size:,}" for size in num_patches])
            ax.minorticks_off()
            ax.label_outer()
        axes[0].legend()
    return figure


def accuracy_by_samples(record: Record, margin: int = 3) -> Figure:
    """The first two panels of `samples_needed`: what was measured, with nothing read off it."""
    with figure_style():
        figure, axes = panels(1, 2, figsize=(7.4, 3.6))
        _accuracy_of_arms(axes, record, margin)
    return figure


def epoch_panels(by_claim: Mapping[str, Mapping[float, Mapping[int, Record]]]) -> Figure:
    """Accuracy of both models, their difference, and locality, against epochs; one column a claim, `by_epochs` of each.

    A point is the mean over repetitions of runs that end after so many epochs; a bar, where there are several, their
    standard deviation. Solid: the learning rate of the preset; dashed: another. Beside them, where the images are the
    paper's: its medians after 300 epochs, and the curve of a public run of the vanilla model.
    """
    with figure_style():
        size = (2.8 * len(by_claim) + 0.6, 6.6)
        figure, axes = panels(3, len(by_claim), figsize=size, squeeze=False, sharex="col")
        for column, by_rate in zip(axes.T, by_claim.values(), strict=True):
            accuracy, gap, locality = column
            for (rate, records), line in zip(by_rate.items(), LINES[: len(by_rate)], strict=True):
                for model in MODELS:
                    label = f"{model}, rate {rate:g}"
                    _points(accuracy, records, f"accuracy_{model}", model, line, label)
                    _points(locality, records, f"locality_{model}", model, line)
                _points(gap, records, "accuracy_gap", "reference", line)
            lengths = {epochs for records in by_rate.values() for epochs in records}
            dataset = next(
                record.parameters["dataset"] for records in by_rate.values() for record in records.values()
            )
            _marks(accuracy, gap, dataset)
            gap.axhline(0, color=INK, linewidth=1)
            accuracy.set(title=DATASETS.get(dataset, dataset))
            locality.set(xscale="log", xlabel="epochs")
            ticks = sorted({*lengths, PAPER_EPOCHS})
            locality.set_xticks(ticks, [str(epochs) for epochs in ticks])
            locality.set_xlim(min(ticks) / 1.3, max(ticks) * 1.3)
            locality.minorticks_off()
        axes[0, 0].set(ylabel=ROWS["accuracy"])
        axes[1, 0].set(ylabel="lead of content [share]")
        axes[2, 0].set(ylabel=ROWS["locality"])
        legend_below(figure, *axes[0], columns=2)
    return figure


def _marks(accuracy: Axes, gap: Axes, dataset: str) -> None:
    """The paper's medians, at its own epochs, and the public run; nothing where the paper has other images."""
    boxes, public = paper_figure("7"), paper_figure("public")
    if dataset in boxes:
        medians = {model: boxes[dataset][model][2] / 100 for model in MODELS}
        for name, (model, median) in zip(("the paper", None), medians.items(), strict=True):
            accuracy.plot(PAPER_EPOCHS, median, ">", color=PALETTE[model], fillstyle="none", label=name)
        gap.plot(PAPER_EPOCHS, medians["content"] - medians["positional"], ">", color=INK, fillstyle="none")
    if dataset in public:
        curve = public[dataset]
        accuracy.plot(curve["epoch"], np.array(curve["percent"]) / 100, ":.", color=INK, label="a public run")


def _accuracy_of_arms(axes: Iterable[Axes], record: Record, margin: int) -> None:
    for ax, arm in zip(axes, LEARNED, strict=True):
        _accuracy_by_size(ax, record, arm, margin)
        ax.set(title=ARMS[arm][0], xlabel="training samples N", ylabel="test accuracy [share]")
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter("{x:,.0f}")
    axes[0].legend(fontsize=SMALL)


def _accuracy_by_size(ax: Axes, record: Record, arm: str, margin: int) -> None:
    arrays = record.arrays
    shades = colormaps["viridis"](np.linspace(0.35, 0.8, len(arrays["num_patches"])))
    for row, num_patches in enumerate(arrays["num_patches"]):
        sizes, runs = arrays[f"sizes_{arm}"][row], arrays[f"accuracy_{arm}"][row, 1]
        line, look = f"{MARKERS[row % len(MARKERS)]}-", {"color": shades[row]}
        band(ax, sizes, runs.T, line, alpha=0.2, markersize=4, label=f"D = {num_patches}", **look)
        ax.axhline(arrays[f"threshold_{margin}"][row], linestyle=":", linewidth=1, **look)


def _needed(ax: Axes, record: Record, arm: str, label: str, marker: str, margin: int) -> None:
    x, sizes = record.arrays["num_patches"], record.arrays[f"sizes_{arm}"]
    ends = (sizes[:, 0], sizes[:, -1])  # nothing is known beyond
    counts = (record.arrays[f"needed_{arm}{end}_{margin}"] for end in ("", "_low", "_high"))
    found, low, high = (np.clip(each, *ends) for each in counts)
    slope, *interval = (record.mean(f"slope_{arm}{end}_{margin}") for end in ("", "_low", "_high"))
    text = f"{label}: slope {slope:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"
    ax.vlines(x, low, high, color=PALETTE[arm])
    bound = np.isclose(found, ends[0]) | np.isinf(record.arrays[f"needed_{arm}_{margin}"])
    ax.plot(x[~bound], found[~bound], marker, color=PALETTE[arm], label=text)
    ax.plot(x[bound], found[bound], marker, color=PALETTE[arm], markerfacecolor="none")
    if np.isfinite(slope):
        fitted = np.exp(slope * (np.log(x) - np.log(x).mean()) + np.log(found).mean())
        ax.plot(x, fitted, "--", color=PALETTE[arm], linewidth=1)
