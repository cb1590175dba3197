"""Figure of `algorithms`: errors on larger numbers than those of training."""

import numpy as np
from matplotlib.figure import Figure

from src.evidence.figures import INK, PALETTE, figure_style, legend_below, panels
from src.evidence.records import Record

TASKS = {
    "sum": "sum",
    "min": "minimum",
    "median": "median",
    "sort": "sorting",
    "subarray": "largest sum",
}
LOOKS = {"standard": ("content", "--"), "positional": ("positional", "-")}

# Medians of ten runs, from the public results of the source: mean square error at ±2 and at ±20.
PUBLISHED = {
    "sum": {"standard": (1.13e-5, 87.6), "positional": (1.68e-5, 0.0585)},
    "min": {"standard": (1.47e-6, 19.7), "positional": (1.29e-5, 0.0432)},
    "median": {"standard": (1.04e-4, 22.0), "positional": (6.07e-5, 0.0231)},
    "sort": {"standard": (9.13e-4, 54.5), "positional": (1.20e-4, 0.146)},
    "subarray": {"standard": (1.20e-4, 199.0), "positional": (1.80e-4, 0.262)},
}


def error_by_range(record: Record) -> Figure:
    """Mean square error over the range of the test lists, by task and attention: every repetition, and their median.

    Dotted: the range of training. Diamonds: the source's medians, after many more steps.
    """
    ranges = record.arrays["range"]
    shown = {task: title for task, title in TASKS.items() if f"error_standard_{task}" in record.arrays}
    with figure_style():
        figure, axes = panels(1, len(shown), figsize=(9, 3.0), sharey=True, squeeze=False)
        for axis, (task, title) in zip(axes[0], shown.items(), strict=True):
            for kind, (colour, line) in LOOKS.items():
                errors, look = record.arrays[f"error_{kind}_{task}"], {"color": PALETTE[colour]}
                axis.plot(ranges, errors.T, **look, linewidth=0.7, alpha=0.7)
                axis.plot(ranges, np.median(errors, axis=0), line, **look, label=f"{kind} attention")
                axis.plot(
                    (2, 20), PUBLISHED[task][kind], "D", **look, markersize=4, label=f"{kind}, published"
                )
            axis.axvline(ranges[0], color=INK, linestyle=":", linewidth=1)
            axis.set(title=title, xlabel="range, ±", yscale="log", xticks=(2, 10, 20))
        axes[0, 0].set(ylabel="mean square error")
        legend_below(figure, axes[0, 0], columns=2)
    return figure
