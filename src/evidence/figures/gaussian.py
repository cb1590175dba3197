"""Figure 2 of the paper in its own form, ours beside the paper's values; and what association hangs on."""

import numpy as np
from matplotlib.figure import Figure

from src.evidence.figures import INK, PALETTE, band, figure_style, legend_below, panels
from src.evidence.paper_figures import paper_figure
from src.evidence.records import Record

FORMS = {"free": "free A", "symmetric": "symmetric A", "gram": "PᵀP, rank {}"}
SHADES = ("content", "positional", "convnet", "shortcut", "reference")


def figure_2(record: Record) -> Figure:
    """Test error and association over the steps, on Gaussian and on structured patches; and the logits at the end.

    Lines are means over the repetitions, bands from the lowest to the highest. Crosses are the paper's values, their
    bars what could be read off; the dashed line is chance.
    """
    arrays, paper = record.arrays, paper_figure("2")
    step, chance = arrays["figure_step"], _chance(record)
    with figure_style():
        figure, (error, association, matrix) = panels(1, 3, figsize=(10, 3.4))
        for name, colour in (("gaussian", "content"), ("structured", "positional")):
            label = {"gaussian": "Gaussian patches", "structured": "structured patches"}[name]
            look = {"color": PALETTE[colour], "alpha": 0.2, "label": label}
            band(error, step, arrays[f"figure_error_{name}"], **look)
            band(association, step, arrays[f"figure_association_{name}"], **look)
        printed, precision = paper["test_error"], paper["precision"] / 100
        percent = np.array(printed["percent"]) / 100
        marks = {"fmt": "x", "color": INK, "capsize": 3, "label": "the paper"}
        error.errorbar(printed["step"], percent, yerr=precision, **marks)
        association.plot(step[-1], paper["matrix"]["association"], "x", color=INK, label="the paper")
        association.axhline(chance, color=INK, linestyle="--", linewidth=1, label="chance")
        for axis, label in ((error, "test error"), (association, "patch association")):
            axis.set(
                xscale="symlog", xlim=(0, step[-1] * 1.2), ylim=(0, None), xlabel="iteration", ylabel=label
            )
        legend_below(figure, association, error, columns=2)
        logits = arrays["figure_logits"][0]
        off = logits[~np.eye(len(logits), dtype=bool)]
        image = matrix.imshow(logits, vmin=off.min(), vmax=off.max())
        ticks = range(0, len(logits), 5)
        matrix.set(xticks=ticks, yticks=ticks)
        matrix.set(title="logits A", xlabel="attended patch j", ylabel="attending patch i")
        matrix.grid(False)
        figure.colorbar(image, ax=matrix, label="logit off the diagonal")
    return figure


def what_decides(record: Record) -> Figure:
    """Association over the steps for each way of making logits: by optimizer (rows) and kind of data (columns)."""
    arrays, step = record.arrays, record.arrays["study_step"]
    titles = {
        "gaussian": "Gaussian patches",
        "cubic": "Gaussian, pure cubic",
        "structured": "structured patches",
    }
    with figure_style():
        figure, axes = panels(2, len(titles), figsize=(9, 4.8), sharex=True, sharey=True)
        optimizers = {"gradient_descent": "gradient descent", "adam": "Adam"}
        for row, (optimizer, words) in zip(axes, optimizers.items(), strict=True):
            for axis, (data, title) in zip(row, titles.items(), strict=True):
                for form, colour in zip(_forms(record), SHADES, strict=False):
                    runs = arrays[f"association_{data}_{form}_{optimizer}"]
                    band(axis, step, runs, color=PALETTE[colour], alpha=0.12, label=_label(form))
                axis.axhline(_chance(record), color=INK, linestyle="--", linewidth=1)
                axis.set(xscale="symlog", xlim=(0, step[-1]), ylim=(0, 1.03))
                axis.set(title=title if optimizer == "gradient_descent" else "")
            row[0].set(ylabel=f"association,\n{words}")
        for axis in axes[1]:
            axis.set(xlabel="iteration")
        legend_below(figure, axes[0, 0], columns=2)
    return figure


def _forms(record: Record) -> list[str]:
    return ["free", "symmetric", *(f"gram{rank}" for rank in record.parameters["ranks"])]


def _label(form: str) -> str:
    return FORMS["gram"].format(form.removeprefix("gram")) if form.startswith("gram") else FORMS[form]


def _chance(record: Record) -> float:
    """Association of random logits, the diagonal counted first."""
    size, patches = record.parameters["block"] ** 2, record.parameters["grid_side"] ** 2
    return (1 + (size - 1) ** 2 / (patches - 1)) / size
