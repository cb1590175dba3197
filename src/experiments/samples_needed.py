"""Claim `samples-needed`: samples that training needs as D grows, from scratch and with learned attention kept."""

import time
from copy import deepcopy
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch

from src.common.checkpoints import read, write
from src.common.device import pick_device
from src.common.folders import check_writable
from src.common.seeding import child_generator
from src.common.shapes import Float
from src.common.sources import digest, imported_files
from src.experiments.measured import Measured
from src.experiments.samples_counted import ARMS, MARGINS, needed_and_slopes, over_margins
from src.experiments.settings import REPETITION, SamplesNeededSettings
from src.experiments.tasks import activation_of
from src.synthetic.baselines import distractor_prob_at, planted_logits
from src.synthetic.distribution import SpatialDistribution, random_feature
from src.synthetic.measures import association
from src.synthetic.projected import ProjectedInputs
from src.synthetic.tasks import Task, draw_task
from src.synthetic.transfer import learn_values
from src.synthetic.validated import chosen_on_validation, descend

RESAMPLES = 2000


def run(settings: SamplesNeededSettings) -> Measured:
    """Source: the paper's theorem on transfer. Cost: the defaults half a minute; see the preset `laptop`.

    Expected: a slope near 1 from scratch, near 0 with attention kept. Only D changes, and q with it: the equal-weights
    linear rule errs alike at every D. Each descent takes the step, the step sizes and the cap at which its own
    validation inputs do best, once within its budget and once within half of it. Departures from the paper: the
    update of A is capped, and d is the same at every D.
    """
    check_writable(settings.checkpoint_folder)
    device, sizes = pick_device(settings.device), settings.num_patches
    points = [
        [kept_point(settings, index, row, device) for index in range(settings.num_seeds)]
        for row in range(len(sizes))
    ]
    resumed = sum(each.pop("resumed_seconds", 0.0) for row in points for each in row)
    arrays = {
        name: np.array([np.stack([each[name] for each in row], -1) for row in points])
        for name in points[0][0]
    }
    labelling = arrays["labelling_accuracy"].mean(-1)
    arrays |= {
        "num_patches": np.array(sizes),
        "distractor_prob": np.array([_prob(settings, D) for D in sizes]),
        "sizes_scratch": np.outer(sizes, settings.samples_per_patch),
        **{f"sizes_{arm}": np.tile(settings.downstream_sizes, (len(sizes), 1)) for arm in ARMS[1:]},
        **{f"threshold_{margin}": labelling - margin / 100 for margin in MARGINS},
    }
    generator = child_generator(settings.seed, "samples needed", "bootstrap")
    shape = (RESAMPLES, len(sizes), settings.num_seeds)
    resampled = torch.randint(settings.num_seeds, shape, generator=generator).numpy()
    metrics, needed = {}, {}
    for margin in MARGINS:
        slopes, counts = needed_and_slopes(arrays, arrays[f"threshold_{margin}"], resampled)
        metrics |= {f"{name}_{margin}": [value] for name, value in slopes.items()}
        needed |= {f"{name}_{margin}": value for name, value in counts.items()}
    kept = zip(sizes, arrays["association_kept"].tolist(), strict=True)
    metrics |= {f"association_kept_{D}": each for D, each in kept} | over_margins(metrics)
    return Measured(metrics, arrays | needed, {"resumed_seconds": float(resumed)})


def kept_point(
    settings: SamplesNeededSettings, index: int, row: int, device: torch.device
) -> dict[str, np.ndarray]:
    """`measure_point`, or what a run that was cut off has kept of it; refused where settings or source differ."""
    if not settings.checkpoint_folder:
        return measure_point(settings, index, row, device)
    path = Path(settings.checkpoint_folder, f"{settings.num_patches[row]}-{settings.seed}-{index}.pt")
    known = settings.model_dump(exclude=REPETITION)
    known["source"] = digest(imported_files("import src.experiments.samples_needed"))
    point = read(path, known)
    if point is None:
        clock, point = time.perf_counter(), measure_point(settings, index, row, device)
        seconds = torch.tensor(time.perf_counter() - clock)
        write(path, known, {k: torch.tensor(v) for k, v in point.items()} | {"resumed_seconds": seconds})
        return point
    return {name: each.numpy() for name, each in point.items()}


def measure_point(
    settings: SamplesNeededSettings, index: int, row: int, device: torch.device
) -> dict[str, np.ndarray]:
    """All arms of one repetition at one D: `accuracy_…` (2, sizes), within half the budget and within all of it."""
    num_patches = settings.num_patches[row]
    own_seed = child_generator(settings.seed, "samples needed", num_patches).initial_seed()
    size = {"num_patches": num_patches, "set_size": settings.set_size, "patch_dim": settings.patch_dim}
    task = draw_task(own_seed, index, **size, distractor_prob=_prob(settings, num_patches), device=device)
    validation, test = (
        ProjectedInputs.draw(task.distribution, n, generator=task.generator(name))
        for name, n in (("validation", settings.num_validation), ("test", settings.num_test))
    )
    scratch, chosen, kept = from_scratch(settings, task, settings.budget[row], validation, test)
    uniform = torch.zeros_like(kept)
    given = {"kept": kept, "oracle": planted_logits(task.partition).to(kept), "uniform": uniform}
    return {
        "labelling_accuracy": np.array(test.labelling_accuracy(task.partition)),
        "association_kept": np.array(association(kept, task).item()),
        "accuracy_scratch": scratch,
        "chosen_scratch": chosen,
        **{f"accuracy_{arm}": with_attention(settings, task, given[arm], validation, test) for arm in given},
    }


