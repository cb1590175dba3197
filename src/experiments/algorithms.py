"""Claim `algorithms`: on numbers larger than any seen, does attention by position err less than by content?"""

from collections.abc import Sequence

import numpy as np
import torch

from src.common.device import pick_device
from src.common.seeding import child_generator
from src.experiments.measured import Measured
from src.experiments.study_settings import AlgorithmsSettings
from src.synthetic.algorithms import TASKS, Shape, Transformers, draw_numbers, train

ATTENTIONS = ("standard", "positional")


def run(settings: AlgorithmsSettings) -> Measured:
    """After De Luca et al., whose code and results are public; far fewer steps. Cost: eight minutes on one core.

    The two kinds of attention see the same lists in training and in each test range. Hypothesis: outside the range of
    training standard attention's mean square error is at least ten times positional attention's; inside it is within
    a factor of ten, either way.
    """
    tasks = [*TASKS] if settings.task == "all" else [settings.task]
    errors = {kind: _errors(kind, tasks, settings) for kind in ATTENTIONS}
    arrays = {"range": np.array([settings.train_range, *settings.test_ranges])}
    metrics: dict[str, list[float | None]] = {}
    for index, task in enumerate(tasks):
        arrays |= {f"error_{kind}_{task}": errors[kind][index] for kind in ATTENTIONS}
        lead = np.log10(errors["standard"][index] / errors["positional"][index])
        for where, column in (("inside", 0), ("outside", -1)):
            metrics[f"lead_{where}_{task}"] = lead[:, column].tolist()
    return Measured(metrics, arrays)


def _errors(kind: str, tasks: Sequence[str], settings: AlgorithmsSettings) -> np.ndarray:
    """(tasks, repetitions, ranges): mean square error in the range of training, then in the others.

    One network for each task and repetition, all trained side by side.
    """
    positional, device = kind == "positional", pick_device(settings.device)
    shape = Shape(settings.length, settings.depth, settings.width, settings.num_heads, positional)
    nets = Transformers(shape, _streams(tasks, settings, kind))
    train(
        nets, *_lists(tasks, settings, "train", settings.num_samples, settings.train_range),
        steps=settings.steps, batch_size=settings.batch_size, learning_rate=settings.learning_rate,
        generator=child_generator(settings.seed, "algorithms", "batches", device=device),
    )  # fmt: skip
    columns = []
    for reach in (settings.train_range, *settings.test_ranges):
        outside = settings.train_range if reach > settings.train_range else 0.0
        lists = _lists(tasks, settings, f"test {reach:g}", settings.num_test, reach, outside)
        columns.append(_mean_square(nets, *lists))
    found = torch.stack(columns, dim=1).cpu().double().numpy()
    return found.reshape(len(tasks), settings.num_seeds, len(columns))


@torch.no_grad()
def _mean_square(nets: Transformers, numbers: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(nets,)."""
    return (nets(numbers) - targets).square().mean((1, 2))


def _lists(
    tasks: Sequence[str],
    settings: AlgorithmsSettings,
    purpose: str,
    count: int,
    reach: float,
    outside: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(nets, count, length) twice: lists, the same for both kinds of attention, and what is asked of them."""
    numbers = [
        draw_numbers(count, settings.length, reach, outside=outside, generator=stream)
        for stream in _streams(tasks, settings, purpose)
    ]
    asked = [TASKS[task] for task in tasks for _ in range(settings.num_seeds)]
    return torch.stack(numbers), torch.stack([task(each) for task, each in zip(asked, numbers, strict=True)])


def _streams(tasks: Sequence[str], settings: AlgorithmsSettings, purpose: str) -> list[torch.Generator]:
    """One a network: task by task, in each one a repetition."""
    device = pick_device(settings.device)
    return [
        child_generator(settings.seed, "algorithms", purpose, task, index, device=device)
        for task in tasks
        for index in range(settings.num_seeds)
    ]
