"""Figures of the three cells: what is asked, and who answers."""

import numpy as np
from matplotlib.figure import Figure

from src.evidence.figures import INK, PALETTE, SMALL, band, figure_style, legend_below, panels
from src.evidence.records import Record
from src.vision.cells import QUESTIONS

# Label, colour and marker of each kind of encoding.
KINDS = {
    "none": ("no encodings", "reference", "x"),
    "learned": ("learned", "content", "o"),
    "sinusoid_1d": ("sinusoids of one row", "shortcut", "v"),
    "sinusoid_2d": ("sinusoids of rows and columns", "convnet", "s"),
    "positional": ("positional attention", "positional", "^"),
}
COLOURS = {"R": "positional", "G": "convnet", "B": "content"}  # of the letters, for colour-blind readers


def arrangements(record: Record) -> Figure:
    """Test inputs, each with its six answers below it."""
    images, answers = record.arrays["images"], record.arrays["answers"]
    side = images.shape[1]
    with figure_style():
        figure, axes = panels(1, len(images), figsize=(7.2, 2.9))
        for axis, image, yes in zip(axes, images, answers, strict=True):
            for (letter, colour), channel in zip(COLOURS.items(), np.moveaxis(image, -1, 0), strict=True):
                ((y, x),) = np.argwhere(channel)
                axis.fill([x, x + 1, x + 1, x], [y, y, y + 1, y + 1], color=PALETTE[colour], linewidth=0)
                axis.text(x + 0.5, y + 0.5, letter, color="white", size=SMALL, ha="center", va="center")
            edges = range(side + 1)
            axis.set_xticks(edges, labels=[])
            axis.set_yticks(edges, labels=[])
            axis.tick_params(length=0)
            axis.spines[:].set_visible(True)
            axis.set(xlim=(0, side), ylim=(side, 0), aspect="equal")
            lines = [
                f"{question}: {'yes' if each else 'no'}"
                for question, each in zip(QUESTIONS, yes, strict=True)
            ]
            axis.set_xlabel("\n".join(lines), size=SMALL, loc="left", ma="left")
    return figure


def accuracy_by_kind(record: Record) -> Figure:
    """Test accuracy by kind of encodings: mean over the questions as models train, and at the end by question.

    Lines and markers are means over the repetitions; bands and bars go from the lowest to the highest. Dashed: chance.
    """
    accuracy, chance = 100 * record.arrays["accuracy"], 100 * record.arrays["chance"]
    kinds, questions = record.parameters["kinds"], np.arange(len(QUESTIONS))
    with figure_style():
        figure, (course, end) = panels(1, 2, figsize=(7.2, 3.4), sharey=True)
        for place, kind in enumerate(kinds):
            label, colour, marker = KINDS[kind]
            look = {"color": PALETTE[colour], "markersize": 4}
            runs = accuracy[place]
            band(course, record.arrays["step"], runs.mean(-1), f"-{marker}", label=label, **look)
            at = questions + 0.15 * (place - (len(kinds) - 1) / 2)
            end.vlines(at, runs[:, -1].min(0), runs[:, -1].max(0), color=look["color"], linewidth=1)
            end.plot(at, runs[:, -1].mean(0), marker, **look)
        course.axhline(chance.mean(), color=INK, linestyle="--", linewidth=1)
        end.plot(questions, chance, "--", color=INK, linewidth=1)
        course.set(xlabel="step", ylabel="test accuracy (%)", title="mean of the questions", ylim=(40, 102))
        end.set_xticks(questions, QUESTIONS, rotation=35, ha="right", size=SMALL)
        end.set_title("at the end, by question")
        legend_below(figure, course, columns=2)
    return figure
