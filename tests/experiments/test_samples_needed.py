"""Samples needed: read off curves, fitted against D, drawn; and the settings that are refused."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
import torch

from src.evidence.figures.scale import accuracy_by_samples
from src.evidence.figures.scale import samples_needed as figure_of
from src.experiments import samples_needed
from src.experiments.samples_counted import (
    MARGINS,
    crossing,
    interval,
    needed_and_slopes,
    over_margins,
    slope,
)
from src.experiments.samples_needed import run
from src.experiments.settings import SamplesNeededSettings
from src.synthetic.baselines import planted_logits
from src.synthetic.projected import ProjectedInputs
from src.synthetic.tasks import draw_task
from tests.records import record

SIZES = np.array([[1, 4, 16], [10, 100, 1000]])
THRESHOLD = np.array([0.9, 0.8])


def test_the_crossing_is_log_linear_between_sizes():
    accuracy = np.array([[0.8, 1.0, 1.0], [0.2, 0.4, 0.8]])
    assert crossing(SIZES, accuracy, THRESHOLD) == pytest.approx([2, 1000])


def test_of_several_crossings_the_first_counts_and_ends_are_bounds():
    accuracy = np.array([[0.8, 0.95, 0.5], [0.9, 0.7, 0.9]])
    first, at_once = crossing(SIZES, accuracy, THRESHOLD)
    assert first == pytest.approx(4 ** (2 / 3)) and at_once == pytest.approx(10)
    assert crossing(SIZES, accuracy - 0.2, THRESHOLD).tolist() == [inf, inf]


def test_crossings_of_many_curves_are_those_of_each():
    accuracy = np.random.default_rng(0).uniform(0.6, 1, (50, 2, 3))
    together = crossing(SIZES, accuracy, THRESHOLD)
    assert np.isinf(together).any() and np.isfinite(together).any()
    for curves, found in zip(accuracy, together, strict=True):
        for row in range(2):
            after = next((i for i in range(3) if curves[row, i] >= THRESHOLD[row]), None)
            if after is None:
                assert found[row] == inf
            else:
                span = slice(max(after - 1, 0), after + 1)
                expected = np.interp(THRESHOLD[row], curves[row, span], np.log(SIZES[row, span]))
                assert np.log(found[row]) == pytest.approx(expected)


def test_the_slope_is_the_exponent_and_unknown_where_a_count_is():
    num_patches = np.array([32, 64, 256])
    needed = np.stack([3.0 * num_patches**1.5, 7 * num_patches**0.0, [1, 2, inf]])
    assert slope(num_patches, needed) == pytest.approx([1.5, 0, np.nan], nan_ok=True)


def test_the_interval_holds_the_middle_and_is_open_where_too_much_is_unknown():
    draws = np.arange(1001.0)
    assert interval(draws).tolist() == [25, 975]
    draws[:100] = np.nan
    assert interval(draws).tolist() == [-inf, inf]


def arrays() -> dict[str, np.ndarray]:
    """Two seeds that cross at 1 and 2 times D from scratch, at 2 elsewhere; half the budget asks for a tenth more."""
    num_patches, seeds = np.array([10, 40]), np.array([1, 2])
    found = {"num_patches": num_patches}
    for arm in ("scratch", "kept", "oracle", "uniform"):
        scratch = arm == "scratch"
        sizes = np.outer(num_patches, [0.5, 4]) if scratch else np.tile([1.0, 8.0], (2, 1))
        crossed = np.outer(num_patches, seeds) if scratch else np.full((2, 2), 2.0)
        logs = np.log(sizes)
        share = (logs[..., None] - np.log(crossed)[:, None]) / np.diff(logs, axis=1)[..., None]
        later = share - np.log(1.1) / np.diff(logs, axis=1)[..., None]
        found |= {
            f"sizes_{arm}": sizes.round().astype(int),
            f"accuracy_{arm}": 0.5 + np.stack([later, share], 1),
        }
    found["accuracy_uniform"] = np.zeros_like(found["accuracy_uniform"])
    return found


HALF = np.array([0.5, 0.5])


def test_seeds_are_resampled_at_each_number_of_patches_and_alike_in_all_arms():
    alone = np.array([[[0, 0], [0, 0]], [[0, 0], [1, 1]], [[1, 1], [1, 1]]])
    metrics, found = needed_and_slopes(arrays(), HALF, alone)
    assert metrics["slope_scratch"] == pytest.approx(1) and metrics["slope_kept"] == pytest.approx(0)
    assert metrics["slope_scratch_low"] == pytest.approx(1) and metrics["slope_gap_low"] == pytest.approx(1)
    assert metrics["slope_scratch_high"] == pytest.approx(1.5)
    assert found["needed_scratch"] == pytest.approx([10 * 2**0.5, 40 * 2**0.5])
    assert found["needed_scratch_low"] == pytest.approx([10, 40])
    assert found["needed_scratch_high"] == pytest.approx([20, 80])
    assert found["local_slope_scratch"] == pytest.approx([1])


def test_what_half_the_budget_asks_for_more_is_told_and_a_linear_rule_never_comes_near():
    metrics, found = needed_and_slopes(arrays(), HALF, np.zeros((1, 2, 2), dtype=int))
    assert metrics["budget_shift_scratch"] == pytest.approx(0.1)
    assert metrics["budget_shift_kept"] == pytest.approx(0.1)
    assert np.isinf(found["needed_uniform"]).all() and "slope_uniform" not in metrics


def test_one_interval_holds_those_of_all_margins():
    names = [f"slope_{name}_{end}" for name in ("scratch", "kept", "gap") for end in ("low", "high")]
    names += ["budget_shift_scratch", "budget_shift_kept"]
    metrics = {f"{name}_{margin}": [float(margin)] for name in names for margin in MARGINS}
    assert over_margins(metrics) == {name: [2.0 if name.endswith("_low") else 5.0] for name in names}


def test_an_error_that_no_distractors_give_is_refused():
    with pytest.raises(ValueError, match=r"linear_error = 0\.6: a number in \(0, "):
        run(SamplesNeededSettings(linear_error=0.6))


def test_a_run_goes_on_from_its_points_and_refuses_those_of_other_settings(tmp_path):
    settings = SamplesNeededSettings(
        num_patches=[8, 12],
        budget=[20, 20],
        samples_per_patch=[2, 4],
        downstream_sizes=[2],
        max_moves=[1.5, 3.0],
    ).changed(checkpoint_folder=str(tmp_path), num_validation=20, num_test=20, linear_error=0.03)
    whole = run(settings.changed(checkpoint_folder=""))
    run(settings.changed(num_seeds=1))
    times = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    resumed = run(settings)
    assert len(times) == 2 and len(list(tmp_path.iterdir())) == 4
    assert all(file.stat().st_mtime_ns == time for file, time in times.items())
    assert resumed.metrics == whole.metrics
    assert resumed.notes["resumed_seconds"] > 0 == whole.notes["resumed_seconds"]
    assert all(np.array_equal(resumed.arrays[name], whole.arrays[name]) for name in whole.arrays)
    tried = np.stack([whole.arrays["chosen_scratch"][..., which, :].ravel() for which in range(3)], -1)
    assert {tuple(each) for each in tried.tolist()} <= {(1.0, 0.1, 1.5), (1.0, 0.1, 3.0)}
    with pytest.raises(ValueError, match="written with max_moves="):
        run(settings.changed(max_moves=[1.5]))


@pytest.fixture
def shown():
    measured, metrics, needed = arrays(), {}, {}
    for margin in MARGINS:
        slopes, counts = needed_and_slopes(measured, HALF, np.zeros((5, 2, 2), dtype=int))
        metrics |= {f"{name}_{margin}": [value] for name, value in slopes.items()}
        needed |= {f"{name}_{margin}": value for name, value in counts.items()}
        needed[f"threshold_{margin}"] = HALF
    return record(metrics, claim="samples-needed", chapter="scale", arrays=measured | needed)


def test_the_figure_draws_means_thresholds_and_counts(shown):
    figure = figure_of(shown)
    scratch, given, counts = figure.axes
    assert [ax.get_title() for ax in figure.axes] == [
        "from scratch",
        "attention kept",
        "needed, 3 points below",
    ]
    curve = shown.arrays["accuracy_scratch"][1, 1].mean(-1)
    assert any(np.array_equal(line.get_ydata(), curve) for line in scratch.lines)
    assert given.get_xscale() == counts.get_yscale() == "log"
    assert any(np.array_equal(line.get_ydata(), shown.arrays["needed_kept_3"]) for line in counts.lines)
    assert counts.figure.legends[0].get_texts()[0].get_text() == "from scratch: slope 1.00 [1.00, 1.00]"


def test_accuracy_by_samples_draws_no_counts_and_no_slope(shown):
    figure = accuracy_by_samples(shown)
    assert [ax.get_title() for ax in figure.axes] == ["from scratch", "attention kept"]
    curve = shown.arrays["accuracy_kept"][1, 1].mean(-1)  # within all of the budget
    assert any(np.array_equal(line.get_ydata(), curve) for line in figure.axes[1].lines)
    assert not any("slope" in text.get_text() for text in figure.axes[0].get_legend().get_texts())


def test_a_bound_is_drawn_hollow_at_the_outermost_size(shown):
    needed = {"needed_scratch_3": np.array([14.0, inf]), "needed_scratch_high_3": np.array([20.0, inf])}
    metrics = shown.metrics | {"slope_scratch_3": [np.nan], "slope_scratch_high_3": [inf]}
    counts = figure_of(replace(shown, metrics=metrics, arrays=shown.arrays | needed)).axes[2]
    hollow = [line for line in counts.lines if line.get_markerfacecolor() == "none"]
    assert hollow[0].get_xdata().tolist() == [40] and hollow[0].get_ydata().tolist() == [160]


SETTINGS = SamplesNeededSettings(
    num_seeds=1, num_patches=[8, 16], set_size=2, patch_dim=6, samples_per_patch=[20], budget=[40, 40],
    downstream_sizes=[16], downstream_draws=4, num_validation=300, num_test=300, downstream_budget=20,
)  # fmt: skip


def test_samples_needed_choose_their_steps_on_validation_inputs():
    size = {"num_patches": 8, "set_size": 2, "patch_dim": 6, "distractor_prob": 0.2}
    task = draw_task(0, 0, **size, device=torch.device("cpu"))
    validation = ProjectedInputs.draw(task.distribution, 301, generator=torch.Generator().manual_seed(0))
    test = replace(
        validation, coefficient=-validation.coefficient, noise=-validation.noise
    )  # all answers wrong
    scratch, _, _ = samples_needed.from_scratch(SETTINGS, task, 40, validation, test)
    given = samples_needed.with_attention(SETTINGS, task, planted_logits(task.partition), validation, test)
    assert scratch.max() < 0.2 and given.max() < 0.2


def test_validation_and_test_inputs_of_a_point_are_other_draws(monkeypatch):
    given = []
    monkeypatch.setattr(samples_needed, "with_attention", lambda *each: given.append(each[-2:]) or 0.0)
    samples_needed.measure_point(SETTINGS, 0, 0, torch.device("cpu"))
    assert given and not any(torch.equal(one.coefficient, other.coefficient) for one, other in given)
