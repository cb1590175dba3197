"""Claim `phase-diagram`: where in (q, C) and (N, D) descent associates, beside the errors of other rules."""

from collections.abc import Sequence
from math import nan

import numpy as np
import torch

from src.common.device import pick_device
from src.experiments.measured import Measured, columns
from src.experiments.study_settings import PhaseSettings
from src.experiments.tasks import activation_of
from src.synthetic.baselines import linear_rule_error
from src.synthetic.exact import bayes_error
from src.synthetic.measures import association
from src.synthetic.realistic import Run, Trajectory, many_descents
from src.synthetic.tasks import Task, draw_task
from src.synthetic.transfer import accuracy_on

EVERY = 20  # iterations between two looks at association


def run(settings: PhaseSettings) -> Measured:
    """A study of the companion's own. Cost: ten minutes on one core for the thousand descents of laptop scale.

    Hypothesis: association arises where it is needed, where a linear rule errs and the Bayes rule does not. Exploration
    on seeds from 1000 on, before the rules were written, showed the opposite at N = 2,000: all rows associate where a
    linear rule is nearly right, and ever fewer where it errs. The second rule states that.
    """
    sizes = [(settings.num_patches, size) for size in settings.set_sizes]
    cells = [(*size, prob, settings.num_samples) for size in sizes for prob in settings.distractor_probs]
    by_structure = _map(cells, settings)
    fixed = (settings.set_size, settings.distractor_prob)
    cells = [(patches, *fixed, n) for patches in settings.patch_counts for n in settings.training_sizes]
    by_samples = _map(cells, settings)
    shape = (len(settings.patch_counts), len(settings.training_sizes), -1)
    largest = by_samples["association"].reshape(shape)[-1]
    metrics = {
        "gain_correlation": _correlations(by_structure["association"], by_structure["gain"]),
        "linear_error_correlation": _correlations(by_structure["association"], by_structure["linear_error"]),
        "samples_correlation": _correlations(largest, np.array(settings.training_sizes)),
        "size_correlation": _correlations(by_samples["association"], by_samples["linear_error"]),
    }
    arrays = {f"{name}_structure": values for name, values in by_structure.items()}
    arrays |= {f"{name}_samples": values for name, values in by_samples.items()}
    return Measured(metrics, arrays)


def _map(cells: Sequence[tuple[int, int, float, int]], settings: PhaseSettings) -> dict[str, np.ndarray]:
    """(cells, repetitions) of association, its peak and the error; (cells,) of linear error, Bayes error and gain.

    A descent that diverged has no value, nan.
    """
    found = [_cell(*cell, settings) for cell in cells]
    linear, bayes = (
        np.array([rule(*cell[:3]) for cell in cells]) for rule in (linear_rule_error, bayes_error)
    )
    measured = {name: np.array([each[name] for each in found]) for name in ("association", "peak", "error")}
    return measured | {"linear_error": linear, "bayes_error": bayes, "gain": linear - bayes}


def _cell(
    patches: int, size: int, prob: float, samples: int, settings: PhaseSettings
) -> dict[str, list[float]]:
    """All repetitions at one D, C, q and N; step sizes follow D, so that they are the settings' own at D = 32."""
    device, scale = pick_device(settings.device), (patches / 32) ** 2
    sets = {"num_patches": patches, "set_size": size, "patch_dim": settings.patch_dim}
    tasks = [
        draw_task(settings.seed, index, **sets, distractor_prob=prob, device=device)
        for index in range(settings.num_seeds)
    ]
    rates = (settings.lr_value / scale, settings.lr_attention * scale)
    options = activation_of(settings) | {"diagonal": settings.diagonal}
    runs = [task.run(task.sample("train", samples), samples, *rates, **options) for task in tasks]
    courses = many_descents(runs, steps=settings.steps, record_every=EVERY)
    rows = [_end(*each, settings.num_test) for each in zip(runs, courses, tasks, strict=True)]
    return columns(rows)


@torch.no_grad()
def _end(run: Run, course: Trajectory, task: Task, num_test: int) -> dict[str, float]:
    if course.divergence:
        return dict.fromkeys(("association", "peak", "error"), float("nan"))
    scores, test = association(course.attention_logits, task), task.sample("test", num_test)
    return {
        "association": scores[-1].item(),
        "peak": scores.max().item(),
        "error": 1 - accuracy_on(run.model, test.patches, test.label),
    }


def _correlations(scores: np.ndarray, with_what: np.ndarray) -> list[float]:
    """Spearman's, over the cells, of scores (cells, repetitions) with a value of each cell: one a repetition."""
    from scipy.stats import spearmanr

    there = np.isfinite(scores.T)
    return [
        float(spearmanr(each[kept], with_what[kept]).statistic) if len(np.unique(each[kept])) > 1 else nan
        for each, kept in zip(scores.T, there, strict=True)
    ]
