"""Claim `shortcut-exists`: a planted model in which each set attends to another, beside the associated one."""

import torch

from src.common.device import pick_device
from src.experiments.measured import Measured, columns
from src.experiments.settings import ShortcutExistsSettings
from src.experiments.tasks import activation_of, draw_tasks
from src.structure import patch_association
from src.synthetic.baselines import associated_model, shortcut_model
from src.synthetic.measures import share
from src.synthetic.transfer import accuracy_on


@torch.no_grad()
def run(settings: ShortcutExistsSettings) -> Measured:
    """Source: Theorem 3.2. Cost: seconds.

    Expected: equal predictions, equal accuracy, and, as the theorem has it, not one row whose top C by value has a
    patch of its own set, not even its own. The logits are free: a product P^T P cannot do that in every row, since the
    longest encoding's largest product is that with itself.
    """
    rows, options = [], activation_of(settings)
    for task in draw_tasks(settings, pick_device(settings.device)):
        test = task.sample("test", settings.num_samples)
        shortcut = shortcut_model(task.distribution, **options)
        associated = associated_model(task.distribution, **options)
        score = patch_association(shortcut.attention_logits, task.partition)
        strict = patch_association(shortcut.attention_logits, task.partition, by_value=True)
        row = {
            "accuracy_shortcut": accuracy_on(shortcut, test.patches, test.label),
            "accuracy_associated": accuracy_on(associated, test.patches, test.label),
            "agreement": share(shortcut(test.patches).sign() == associated(test.patches).sign()),
            "association_shortcut": score.mean().item(),
            "rows_associated": share(score == 1),
            "rows_disjoint": share(strict == 0),
        }
        rows.append(row)
    arrays = {
        "attention_associated": task.by_set(associated.attention).cpu(),
        "attention_shortcut": task.by_set(shortcut.attention).cpu(),
    }
    return Measured(columns(rows), arrays)
