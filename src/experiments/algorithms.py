"""Claim `algorithms`: on numbers larger than any seen, does attention by position err less than by content?"""

import numpy as np
import torch

from src.common.device import pick_device
from src.common.seeding import child_generator
from src.experiments.measured import Measured, value_or_none
from src.experiments.study_settings import AlgorithmsSettings
from src.synthetic.algorithms import TASKS, Shape, Transformers, draw_numbers, train

ATTENTIONS = ("standard", "positional")


def run(settings: AlgorithmsSettings) -> Measured:
    """After De Luca et al., whose code and results are public; far fewer steps. Cost: twenty minutes on one core.

    The two kinds of attention see the same lists in training and in each test range. Hypothesis: outside the range of
    training standard attention's mean square error is at least ten times positional attention's; inside it is within
    a factor of ten, either way.
    """
    metrics: dict[str, list[float | None]] = {}
    arrays: dict[str, np.ndarray] = {"range": np.array([settings.train_range, *settings.test_ranges])}
    for task in TASKS if settings.task == "all" else (settings.task,):
        errors = {kind: _errors(task, kind, settings) for kind in ATTENTIONS}
        lead = np.log10(errors["standard"] / errors["positional"])
        for where, column in (("inside", 0), ("outside", -1)):
            metrics[f"lead_{where}_{task}"] = [value_or_none(each) for each in lead[:, column]]
        arrays |= {f"error_{kind}_{task}": found for kind, found in errors.items()}
    return Measured(metrics, arrays)


def _errors(task: str, kind: str, settings: AlgorithmsSettings) -> np.ndarray:
    """(repetitions, ranges): mean square error of trained networks in the range of training, then in each other."""
    positional = kind == "positional"
    shape = Shape(settings.length, settings.depth, settings.width, settings.num_heads, positional)
    nets = Transformers(shape, _streams(settings, task, kind))
    numbers, targets = _lists(task, settings, "train", settings.num_samples, settings.train_range)
    options = {"steps": settings.steps, "batch_size": settings.batch_size}
    order = _streams(settings, task, "order")[0]
    train(nets, numbers, targets, **options, learning_rate=settings.learning_rate, generator=order)
    columns = []
    for reach in (settings.train_range, *settings.test_ranges):
        outside = settings.train_range if reach > settings.train_range else 0.0
        lists = _lists(task, settings, f"test {reach:g}", settings.num_test, reach, outside)
        columns.append(_mean_square(nets, *lists))
    return torch.stack(columns, dim=1).cpu().double().numpy()


@torch.no_grad()
def _mean_square(nets: Transformers, numbers: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(nets,)."""
    return (nets(numbers) - targets).square().mean((1, 2))


def _lists(
    task: str, settings: AlgorithmsSettings, purpose: str, count: int, reach: float, outside: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """(repetitions, count, length) twice: lists of numbers, and what the task makes of them."""
    each = [
        draw_numbers(count, settings.length, reach, outside=outside, generator=stream)
        for stream in _streams(settings, task, purpose)
    ]
    return torch.stack(each), torch.stack([TASKS[task](numbers) for numbers in each])


def _streams(settings: AlgorithmsSettings, *purpose: str) -> list[torch.Generator]:
    """One a repetition."""
    device = pick_device(settings.device)
    return [
        child_generator(settings.seed, "algorithms", *purpose, index, device=device)
        for index in range(settings.num_seeds)
    ]
