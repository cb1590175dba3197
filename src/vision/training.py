"""Training and evaluation of image classifiers: one loop for one model or several, one device, several, or nodes.

Every random choice of epoch e derives from (seed, what it is for, e), never from a stream that runs on, so a
resumed run continues the trajectory of an uninterrupted one. Each of w processes takes its w-th of one global
batch and of the draws made for it, so that their number does not change the trajectory either. The members of an
ensemble lie side by side in one batch, each with the order and the draws of its own seed.
"""

import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.common import checkpoints
from src.common.choices import refusal
from src.common.memory import keep_freed_memory
from src.common.seeding import child_generator
from src.common.shapes import Float, Int64
from src.common.sources import digest, imported_files
from src.vision.augment import Draws, apply_policy, normalize
from src.vision.identity import architecture, identity
from src.vision.image_sets import ImageSet, StreamedImages
from src.vision.progress import Progress
from src.vision.settings import TrainingSettings
from src.vision.steps import Step, checked_logits, execution, fastest_precision

CHECK_EVERY = 20  # steps between looks at the loss, each of which waits for the device


@dataclass
class TrainingHistory:
    """What a run was like, one entry an epoch.

    Attributes
    ----------
    train_loss : mean over the epoch's steps, with label smoothing and augmentation.
    validation_loss : after the epoch; empty without validation images.
    validation_accuracy : likewise.
    learning_rate : of the epoch's last step.
    images_per_second : training only, all processes together; in an ensemble all members too.
    seconds : the whole epoch, validation and callback too, also of epochs before a resumption.
    resumed_seconds : those of the epochs that an earlier process trained; 0 for a run that was never cut off.
    sources : digests of the source that began it, went on with it, or found it trained; more than one where it changed.
    observations : what the callback returned, None excepted, by number of epochs trained; kept in checkpoints.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    images_per_second: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    resumed_seconds: float = 0.0
    sources: list[str] = field(default_factory=list)
    observations: dict[int, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.train_loss)


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy, share of right answers, and the number of images both are of."""

    loss: float
    accuracy: float
    n: int


class NonFiniteLossError(RuntimeError):
    """The loss became infinite or not a number; `history` holds the whole epochs before."""

    def __init__(self, message: str, history: TrainingHistory):
        super().__init__(message)
        self.history = history

    def arrays(self) -> dict[str, object]:
        """The history, by name: each over epochs, the observations from epoch 0."""
        observed = self.history.observations
        return vars(self.history) | {"observations": [observed[epoch] for epoch in sorted(observed)]}


def fit(
    model: nn.Module,
    train: ImageSet | StreamedImages,
    *,
    validation: ImageSet | StreamedImages | None = None,
    settings: TrainingSettings | None = None,
    checkpoint: str | os.PathLike | None = None,
    callback: Callable[[int, nn.Module], Any] | None = None,
    fabric: Any = None,
) -> TrainingHistory:
    """Train `model` in place.

    Parameters
    ----------
    model : images (batch, 3, height, width), normalized, to logits (batch, classes); no statistics over the batch.
    validation : images to measure after each epoch; none of the test set.
    checkpoint : file to write after epochs and, where it exists, to resume from.
    callback : called with the number of epochs trained, 0 included, and the model in evaluation mode.
    fabric : a launched Lightning Fabric; None starts one from the settings.

    Raises
    ------
    ValueError : settings, data and processes that do not fit each other; a checkpoint that cannot be resumed.
    NonFiniteLossError : the loss left the finite numbers, which training cannot mend.
    """
    settings = settings or TrainingSettings()
    run = _start([model], [settings.seed], train, settings, fabric or start_fabric(settings))
    return _train(run, validation, callback, checkpoint)[0]


def fit_ensemble(
    models: Sequence[nn.Module],
    train: ImageSet | StreamedImages,
    *,
    seeds: Sequence[int],
    validation: ImageSet | StreamedImages | None = None,
    settings: TrainingSettings | None = None,
    checkpoint: str | os.PathLike | None = None,
    callback: Callable[[int, nn.Module], Any] | None = None,
) -> list[TrainingHistory]:
    """Train `models` in place and at once, each as `fit` alone would with its seed.

    One member's images, gradients and updates never touch another's. A member whose loss leaves the finite numbers
    is named in a RuntimeWarning; its history ends with the last whole epoch before, and the others go on. Dropout
    alone draws otherwise than in `fit`.

    Parameters
    ----------
    models : of one architecture, initialized; parameters and buffers may differ, the order of `Permuted` patches say.
    seeds : one for each model, in the place of ``settings.seed``.
    callback : as in `fit`, called for one member after the other; what it returns goes into that member's history.
    validation, settings, checkpoint : as in `fit`; all members share them.

    Returns
    -------
    One history a member.

    Raises
    ------
    ValueError : as `fit`; models that differ, other numbers of seeds than models, more than one process.
    NonFiniteLossError : no member is left; `history` is that of the last one.
    """
    settings = settings or TrainingSettings()
    _check_members(models, seeds)
    if (processes := math.prod(_devices_and_nodes(settings))) != 1:
        raise ValueError(
            f"devices x num_nodes is {processes}; an ensemble is trained by one process: 1 is needed"
        )
    run = _start(models, seeds, train, settings, start_fabric(settings))
    return _train(run, validation, callback, checkpoint)


