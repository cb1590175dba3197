"""Pictures of what the benchmarks measured: cost against work."""

from collections.abc import Mapping
from textwrap import fill

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator

from src.evidence.figures import PALETTE, SMALL, figure_style, panels

COLUMNS = 2


def cost_curves(benchmarks: Mapping[str, Mapping[str, Mapping]], device: str) -> Figure:
    """Seconds of one call against the work, log-log, beside the physical limit; one panel a curve.

    benchmarks : as `load_benchmarks` gives them. ValueError where nothing was measured on `device`.
    """
    curves = [
        curve
        for by_device in benchmarks.values()
        if device in by_device
        for curve in by_device[device]["curves"]
    ]
    if not curves:
        raise ValueError(f"device = {device!r}: no benchmark has curves of it")
    rows = -(-len(curves) // COLUMNS)
    with figure_style():
        figure, axes = panels(rows, COLUMNS, figsize=(9.5, 2.9 * rows), squeeze=False)
        for ax, curve in zip(axes.flat, curves, strict=False):
            ax.loglog(curve["x"], curve["seconds"], "o-", color=PALETTE["content"], label="measured")
            if curve["floor_seconds"]:
                floor = {"color": PALETTE["reference"], "linestyle": ":", "label": curve["floor"]}
                ax.loglog(curve["x"], curve["floor_seconds"], **floor)
            ax.set(title=fill(curve["name"], 36), xlabel=curve["variable"], ylabel="time of one call")
            ax.set_xticks(curve["x"], [f"{x:g}" for x in curve["x"]])
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(EngFormatter("s"))
            ax.minorticks_off()
            middle = (max(curve["seconds"]) * min(curve["seconds"])) ** 0.5
            low, high = ax.get_ylim()
            ax.set_ylim(min(low, middle / 5), max(high, middle * 5))  # a flat curve looks flat
            ax.legend(fontsize=SMALL)
        for ax in list(axes.flat)[len(curves) :]:
            ax.remove()
    return figure
