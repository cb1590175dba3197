"""Figures 5a, 6 and 7 of the paper in their own form: its values, and ours in the same axes where there are any."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.evidence.figures import INK, PALETTE, SMALL, band, figure_style, legend_below, panels
from src.evidence.paper_figures import paper_figure
from src.evidence.records import Record
from src.evidence.statements import MODELS

DATASETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "svhn": "SVHN"}
NETWORKS = {"vgg": "VGG", "resnet": "ResNet", "vit": "ViT, patch size 2"}


def figure_5a(records: Sequence[Record], coarse: Sequence[Record] = ()) -> Figure:
    """Accuracy on CIFAR-100 against the side of the permuted blocks: the paper's (marks) and ours (lines), if any.

    Left in percent; right as a share of what the same network has on whole images, so that shapes can be compared.

    records : that differ in nothing but their seed; arrays `block_sides` and `accuracy` (networks, sides,
        repetitions), in the order vit, resnet, vgg. A line is their mean, a dot a repetition.
    coarse : the same with patches of 4 pixels, of which the ViT is drawn, dashed.
    """
    printed = paper_figure("5a")
    groups = [
        (records, 0, "ours, ViT", "content", "-"),
        (records, 1, "ours, ResNet", "convnet", "-"),
        (records, 2, "ours, VGG", "positional", "-"),
        (coarse, 0, "ours, ViT, patch size 4", "content", "--"),
    ]
    with figure_style():
        figure, axes = panels(1, 2, figsize=(9, 3.6))
        for (key, name), marker in zip(NETWORKS.items(), "s^o", strict=True):
            accuracy = np.array(printed["accuracy"][key])
            for axis, values in zip(axes, (accuracy, accuracy / accuracy[-1]), strict=True):
                axis.plot(printed["block"], values, marker, color=INK, fillstyle="none", label=name)
        for group, row, name, colour, style in (each for each in groups if each[0]):
            sides = group[0].arrays["block_sides"]
            accuracy = 100 * np.concatenate([each.arrays["accuracy"][row] for each in group], axis=1)
            for axis, values in zip(axes, (accuracy, accuracy / accuracy[-1]), strict=True):
                axis.plot(sides, values.mean(1), style, color=PALETTE[colour], label=name)
                axis.plot(sides, values, "o", color=PALETTE[colour], markersize=3, alpha=0.8)
        for axis in axes:
            axis.set_xscale("log", base=2)
            axis.set(xlabel="side of a permuted block (pixels)")
            axis.set_xticks(printed["block"], [*map(str, printed["block"][:-1]), "32 (none)"])
        axes[0].set(ylabel="test accuracy (%)", ylim=(0, 85))
        axes[1].set(ylabel="share of that on whole images", ylim=(0, 1.1))
        if not records:
            axes[0].text(0.03, 0.05, "ours: not run", transform=axes[0].transAxes)
        legend_below(figure, axes[0], columns=2)
    return figure


def figure_5c(record: Record) -> Figure:
    """Cosine of two patches' encodings with all others, before and after training, both models: as Figure 5c.

    record : arrays `grid` (2,), `similarity_before` and `similarity_after` (models, patches, patches). The patches,
        marked by a ring, are those a quarter and two thirds down the diagonal of the grid.
    """
    rows, columns = map(int, record.arrays["grid"])
    chosen = [int(share * rows) * columns + int(share * columns) for share in (1 / 4, 2 / 3)]
    with figure_style():
        figure, axes = panels(2, 4, figsize=(8, 4.2))
        for index, name in enumerate(MODELS.values()):
            for column, stage in enumerate(("before", "after")):
                for row, patch in enumerate(chosen):
                    axis = axes[row, 2 * index + column]
                    others = record.arrays[f"similarity_{stage}"][index, patch].reshape(rows, columns)
                    picture = axis.imshow(others, vmin=-1, vmax=1, cmap="RdBu_r")
                    for colour, width in (("black", 3.5), ("white", 1.5)):  # seen on any colour
                        ring = {"color": colour, "markeredgewidth": width, "fillstyle": "none"}
                        axis.plot(patch % columns, patch // columns, "o", **ring)
                    axis.set(xticks=[], yticks=[])
                    axis.set_title(f"{name},\n{stage} training" if row == 0 else "", fontsize=SMALL)
        for axis, patch in zip(axes[:, 0], chosen, strict=True):
            place = f"row {patch // columns + 1}, column {patch % columns + 1}"
            axis.set_ylabel(f"patch at\n{place}", fontsize=SMALL)
        figure.colorbar(picture, ax=axes, label="cosine", shrink=0.7)
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
        axes[0].legend(fontsize=SMALL)
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
            axis.set_xticks([0, 1], [name.split()[0] for name in MODELS.values()])
            scale = "no record" if record is None else f"{record.scale} scale, n = {len(values)}"
            name = dataset if record is None else record.parameters["dataset"]
            images = DATASETS[dataset] + ("" if name == dataset else f"; ours {name}")
            axis.set(title=f"{images}\n{scale}", xlim=(-0.6, 1.6))
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