@torch.no_grad()
def evaluate(
    model: nn.Module, data: ImageSet | StreamedImages, *, batch_size: int = 500, fabric: Any = None
) -> Evaluation:
    """Cross-entropy and accuracy of `model` on `data`, in evaluation mode and on the model's device.

    Parameters
    ----------
    batch_size : images at once; the result does not depend on it.
    fabric : where several processes share the work; None for one.

    Raises
    ------
    ValueError : no images, or another number of logits than classes.
    """
    if not len(data):
        raise ValueError("data holds no images; at least one is needed")
    device, training = next(model.parameters()).device, model.training
    rank, processes = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
    data, totals = data.to(device), torch.zeros(2, device=device)
    rows = torch.arange(rank, len(data), processes)
    whole = len(rows) - len(rows) % batch_size
    model.eval()
    try:
        for part in (rows[:whole].view(-1, batch_size), rows[None, whole:]):
            for block_images, block_labels in data.blocks(part) if part.numel() else ():
                for images, labels in zip(block_images, block_labels, strict=True):
                    logits = model(normalize(images, data.mean, data.std))
                    logits = checked_logits(logits, len(labels), data.classes)
                    right = (logits.argmax(1) == labels).sum()
                    totals += torch.stack([F.cross_entropy(logits, labels, reduction="sum"), right])
    finally:
        model.train(training)
    totals = totals if fabric is None else fabric.all_reduce(totals, reduce_op="sum")
    loss, right = totals.tolist()
    return Evaluation(loss / len(data), right / len(data), len(data))


def start_fabric(settings: TrainingSettings) -> Any:
    """A launched Lightning Fabric for these settings; inside `torchrun` it takes torchrun's numbers of processes."""
    from lightning.fabric import Fabric  # not at import time: it takes seconds and brings in torchvision

    for name in (
        "lightning.fabric",
        "lightning.pytorch",
    ):  # a line on precision for each start is no news to a page
        logging.getLogger(name).setLevel(logging.WARNING)
    devices, num_nodes = _devices_and_nodes(settings)
    precision = chosen_precision(settings)
    fabric = Fabric(
        accelerator=settings.accelerator, devices=devices, num_nodes=num_nodes, precision=precision
    )
    fabric.launch()
    return fabric


def chosen_precision(settings: TrainingSettings) -> str:
    """The precision that "auto" becomes on this machine, or the one that was asked for."""
    if settings.precision != "auto":
        return settings.precision
    on_cuda = settings.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return fastest_precision(torch.device("cuda" if on_cuda else "cpu"))


def _devices_and_nodes(settings: TrainingSettings) -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        return devices, int(os.environ["WORLD_SIZE"]) // devices
    return settings.devices, settings.num_nodes


def learning_rate_at(step: int, steps_per_epoch: int, settings: TrainingSettings) -> float:
    """Learning rate of a step (from 0): linear warmup, then a cosine that would be zero after the last step."""
    warmup, total = settings.warmup_epochs * steps_per_epoch, settings.epochs * steps_per_epoch
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    return settings.learning_rate * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2


# --- one run ---


@dataclass
class _Run:
    """What the loop works on: one model or several, a history and a seed for each, and how they take a step."""

    fabric: Any
    models: list[nn.Module]
    seeds: list[int]
    step: Step
    train: ImageSet | StreamedImages
    settings: TrainingSettings
    progress: Progress
    histories: list[TrainingHistory]
    failed: set[int] = field(default_factory=set)

    @property
    def steps(self) -> int:
        return len(self.train) // self.settings.batch_size

    @property
    def epochs(self) -> int:
        """Epochs trained; the histories of failed members are shorter."""
        return max(map(len, self.histories))

    def living(self) -> list[tuple[int, nn.Module, TrainingHistory]]:
        members = enumerate(zip(self.models, self.histories, strict=True))
        return [(i, model, history) for i, (model, history) in members if i not in self.failed]


