"""The paper's numbers that stand beside ours."""

import pytest

from src.evidence.paper import paper_figure


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "svhn"])
@pytest.mark.parametrize("model", ["content", "positional"])
def test_a_box_of_figure_7_is_five_ascending_numbers(dataset, model):
    box = paper_figure("figure_7")[dataset][model]
    assert len(box) == 5 and box == sorted(box)


def test_an_unknown_figure_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"figure = 'figure_5b': .*; the nearest: figure_5a"):
        paper_figure("figure_5b")
