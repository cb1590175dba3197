"""Figures are functions from a record to a matplotlib Figure; here is the look they share."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Ticker
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation

INK = (
    "#7b8490"  # of a notebook's PNG, about 4 : 1 on white and on near-black; on a page the colour of the text
)

SMALL = 8.25  # points: 11 pixels on a page, the least that text may have
DESK = 7.2  # inches that a page's column of text has on a desk, 96 pixels an inch

# Okabe and Ito's colours, told apart by colour-blind readers; all keep 3 : 1 on white or carry a marker.
PALETTE = {
    "content": "#0072B2",
    "positional": "#D55E00",
    "convnet": "#009E73",
    "kept": "#0072B2",
    "scratch": "#D55E00",
    "oracle": "#009E73",
    "shortcut": "#CC79A7",
    "other partition": "#7b8490",
    "alpha": "#009E73",
    "gamma": "#0072B2",
    "rho": "#D55E00",
    "realistic": "#0072B2",
    "idealized": "#D55E00",
    "reference": "#7b8490",
}

# Of lines told apart by shade: neither viridis' darkest part, lost on near-black, nor its palest, lost on white.
SHADES = ListedColormap(mpl.colormaps["viridis"](np.linspace(0.3, 0.8, 256)))

MARKERS = "osD^vPX"  # of such lines: the shade alone would not do

STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.bbox": "tight",
    "figure.dpi": 140,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.08,
    "svg.hashsalt": "spatial-structure",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "image.cmap": "viridis",
    "image.interpolation": "nearest",
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Transparent background and mid-grey ink: readable on a light and on a dark page."""
    with mpl.rc_context(STYLE):
        yield


class PlainLog(LogFormatterSciNotation):
    """Ticks of a logarithmic axis in one size of text: 0.01, 1,000, 2×10⁵."""

    def __call__(self, x: float | int | np.number, pos: int | None = None) -> str:
        if not super().__call__(x, pos):
            return ""
        if x == 0 or 1e-3 <= abs(x) < 1e5:
            return f"{x:,.6g}".replace("-", "−")
        factor, power = f"{x:.2e}".split("e")
        power = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        sign, size = "−" if x < 0 else "", f"{abs(float(factor)):g}×"
        return f"{sign}{size if size != '1×' else ''}10{power}"


class PageFigure(Figure):
    """A figure whose logarithmic axes, those of colour bars too, write no small raised exponents."""

    def draw(self, renderer: Any) -> None:
        for axes in self.axes:
            for ticks in (axes.xaxis.major, axes.xaxis.minor, axes.yaxis.major, axes.yaxis.minor):
                _write_plainly(ticks)
        super().draw(renderer)


def panels(rows: int = 1, columns: int = 1, **options: Any) -> tuple[plt.Figure, Any]:
    """`plt.subplots`, as wide as a page at most, and closed: shown when a cell returns it, not again at its end."""
    width, height = options.pop("figsize")
    figure, axes = plt.subplots(
        rows, columns, figsize=(min(width, DESK), height), FigureClass=PageFigure, **options
    )
    plt.close(figure)
    _show_as_html()
    return figure, axes


def legend_below(figure: plt.Figure, *axes: Axes, columns: int = 1) -> None:
    """One legend of these panels, each label once, below all panels, in either form of a page."""
    entries = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(entries.values(), entries.keys(), loc="outside lower left", ncols=columns, fontsize=SMALL)


def _write_plainly(ticks: Ticker) -> None:
    """Put `PlainLog` where matplotlib itself has put its formatter of base ten."""
    old = ticks.formatter
    if type(old) is LogFormatterSciNotation and old.axis.get_transform().base == 10:
        ticks.formatter = PlainLog(labelOnlyBase=old.labelOnlyBase)
        ticks.formatter.set_axis(old.axis)


def _show_as_html() -> None:
    """In a notebook: a figure also as HTML. Asked at each figure, for matplotlib's first one there undoes it."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell:
        from src.evidence.figures.page import to_html

        shell.display_formatter.formatters["text/html"].for_type(plt.Figure, to_html)


def band(
    axis: Axes,
    x: np.ndarray,
    runs: np.ndarray,
    line: str = "-",
    *,
    color: Any,
    alpha: float = 0.25,
    **look: Any,
) -> None:
    """Mean over the runs (first axis), and the range from the lowest to the highest run."""
    axis.plot(x, runs.mean(0), line, color=color, **look)
    axis.fill_between(x, runs.min(0), runs.max(0), color=color, alpha=alpha, linewidth=0)
