from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from src.evidence.figures import paper
from src.evidence.paper_figures import paper_figure
from src.evidence.records import RESULTS, Record


@pytest.fixture
def record() -> Record:
    return Record.load(next(RESULTS.glob("positional-cifar10/*/record.json")).parent)


def test_figure_7_shows_the_papers_boxes_and_every_seed_of_ours(record):
    metrics = {"accuracy_content": [0.55, 0.57], "accuracy_positional": [0.58, 0.60]}
    ours = replace(record, scale="laptop", metrics=metrics)
    first, second = paper.figure_7({"cifar10": ours, "svhn": None}).axes
    lines = [set(np.round(line.get_ydata(), 6)) for line in first.lines]
    boxes = paper_figure("7")["cifar10"]
    for model in ("content", "positional"):
        lower, first_quartile, median, third_quartile, upper = boxes[model]
        expected = [{lower, first_quartile}, {median}, {third_quartile, upper}]
        expected += [set(np.round(100 * np.array(metrics[f"accuracy_{model}"]), 6))]
        assert all(each in lines for each in expected)
    assert "no record" in second.get_title()


def test_figure_6_marks_the_papers_ends(record):
    curves = {"loss_by_epoch": np.ones((2, 1, 3)), "accuracy_by_epoch": np.full((2, 1, 3), 0.3)}
    loss, accuracy = paper.figure_6(replace(record, arrays=curves)).axes
    marks = {
        float(line.get_ydata()[0])
        for axis in (loss, accuracy)
        for line in axis.lines
        if len(line.get_ydata()) == 1
    }
    printed = paper_figure("6")
    assert marks >= {*printed["accuracy"].values(), *printed["training_loss"].values()}
    assert any(np.allclose(line.get_ydata(), 30) for line in accuracy.lines)


def test_figure_5a_shows_all_of_the_papers_values_and_the_mean_of_ours_with_every_repetition(record):
    ours = np.arange(1.0, 13.0).reshape(3, 2, 2) / 20
    records = [
        replace(record, arrays={"block_sides": np.array([4, 32]), "accuracy": ours[:, :, [index]]})
        for index in range(2)
    ]
    printed = np.array([paper_figure("5a")["accuracy"][name] for name in ("vgg", "resnet", "vit")])
    for each in ([], records):
        axes = paper.figure_5a(each).axes
        assert [text.get_text() for text in axes[0].texts] == ([] if each else ["ours: not run"])
        for axis, theirs, values in zip(
            axes, (printed, printed / printed[:, -1:]), (100 * ours, ours / ours[:, -1:]), strict=True
        ):
            shown = [np.array(line.get_ydata()) for line in axis.lines]
            expected = [curve for network in values for curve in (network.mean(1), *network.T)]
            for line, curve in zip(shown, [*theirs, *(expected if each else ())], strict=True):
                assert np.allclose(line, curve)


def test_figure_5a_shows_the_vit_alone_of_the_coarse_patches_dashed(record):
    ours = np.arange(1.0, 7.0).reshape(3, 2, 1) / 20
    fine, coarse = (
        [replace(record, arrays={"block_sides": np.array([4, 32]), "accuracy": each})]
        for each in (ours, ours / 2)
    )
    dashed = [line for line in paper.figure_5a(fine, coarse).axes[0].lines if line.get_linestyle() == "--"]
    assert len(dashed) == 1 and np.allclose(dashed[0].get_ydata(), 50 * ours[0, :, 0])


def test_figure_5c_shows_two_patches_before_and_after_in_both_models(record):
    stages = {f"similarity_{stage}": np.random.rand(2, 16, 16) for stage in ("before", "after")}
    axes = paper.figure_5c(replace(record, arrays=stages | {"grid": np.array([4, 4])})).axes[:8]
    for place, (patch, index, stage) in enumerate(product((5, 10), (0, 1), ("before", "after"))):
        shown = np.asarray(axes[place].images[0].get_array())
        assert np.array_equal(shown.ravel(), stages[f"similarity_{stage}"][index, patch])


@pytest.mark.parametrize("number", ["2", "4", "5a", "6", "7"])
def test_every_figure_says_what_it_shows_and_how_sure_its_numbers_are(number):
    figure = paper_figure(number)
    assert figure["shows"] and "precision" in figure
