"""Pictures of how results change with scale, one factor at a time."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.figures import PALETTE, figure_style, panels
from src.records import Record

MODELS = ("content", "positional")
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
                ax.set(xscale="log", xlabel=names[factor], ylabel=label)
                ax.set_xticks(list(records), [f"{value:,}" for value in records], rotation=30)
                ax.minorticks_off()
        axes[0, 0].legend()
    return figure


def _points(ax: Axes, records: Mapping[int | float, Record], metric: str, model: str) -> None:
    values = [record.values(metric) for record in records.values()]
    spread = [np.std(each, ddof=1) if len(each) > 1 else 0.0 for each in values]
    mean = [np.mean(each) for each in values]
    ax.errorbar(
        list(records), mean, yerr=spread, fmt="o-", markersize=4, capsize=3, color=PALETTE[model], label=model
    )
