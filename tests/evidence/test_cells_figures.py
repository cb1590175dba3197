"""The figures of the three cells draw what the record holds."""

import numpy as np
import pytest

from src.evidence.figures import cells as figures
from src.experiments.resolve import resolve
from src.vision.cells import QUESTIONS
from src.workshop.measure import measure


@pytest.fixture(scope="module")
def record():
    small = {"grid_side": 4, "embed_dim": 8, "num_heads": 2, "mlp_dim": 8, "steps": 16, "num_test": 50}
    return measure("three-cells", resolve("cells", small | {"num_seeds": 2, "kinds": ["none", "positional"]}))


def test_each_input_shows_its_three_letters_in_their_cells_and_its_answers(record):
    axes = figures.arrangements(record).axes
    for axis, image, answers in zip(axes, record.arrays["images"], record.arrays["answers"], strict=True):
        for channel, text in enumerate(axis.texts):
            x, y = (int(at) for at in text.get_position())
            assert text.get_text() == "RGB"[channel] and image[y, x, channel] == 1
        lines = axis.get_xlabel().split("\n")
        expected = [f"{each}: {'yes' if yes else 'no'}" for each, yes in zip(QUESTIONS, answers, strict=True)]
        assert lines == expected


def test_lines_and_markers_are_means_over_the_repetitions(record):
    accuracy = 100 * record.arrays["accuracy"]
    course, end = figures.accuracy_by_kind(record).axes
    *lines, chance = course.lines
    assert len(lines) == 2 and chance.get_ydata()[0] == pytest.approx(100 * record.arrays["chance"].mean())
    for place, line in enumerate(lines):
        assert np.allclose(line.get_ydata(), accuracy[place].mean((0, -1)))
        assert np.allclose(end.lines[place].get_ydata(), accuracy[place, :, -1].mean(0))
    assert [label.get_text() for label in end.get_xticklabels()] == list(QUESTIONS)