def _start(
    models: Sequence[nn.Module],
    seeds: Sequence[int],
    train: ImageSet | StreamedImages,
    settings: TrainingSettings,
    fabric: Any,
) -> _Run:
    batch, processes = settings.batch_size, fabric.world_size
    if batch > len(train):
        needed = f"at most {len(train)}, the number of training images,"
        raise ValueError(refusal("batch_size", batch, needed, len(train)))
    in_pairs = bool(settings.augmentation.mixup or settings.augmentation.cutmix)
    if batch % (unit := processes * (1 + in_pairs)):
        why = f"{processes} process(es){', images mixed in pairs' if in_pairs else ''}"
        needed = f"a multiple of {unit} ({why})"
        raise ValueError(refusal("batch_size", batch, needed, max(1, batch // unit) * unit))
    if fabric.device.type == "cpu":
        keep_freed_memory()
    models, train = [model.to(fabric.device) for model in models], train.to(fabric.device)
    how = execution(settings.compile, fabric.device, len(models), processes)
    step = Step(models, train, settings, fabric, how)
    shown = settings.progress and fabric.is_global_zero
    progress = Progress(settings.epochs, len(train) // batch, batch * len(models), shown)
    histories = [TrainingHistory() for _ in models]
    return _Run(fabric, models, list(seeds), step, train, settings, progress, histories)


def _check_members(models: Sequence[nn.Module], seeds: Sequence[int]) -> None:
    if not models or len(models) != len(seeds):
        raise ValueError(
            f"seeds has length {len(seeds)}; one for each of {len(models)} models, at least 1, is needed"
        )
    if len(set(map(id, models))) < len(models):
        raise ValueError("models holds one model twice; each member needs its own")
    first = architecture(models[0])
    for index, model in enumerate(models):
        own = architecture(model)
        for name in first | own:
            if own.get(name) != first.get(name):
                raise ValueError(
                    f"models[{index}] has {name}={own.get(name)}, models[0] {first.get(name)}; the same is needed"
                )


def _train(
    run: _Run,
    validation: ImageSet | StreamedImages | None,
    callback: Callable[[int, nn.Module], Any] | None,
    checkpoint: str | os.PathLike | None,
) -> list[TrainingHistory]:
    """The epochs that are left, with what belongs between them."""
    settings, device, path = run.settings, run.fabric.device, None if checkpoint is None else Path(checkpoint)
    validation = validation if validation is None else validation.to(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            known = path and _identity(run, validation)
            if path is None or not _resume(run, path, known):
                _observe(run, callback)
            for history in run.histories:
                history.sources += [source for source in [_source()] if source not in history.sources]
            for epoch in range(run.epochs, settings.epochs):
                begin = time.perf_counter()
                _train_epoch(run, epoch)
                if validation is not None:
                    _validate(run, validation)
                _observe(run, callback)
                for _, _, history in run.living():
                    history.seconds.append(time.perf_counter() - begin)
                due = (epoch + 1) % settings.checkpoint_every == 0 or epoch + 1 == settings.epochs
                if path is not None and due:
                    _save(run, path, known)
        finally:
            run.step.release()
    return run.histories


def _train_epoch(run: _Run, epoch: int) -> None:
    """One pass over the training images; adds loss, learning rate and images per second to the histories."""
    begin, settings, batch = time.perf_counter(), run.settings, run.settings.batch_size
    rows, draws = _plan(run, epoch)
    seeds = draws.pop("policy", None)
    losses = torch.empty((run.steps, len(run.models)), device=run.fabric.device)
    for model in run.models:
        model.train()
    step = checked = 0
    for images, labels in run.train.blocks(rows):
        if seeds is not None:
            own = seeds[step : step + len(labels)].flatten()
            images = apply_policy(images.flatten(0, 1), settings.augmentation.policy, own).view_as(images)
        for batch_images, batch_labels in zip(images, labels, strict=True):
            rate = learning_rate_at(epoch * run.steps + step, run.steps, settings)
            own = {name: values[step] for name, values in draws.items()}
            losses[step] = run.step(batch_images, batch_labels, own, rate)
            step += 1
            if step % CHECK_EVERY == 0 or step in (1, run.steps):
                losses[checked:step] = run.fabric.all_reduce(losses[checked:step], reduce_op="mean")
                _check_finite(run, losses[checked:step].cpu(), epoch, checked)
                checked = step
            run.progress.show(epoch, step)
    if epoch + 1 == settings.epochs:  # what the last step made shows in no further loss
        for member, model, _ in run.living():
            if not all(parameter.isfinite().all() for parameter in model.parameters()):
                losses[-1, member] = torch.nan  # what it would be
        _check_finite(run, losses[-1:].cpu(), epoch, run.steps - 1)
    means, seconds = losses.cpu().double().mean(0), time.perf_counter() - begin
    for member, _, history in run.living():
        history.train_loss.append(means[member].item())
        history.learning_rate.append(rate)
        history.images_per_second.append(run.steps * batch * len(run.models) / seconds)


def _plan(run: _Run, epoch: int) -> tuple[Int64[Tensor, "steps members_x_batch"], Draws]:
    """This process's part of an epoch: rows of the training images, and the augmentation's draws for them.

    Side by side for all members. The policy's seeds stay on the CPU, where they are used.
    """
    batch, fabric = run.settings.batch_size, run.fabric
    torch.manual_seed(child_generator(run.seeds[0], "dropout", epoch, fabric.global_rank).initial_seed())
    share = batch // fabric.world_size
    own = slice(fabric.global_rank * share, (fabric.global_rank + 1) * share)
    orders, draws = [], []
    for seed in run.seeds:
        order = torch.randperm(len(run.train), generator=child_generator(seed, "order", epoch))
        orders.append(order[: run.steps * batch].view(run.steps, batch)[:, own])
        drawn = run.settings.augmentation.draw(
            (run.steps, batch), child_generator(seed, "augmentation", epoch)
        )
        draws.append({name: values[:, own] for name, values in drawn.items()})
    together = {name: torch.cat([each[name] for each in draws], 1) for name in draws[0]}
    moved = {name: values.to(fabric.device) for name, values in together.items() if name != "policy"}
    return torch.cat(orders, 1), together | moved


def _check_finite(run: _Run, losses: Float[Tensor, "steps members"], epoch: int, first_step: int) -> None:
    """Leave members behind whose loss is not finite; raise where none is left."""
    for member, _, history in run.living():
        for step, loss in enumerate(losses[:, member].tolist(), first_step):
            if not math.isfinite(loss):
                rate = learning_rate_at(epoch * run.steps + step, run.steps, run.settings)
                run.failed.add(member)
                message = (
                    f"the loss is {loss} at step {step + 1} of {run.steps} in epoch {epoch + 1}, "
                    f"learning rate {rate:.3g}; a lower learning_rate, a longer warmup or gradient_clip is needed"
                )
                if len(run.failed) == len(run.models):
                    raise NonFiniteLossError(message, history)
                warnings.warn(
                    f"member {member} (seed {run.seeds[member]}): {message}", RuntimeWarning, stacklevel=2
                )
                break
    run.progress.loss = losses[-1, [member for member, _, _ in run.living()]].mean().item()


def _validate(run: _Run, validation: ImageSet | StreamedImages) -> None:
    for _, model, history in run.living():
        with run.fabric.autocast():
            measured = evaluate(model, validation, fabric=run.fabric)
        history.validation_loss.append(measured.loss)
        history.validation_accuracy.append(measured.accuracy)


@torch.no_grad()
def _observe(run: _Run, callback: Callable | None) -> None:
    if callback is not None:
        for _, model, history in run.living():
            model.eval()
            seen = callback(len(history), model)
            if seen is not None:
                history.observations[len(history)] = seen


# --- what a checkpoint holds ---


def _identity(run: _Run, validation: ImageSet | StreamedImages | None) -> dict[str, Any]:
    data = {"training": run.train, "validation": validation}
    precision = run.fabric.strategy.precision.precision
    return identity(run.models, run.seeds, data, run.settings, precision)


def _source() -> str:
    return digest(imported_files("import src.vision.training"))


def _save(run: _Run, path: Path, known: dict[str, Any]) -> None:
    run.fabric.barrier()
    if run.fabric.is_global_zero:
        state = {
            "models": [model.state_dict() for model in run.models],
            "optimizer": run.step.optimizer.state_dict(),
            "histories": [asdict(history) for history in run.histories],
        }
        checkpoints.write(path, known, state)


def _resume(run: _Run, path: Path, known: dict[str, Any]) -> bool:
    """Continue from a checkpoint; False if there is none."""
    state = checkpoints.read(path, known)
    if state is None:
        return False
    for model, weights in zip(run.models, state["models"], strict=True):
        model.load_state_dict(weights)
    run.step.load_optimizer(state["optimizer"])
    run.histories = [
        TrainingHistory(**history | {"resumed_seconds": sum(history["seconds"])})
        for history in state["histories"]
    ]
    run.failed = {i for i, history in enumerate(run.histories) if len(history) < run.epochs}
    return True