def from_scratch(
    settings: SamplesNeededSettings,
    task: Task,
    budget: int,
    validation: ProjectedInputs,
    test: ProjectedInputs,
) -> tuple[
    Float[np.ndarray, "2 sizes"], Float[np.ndarray, "sizes 3"], Float[torch.Tensor, "patches patches"]
]:
    """Test accuracy over sizes from scratch; the scales of v's and A's step and the cap that were best within the
    budget; and the attention that the largest sample taught, which others keep.
    """
    num_patches, feature = task.partition.num_patches, task.distribution.feature
    sizes = [each * num_patches for each in settings.samples_per_patch]
    train = task.sample("train", sizes[-1])
    tried = list(product(settings.lr_value_scales, settings.lr_attention_scales, settings.max_moves))
    looks, accuracy, chosen = {"budget": budget, "every": settings.record_every}, [], []
    for size in sizes:
        begun, courses = task.run(train, size, 0.0, 0.0, **activation_of(settings)), []
        for value, attention, cap in tried:
            rates = {"lr_value": value / num_patches**2, "lr_attention": attention * num_patches**2}
            own = replace(begun, model=deepcopy(begun.model), max_move=cap, **rates)
            courses.append(descend(own, feature, validation, test, **looks))
        _, half = chosen_on_validation(courses, budget // 2)
        best, full = chosen_on_validation(courses, budget)
        accuracy.append([half, full])
        chosen.append(tried[best])
    return np.array(accuracy).T, np.array(chosen), courses[best].logits


@torch.no_grad()
def with_attention(
    settings: SamplesNeededSettings,
    task: Task,
    logits: Float[torch.Tensor, "patches patches"],
    validation: ProjectedInputs,
    test: ProjectedInputs,
) -> Float[np.ndarray, "2 sizes"]:
    """Test accuracy where attention is given, over downstream sizes: the mean over draws, each with its own feature.

    Every arm meets the same features, samples and starts.
    """
    attention = logits.softmax(-1)
    mixed, label, feature, start = _downstream(settings, task, attention)
    validation, test = validation.seen_through(attention), test.seen_through(attention)
    options, budget = activation_of(settings), settings.downstream_budget
    every = max(1, budget // 10)
    accuracy = []
    for size in settings.downstream_sizes:
        looks = []
        for scale in settings.downstream_lr_scales:
            lr_value = scale / len(attention) ** 2
            values = learn_values(
                mixed[:, :size],
                label[:, :size],
                start,
                lr_value=lr_value,
                steps=range(0, budget + 1, every),
                **options,
            )
            looks.append(
                [
                    torch.stack([inputs.accuracy(value, feature, **options) for value in values])
                    for inputs in (validation, test)
                ]
            )
        # (scales, t, draws)
        on_validation, on_test = (torch.stack(each) for each in zip(*looks, strict=True))
        half = 1 + budget // 2 // every
        accuracy.append(
            [_at_best(on_validation[:, :last], on_test[:, :last]) for last in (half, on_test.shape[1])]
        )
    return np.array(accuracy).T


def _at_best(validation: torch.Tensor, test: torch.Tensor) -> float:
    """Mean over draws of the test accuracy where a draw's validation accuracy is highest; (scales, t, draws)."""
    at = validation.flatten(0, 1).argmax(0)
    return test.flatten(0, 1).gather(0, at[None]).mean().item()


def _downstream(
    settings: SamplesNeededSettings, task: Task, attention: Float[torch.Tensor, "patches patches"]
) -> list[torch.Tensor]:
    """D S X, labels, features and starts of all draws."""
    drawn, draw = [], task.generator("downstream")
    for _ in range(settings.downstream_draws):
        feature = random_feature(settings.patch_dim, generator=draw)
        distribution = SpatialDistribution(task.partition, feature, task.distribution.distractor_prob)
        sample = distribution.sample(settings.downstream_sizes[-1], generator=draw)
        start = 1e-3 * torch.randn(settings.patch_dim, generator=draw, device=draw.device)
        drawn.append((len(attention) * attention @ sample.patches, sample.label, feature, start))
    return [torch.stack(each) for each in zip(*drawn, strict=True)]


def _prob(settings: SamplesNeededSettings, num_patches: int) -> float:
    return distractor_prob_at(settings.linear_error, num_patches, settings.set_size)
