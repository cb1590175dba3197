"""A descent whose step is chosen on validation inputs: what samples teach, told apart from when to stop."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from src.common.shapes import Float, Int
from src.synthetic.projected import ProjectedInputs
from src.synthetic.realistic import Run, many_descents

FINISHED = 1e-4  # training loss at which nothing is left to learn: a descent ends there, whatever its budget


@dataclass(frozen=True)
class Course:
    """One descent, looked at every few steps: accuracies (t,), and the logits that are best on validation."""

    step: Int[np.ndarray, " t"]
    validation: Float[np.ndarray, " t"]
    test: Float[np.ndarray, " t"]
    logits: Float[torch.Tensor, "patches patches"]


@torch.no_grad()
def descend(
    run: Run,
    feature: Float[torch.Tensor, " dim"],
    validation: ProjectedInputs,
    test: ProjectedInputs,
    *,
    budget: int,
    every: int,
) -> Course:
    """Descend until the budget is spent, nothing is left to learn, or it diverges; a look every `every` steps."""
    looks, best, logits = [], -1.0, run.model.attention_logits.detach().clone()
    options = {"degree": run.model.degree, "linear_coefficient": run.model.linear_coefficient}
    for start in range(0, budget, 5 * every):
        steps = min(5 * every, budget - start)
        trajectory = many_descents([run], steps=steps, record_every=every)[0]
        states = list(zip(trajectory.step, trajectory.attention_logits, trajectory.value_vector, strict=True))
        for step, attention_logits, value in states[1 if start else 0 :]:
            attention = attention_logits.softmax(-1)
            on_validation, on_test = (
                each.seen_through(attention).accuracy(value, feature, **options).item()
                for each in (validation, test)
            )
            looks.append((start + step, on_validation, on_test))
            if on_validation > best:
                best, logits = on_validation, attention_logits.clone()
        if trajectory.divergence or trajectory.loss[-1] < FINISHED:
            break
    return Course(*(np.array(each) for each in zip(*looks, strict=True)), logits)


def chosen_on_validation(courses: Sequence[Course], within: int) -> tuple[int, float]:
    """Which course is best on validation at a step <= `within`, the first of equals; and its test accuracy there."""
    among = [np.where(course.step <= within, course.validation, -1) for course in courses]
    best = int(np.argmax([each.max() for each in among]))
    return best, float(courses[best].test[among[best].argmax()])
