from decimal import Decimal

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from src.evidence.figures import descents
from src.evidence.paper_figures import paper_figure
from src.evidence.records import Record
from src.evidence.verdicts import t_interval
from src.synthetic.baselines import linear_rule_error
from src.synthetic.exact import bayes_error
from tests.records import record

SEEDS, PATCHES = 3, 4


def planted(arrays, parameters=None, metrics=None) -> Record:
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    return record(metrics or {}, claim="realistic", parameters=parameters or {}, arrays=arrays)


def figure_4_record():
    draw = np.random.default_rng(0)
    step = np.array([0, 1, 10, 100])
    logits = draw.normal(size=(len(step), PATCHES, PATCHES))
    logits[:, np.arange(PATCHES), np.arange(PATCHES)] = 0.5
    weights = np.exp(logits)
    return planted(
        parameters={"num_patches": PATCHES, "set_size": 2, "distractor_prob": 0.3, "diagonal": 0.5},
        arrays={
            "step": step,
            "attention": weights / weights.sum(-1, keepdims=True),
            "accuracy": draw.uniform(0.6, 1, (SEEDS, len(step))),
            "alignment": draw.uniform(size=(SEEDS, len(step))),
        },
    ), logits


def test_figure_4_draws_the_record_and_the_printed_values_in_the_same_axes():
    record, logits = figure_4_record()
    figure = descents.figure_4(record)
    matrix, error, cosine, *_ = figure.axes
    assert np.allclose(matrix.images[0].get_array(), logits[-1])
    lines = {line.get_label(): line for line in error.lines}
    assert np.allclose(lines["ours"].get_ydata(), 100 * (1 - record.arrays["accuracy"]).mean(0))
    assert lines["linear rule, exact"].get_ydata()[0] == pytest.approx(100 * linear_rule_error(4, 2, 0.3))
    assert lines["Bayes rule, exact"].get_ydata()[0] == pytest.approx(100 * bayes_error(4, 2, 0.3))
    printed = paper_figure("4")
    for axis, name, values in ((error, "test_error", "percent"), (cosine, "cosine", "value")):
        marks, _, (bars,) = axis.containers[0].lines
        assert marks.get_xdata().tolist() == printed[name]["step"]
        assert marks.get_ydata().tolist() == printed[name][values]
        heights = [np.ptp(bar[:, 1]) for bar in bars.get_segments()]
        precision = printed["precision"]["cosine" if name == "cosine" else "percent"]
        assert np.allclose(heights, 2 * np.array(precision))


def test_figure_4_is_as_precise_as_one_unit_of_the_last_digit_of_each_point():
    printed = paper_figure("4")
    read = {"percent": printed["test_error"]["percent"], "cosine": printed["cosine"]["value"]}
    for kind, values in read.items():
        units = [10.0 ** Decimal(str(value)).as_tuple().exponent for value in values]
        assert printed["precision"][kind] == pytest.approx(units)


def test_the_printed_levels_are_the_exact_errors_at_the_presets_q():
    printed = paper_figure("4")["test_error"]
    percent = dict(zip(printed["step"], printed["percent"], strict=True))
    assert percent[5000] == pytest.approx(100 * linear_rule_error(10, 2, 0.2302585), abs=0.5)
    assert percent[16000] == pytest.approx(100 * bayes_error(10, 2, 0.2302585), abs=0.5)


def test_every_box_of_figure_7_ascends_and_all_figures_are_there():
    boxes = paper_figure("7")
    for dataset in ("cifar10", "cifar100", "svhn"):
        for model in ("content", "positional"):
            assert boxes[dataset][model] == sorted(boxes[dataset][model]) and len(boxes[dataset][model]) == 5
    assert all(paper_figure(number)["shows"] for number in ("2", "4", "5a", "6", "7"))


def events_record(predicted=4.0):
    ratios, time = [1e3, 1e5], np.geomspace(1e-3, 1, 5)
    curves = np.linspace(0, 1, 15).reshape(3, 5)
    return planted(
        parameters={
            "num_patches": 10,
            "set_size": 2,
            "distractor_prob": 0.23,
            "degree": 5,
            "diagonal": 0.5,
            "lr_value": 1e-3,
            "lr_attention": 10.0,
        },
        arrays={
            "step_ratios": np.array(ratios),
            "time": time,
            "alpha": curves,
            "gamma": 2 * curves,
            "rho": -curves,
            "alpha_growth": np.array([[-0.4, 0.2], [-0.2, 0.4]]),
        },
        metrics={"critical_ratio_log10_predicted": [predicted]},
    )


def test_events_map_measures_each_ratio_from_the_predicted_one():
    axis = descents.events_map([events_record(), events_record(4.5)]).axes[0]
    curves = [line for line in axis.lines if line.get_label().startswith("D 10")]
    assert np.allclose(curves[0].get_xdata(), [-1, 1]) and np.allclose(curves[1].get_xdata(), [-1.5, 0.5])
    assert np.allclose(curves[0].get_ydata(), [-0.3, 0.3])


def test_events_paths_draw_the_gap_of_every_ratio_and_of_the_own_one():
    record = events_record()
    left, right, *_ = descents.events_paths(record).axes
    assert len(left.lines) == len(right.lines) == 3
    assert np.allclose(right.lines[-1].get_ydata(), 3 * record.arrays["alpha"][-1])


def test_lifetimes_show_the_median_of_both_kinds_of_sample():
    life = np.arange(12.0).reshape(2, 2, 3)
    record = planted(
        parameters={"lifetime_steps": 20, "degree": 3},
        arrays={"diagonals": [1.0, 2.0], "lifetime": life, "log_amplification": [8.0, 5.0]},
    )
    above, below = descents.lifetimes([record]).axes
    medians = [container.lines[0].get_ydata().tolist() for container in above.containers]
    assert medians == [[1.0, 4.0], [7.0, 10.0]]
    assert below.lines[0].get_ydata().tolist() == [8.0, 5.0]


def test_which_set_has_a_column_for_each_n_and_a_row_for_each_kind_of_set():
    shares = np.random.default_rng(1).uniform(size=(2, 3, 4, 5))  # N, steps, diagonals, repetitions
    record = planted(
        arrays={
            "sizes": [500, 2000],
            "steps": [3.0, 30.0, 90.0],
            "diagonals": [0.0, 0.15, 0.5, 1.0],
            "own": shares,
            "other": 1 - shares,
        }
    )
    figure = descents.which_set(record)
    assert isinstance(figure, Figure) and len(figure.axes) == 4
    own = figure.axes[1].containers[2].lines[0]
    assert np.allclose(own.get_ydata(), shares[1, 2].mean(-1))
    (bars,) = figure.axes[1].containers[2].lines[2]
    ends = t_interval(shares[1, 2, 0].tolist(), 0.95)
    assert np.allclose(bars.get_segments()[0][:, 1], ends)
    plt.close(figure)
