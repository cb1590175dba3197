"""Claim `linear-fails`: test errors of generalized linear networks, fitted two ways and told the feature."""

from src.common.device import pick_device
from src.experiments.measured import Measured, columns
from src.experiments.settings import LinearFailsSettings
from src.experiments.tasks import draw_tasks
from src.synthetic.baselines import best_linear_rule, fit_generalized_linear, linear_rule_error
from src.synthetic.measures import labelling_accuracy, share
from src.synthetic.tasks import Task


def run(settings: LinearFailsSettings) -> Measured:
    """Source: the paper's proposition on generalized linear networks. Cost: seconds.

    Expected: every error at least 1/8 where q (D - C) is of the order of C².
    """
    tasks = draw_tasks(settings, pick_device(settings.device))
    exact = linear_rule_error(settings.num_patches, settings.set_size, settings.distractor_prob)
    metrics = columns([_errors(task, settings.num_samples) for task in tasks])
    return Measured(metrics | {"error_best_exact": [exact]})


def _errors(task: Task, num_samples: int) -> dict[str, float]:
    train, test = task.sample("train", num_samples), task.sample("test", num_samples)
    squares = fit_generalized_linear(train.patches, train.label, loss="least_squares")
    logistic = fit_generalized_linear(train.patches, train.label, loss="logistic")
    margin = best_linear_rule(task.distribution)(test.patches).round() * test.label
    return {
        "error_least_squares": 1 - share(squares(test.patches) * test.label > 0),
        "error_logistic": 1 - share(logistic(test.patches) * test.label > 0),
        "error_best": share(margin < 0) + share(margin == 0) / 2,  # a tie is settled by a coin
        "error_labelling": 1 - labelling_accuracy(task.distribution, test),
    }
