"""Figures 5a, 6 and 7 of the paper in their own form: its values, and ours in the same axes where there are any."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.evidence.figures import INK, PALETTE, band, figure_style, panels
from src.evidence.paper_figures import paper_figure
from src.evidence.records import Record

MODELS = {"content": "vanilla", "positional": "positional attention"}
NETWORKS = {"vgg": "VGG", "resnet": "ResNet", "vit": "ViT, patch size 2"}


def figure_5a() -> Figure:
    """The paper's accuracy on CIFAR-100 against the side of the permuted blocks; no run of ours is at hand."""
    printed = paper_figure("5a")
    with figure_style():
        figure, axis = panels(figsize=(4.8, 3.2))
        for (key, name), marker in zip(NETWORKS.items(), "s^o", strict=True):
            axis.plot(
                printed["block"], printed["accuracy"][key], marker, color=INK, fillstyle="none", label=name
            )
        axis.set_xscale("log", base=2)
        axis.set(xlabel="side of a permuted block (pixels)", ylabel="test accuracy (%)", ylim=(40, 85))
        axis.set_xticks(printed["block"], [*map(str, printed["block"][:-1]), "32 (none)"])
        axis.legend(fontsize=8, title="the paper", title_fontsize=8)
    return figure


def figure_6(record: Record) -> Figure:
    """Training loss and validation accuracy by epoch of both models; the paper's ends on ImageNet at the right edge."""
    printed = paper_figure("6")
    with figure_style():
        figure, axes = panels(1, 2, figsize=(8, 3))
        curves = (("loss_by_epoch", "training_loss", 1), ("accuracy_by_epoch", "accuracy", 100))
        for axis, (array, mark, unit) in zip(axes, curves, strict=True):
            for index, (model, name) in enumerate(MODELS.items()):
                runs = unit * record.arrays[array][index]
                epochs = np.arange(1, runs.shape[-1] + 1)
                band(axis, epochs, runs, color=PALETTE[model], alpha=0.2, label=name)
                axis.plot(
                    epochs[-1], printed[mark][model], ">", color=PALETTE[model], clip_on=False, zorder=5
                )
            axis.set(
                xlabel="epoch", ylabel="training loss (nats)" if unit == 1 else "validation accuracy (%)"
            )
        axes[0].plot([], [], ">", color=INK, label="the paper, ImageNet, epoch 300")
        axes[0].legend(fontsize=8)
    return figure


def figure_7(ours: Mapping[str, Record | None]) -> Figure:
    """Box plots by seed: the paper's boxes (grey) and ours (dots, a bar at the mean), a panel a data set.

    ours : "cifar10", "cifar100", "svhn" -> our record at its largest scale; None where there is none.
    """
    printed = paper_figure("7")
    with figure_style():
        figure, axes = panels(1, len(ours), figsize=(9.5, 3.2))
        for axis, (dataset, record) in zip(axes, ours.items(), strict=True):
            for place, (model, name) in enumerate(MODELS.items()):
                _box(axis, place - 0.18, printed[dataset][model])
                if record is not None:
                    values = 100 * np.array(record.values(f"accuracy_{model}"))
                    axis.plot(
                        np.full(len(values), place + 0.18), values, "o", color=PALETTE[model], markersize=4
                    )
                    axis.hlines(values.mean(), place + 0.08, place + 0.28, color=PALETTE[model], label=name)
            axis.set_xticks([0, 1], MODELS.values(), fontsize=8)
            scale = "no record" if record is None else f"{record.scale} scale, n = {len(values)}"
            axis.set(title=f"{dataset}\n{scale}", xlim=(-0.6, 1.6))
        axes[0].set_ylabel("test accuracy (%)")
    return figure


def _box(axis: Axes, place: float, five: list[float]) -> None:
    names = ("whislo", "q1", "med", "q3", "whishi")
    lines = {"color": INK}
    axis.bxp(
        [dict(zip(names, five, strict=True), fliers=[])],
        positions=[place],
        widths=0.25,
        showfliers=False,
        manage_ticks=False,
        boxprops=lines,
        whiskerprops=lines,
        capprops=lines,
        medianprops=lines,
    )
