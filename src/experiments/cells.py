"""Claim `three-cells`: which encodings let a small ViT say how three coloured cells lie to each other?"""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from src.common.device import pick_device
from src.common.seeding import child_generator
from src.common.shapes import Float
from src.experiments.measured import Measured
from src.experiments.study_settings import CellsSettings
from src.vision.cells import FOLDS, QUESTIONS, ThreeCells
from src.vision.sinusoid import grid_sinusoid, sinusoid
from src.vision.vit import VisionTransformer

LOOKS = 8  # at test accuracy while a model trains; the last, after the last step, is the one that is judged
SHOWN = 4  # test inputs that a record keeps to be drawn


def run(settings: CellsSettings) -> Measured:
    """A study of the companion's own, after Chowdhury et al., 2025. Cost: eight minutes on one core at five seeds.

    Expected: encodings of any kind gain 10 points over none, which stay at chance; sinusoids of rows and columns lead
    those of a single row of tokens; positional attention is within 2 points of learned encodings in the tokens.
    Exploration on seeds 1000 and 1001, before the rules were written, chose the grid and the steps so that learned
    encodings leave chance. It showed positional attention 2 to 4 points ahead of them there, and sinusoids of rows and
    columns 25: the last two rules.
    """
    cells = ThreeCells(settings.grid_side)
    accuracy = torch.stack(
        [
            torch.stack([_train(kind, index, cells, settings) for index in range(settings.num_seeds)])
            for kind in settings.kinds
        ]
    )
    shown = _draw("shown", 0, SHOWN, cells, settings)
    arrays = {
        "accuracy": accuracy,  # (kinds, repetitions, looks, questions)
        "step": _looks(settings.steps),
        "chance": cells.chance,
        "images": cells.images(shown).permute(0, 2, 3, 1),
        "answers": cells.answers(shown),
    }
    return Measured(
        _metrics(dict(zip(settings.kinds, accuracy[:, :, -1].mean(-1), strict=True)), cells), arrays
    )


def new_model(kind: str, settings: CellsSettings, generator: torch.Generator) -> VisionTransformer:
    """A ViT whose patches are the cells, untrained: with no, learned or fixed encodings, or positional attention."""
    side, dim = settings.grid_side, settings.embed_dim
    model = VisionTransformer(
        side, 1, len(QUESTIONS), dim, settings.depth, settings.num_heads, settings.mlp_dim,
        "positional" if kind == "positional" else "content", generator=generator,
    )  # fmt: skip
    fixed = {
        "none": torch.zeros(side**2, dim),
        "sinusoid_1d": sinusoid(side**2, dim),
        "sinusoid_2d": grid_sinusoid(side, dim),
    }
    if kind in fixed:
        model.pos_embed.requires_grad_(False)
        model.pos_embed[0, 0], model.pos_embed[0, 1:] = 0, fixed[kind]  # that of CLS, those of the cells
    return model


def _train(
    kind: str, index: int, cells: ThreeCells, settings: CellsSettings
) -> Float[torch.Tensor, "looks questions"]:
    """Test accuracy on each question as one model trains, each step on inputs of its own."""
    device, steps = pick_device(settings.device), settings.steps
    model = new_model(kind, settings, child_generator(settings.seed, "initialization", index)).to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), settings.learning_rate, (0.9, 0.99), weight_decay=0.0, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, 12 * (step + 1) / steps) * (1 - step / steps)
    )
    train = _draw("train", index, steps * settings.batch_size, cells, settings)
    test = _draw("test", index, settings.num_test, cells, settings).to(device)
    looks, found = _looks(steps), []
    for step, places in enumerate(train.to(device).split(settings.batch_size), 1):
        logits = model(cells.images(places))
        loss = binary_cross_entropy_with_logits(logits, cells.answers(places).float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step in looks:
            if not loss.isfinite():
                raise ArithmeticError(
                    f"{kind}: the loss became {loss.item()}; a lower learning_rate is needed"
                )
            found.append(_accuracy(model, test, cells))
    return torch.stack(found)


def _draw(use: str, index: int, count: int, cells: ThreeCells, settings: CellsSettings) -> torch.Tensor:
    """(count, 3) places; those for training keep out of the repetition's test fold. All kinds get the same."""
    name = (settings.seed, "cells", index)
    fold = int(torch.randint(FOLDS, (), generator=child_generator(*name, "fold")))
    generator = child_generator(*name, use)
    return cells.sample(count, fold=fold, test=use != "train", generator=generator)


@torch.no_grad()
def _accuracy(
    model: VisionTransformer, places: torch.Tensor, cells: ThreeCells
) -> Float[torch.Tensor, " questions"]:
    logits = torch.cat([model(cells.images(part)) for part in places.split(250)])
    return ((logits > 0) == cells.answers(places)).float().mean(0).cpu()


def _looks(steps: int) -> list[int]:
    return sorted({max(1, steps * look // LOOKS) for look in range(1, LOOKS + 1)})


def _metrics(
    accuracy: dict[str, Float[torch.Tensor, " repetitions"]], cells: ThreeCells
) -> dict[str, list[float]]:
    """Of the kinds that were trained: accuracy, mean over the questions, and its differences, one a repetition."""
    differences = {f"gain_{kind}": (kind, "none") for kind in accuracy if kind != "none"}
    differences |= {
        "grid_lead": ("sinusoid_2d", "sinusoid_1d"),
        "grid_lead_learned": ("sinusoid_2d", "learned"),
        "positional_lead": ("positional", "learned"),
    }
    metrics = {f"accuracy_{kind}": values for kind, values in accuracy.items()} | {
        name: accuracy[one] - accuracy[other]
        for name, (one, other) in differences.items()
        if {one, other} <= accuracy.keys()
    }
    if "none" in accuracy:
        metrics["excess_none"] = accuracy["none"] - sum(cells.chance) / len(QUESTIONS)
    return {name: values.tolist() for name, values in metrics.items()}
