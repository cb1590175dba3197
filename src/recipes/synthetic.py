"""Recipes of the theory: the distribution, linear rules, the shortcut, both descents, transfer."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from src.recipes import Measured, recipe
from src.seeding import child_generator
from src.shapes import Bool, Float
from src.structure import Partition, patch_association
from src.synthetic.baselines import (
    associated_model,
    best_linear_rule,
    fit_generalized_linear,
    linear_rule_error,
    planted_logits,
    shortcut_model,
)
from src.synthetic.distribution import SpatialDistribution, SpatialSample, random_feature
from src.synthetic.gradient import loss_and_gradient
from src.synthetic.idealized import idealized_descent
from src.synthetic.model import PositionalAttentionModel, activation
from src.synthetic.realistic import Run, Trajectory, check_finite, many_descents
from src.synthetic.transfer import Arm, Descent, accuracies_on, accuracy_on, transfer_curve


@dataclass(frozen=True)
class Regime:
    """The distribution: parameters of a chapter, under their names there."""

    num_patches: int
    set_size: int
    patch_dim: int
    distractor_prob: float

    def tasks(self, seed: int, num_seeds: int, device: torch.device) -> list["Task"]:
        """One task a repetition."""
        size = (self.num_patches, self.set_size, self.patch_dim, self.distractor_prob)
        return [Task.draw(seed, index, *size, device=device) for index in range(num_seeds)]


@dataclass(frozen=True)
class Activation:
    """The model's activation, likewise."""

    degree: int
    linear_coefficient: float


@recipe("01_dataset", "structure")
def structure(
    *,
    seed: int,
    num_seeds: int,
    grid_side: int,
    block: int,
    patch_dim: int,
    distractor_prob: float,
    num_samples: int,
    device: torch.device,
) -> Measured:
    """Claim `structure`: the definition's frequencies, and the labelling function's accuracy, on fresh samples.

    Source: the spatially structured distribution, Definition 2.1. Cost: seconds. Expected: accuracy at least
    1 - (L - 1) (q / 2)^C: an error needs another set that is full of the wrong sign.
    """
    partition = Partition.blocks(grid_side, grid_side, block)
    bound = (partition.num_sets - 1) * (distractor_prob / 2) ** partition.set_size
    metrics = {name: [] for name in ("labelling_accuracy", "excess_error", *FREQUENCIES)}
    for index in range(num_seeds):
        generator = child_generator(seed, "structure", index, device=device)
        feature = random_feature(patch_dim, generator=generator)
        distribution = SpatialDistribution(partition, feature, distractor_prob)
        sample = distribution.sample(num_samples, generator=generator)
        accuracy = _share(distribution.labelling_function(sample.patches) == sample.label)
        metrics["labelling_accuracy"].append(accuracy)
        metrics["excess_error"].append(1 - accuracy - bound)
        for name, value in _frequencies(distribution, sample).items():
            metrics[name].append(value)
    random = Partition.random(grid_side**2, block**2, generator=child_generator(seed, "partition"))
    contiguous = Partition.contiguous(grid_side**2, block**2)
    set_sizes, probs, linear_error = linear_error_map(grid_side**2)
    return Measured(
        metrics,
        {
            "coefficient": (sample.patches[:4] @ feature).round().cpu().reshape(4, grid_side, grid_side),
            "label": sample.label[:4].cpu(),
            "informative_set": sample.informative_set[:4].cpu(),
            "patches": sample.patches[0].cpu(),
            **{
                f"membership_{name}": each.membership.cpu().reshape(grid_side, grid_side)
                for name, each in (("blocks", partition), ("contiguous", contiguous), ("random", random))
            },
            "set_sizes": set_sizes,
            "distractor_probs": probs,
            "linear_error": linear_error,
        },
    )


FREQUENCIES = ("label_mean", "plus_share", "minus_share", "noise_variance")


def _frequencies(distribution: SpatialDistribution, sample: SpatialSample) -> dict[str, float]:
    """Measured label mean, shares of distractors among uninformative patches, and noise variance times d."""
    coefficient = (sample.patches @ distribution.feature).round()
    elsewhere = distribution.partition.membership != sample.informative_set[:, None]
    noise = sample.patches - (sample.patches @ distribution.feature)[:, :, None] * distribution.feature
    dim = distribution.feature.numel()
    return {
        "label_mean": sample.label.mean().item(),
        "plus_share": _share(coefficient[elsewhere] == 1),
        "minus_share": _share(coefficient[elsewhere] == -1),
        "noise_variance": noise.square().sum(-1).mean().item() / (dim - 1) * dim,
    }


def linear_error_map(
    num_patches: int,
) -> tuple[list[int], Float[Tensor, " probs"], Float[Tensor, "probs sizes"]]:
    """Exact error of the best rule along w*, for set sizes that divide D and 41 distractor probabilities."""
    set_sizes = [size for size in range(2, num_patches // 2 + 1) if num_patches % size == 0]
    probs = torch.logspace(-2, 0, 41, dtype=torch.float64)
    errors = [[linear_rule_error(num_patches, size, float(q)) for size in set_sizes] for q in probs]
    return set_sizes, probs, torch.tensor(errors)


@recipe("02_theory", "linear-fails")
def linear_fails(
    *,
    seed: int,
    num_seeds: int,
    regime: Regime,
    num_samples: int,
    device: torch.device,
) -> Measured:
    """Claim `linear-fails`: test errors of generalized linear networks, fitted two ways and told the feature.

    Source: the paper's proposition on generalized linear networks. Cost: seconds. Expected: every error at
    least 1/8 where q (D - C) is of the order of C².
    """
    metrics = {
        name: [] for name in ("error_least_squares", "error_logistic", "error_best", "error_labelling")
    }
    for task in regime.tasks(seed, num_seeds, device):
        train = task.sample("train", num_samples)
        test = task.sample("test", num_samples)
        for loss in ("least_squares", "logistic"):
            fitted = fit_generalized_linear(train.patches, train.label, loss=loss)
            metrics[f"error_{loss}"].append(1 - _share(fitted(test.patches) * test.label > 0))
        margin = best_linear_rule(task.distribution)(test.patches).round() * test.label
        metrics["error_best"].append(_share(margin < 0) + _share(margin == 0) / 2)
        metrics["error_labelling"].append(1 - task.labelling_accuracy(test))
    metrics["error_best_exact"] = [
        linear_rule_error(regime.num_patches, regime.set_size, regime.distractor_prob)
    ]
    return Measured(metrics)


@recipe("02_theory", "shortcut-exists")
def shortcut_exists(
    *,
    seed: int,
    num_seeds: int,
    regime: Regime,
    activation: Activation,
    num_samples: int,
    device: torch.device,
) -> Measured:
    """Claim `shortcut-exists`: a planted model in which each set attends to another, beside the associated one.

    Source: the paper's remark that several ViTs generalize. Cost: seconds. Expected: equal predictions, equal
    accuracy, association 1 against its floor 1 / C, not one row associated.
    """
    names = (
        "accuracy_shortcut",
        "accuracy_associated",
        "agreement",
        "association_shortcut",
        "rows_associated",
    )
    metrics = {name: [] for name in names}
    options = asdict(activation)
    for task in regime.tasks(seed, num_seeds, device):
        test = task.sample("test", num_samples)
        shortcut, associated = (
            shortcut_model(task.distribution, **options),
            associated_model(task.distribution, **options),
        )
        score = patch_association(shortcut.attention_logits.detach(), task.partition)
        with torch.no_grad():
            same = shortcut(test.patches).sign() == associated(test.patches).sign()
        metrics["accuracy_shortcut"].append(accuracy_on(shortcut, test.patches, test.label))
        metrics["accuracy_associated"].append(accuracy_on(associated, test.patches, test.label))
        metrics["agreement"].append(_share(same))
        metrics["association_shortcut"].append(score.mean().item())
        metrics["rows_associated"].append(_share(score == 1))
    arrays = {
        f"attention_{name}": task.by_set(model.attention.detach()).cpu()
        for name, model in (("associated", associated), ("shortcut", shortcut))
    }
    return Measured(metrics, arrays)


@recipe("02_theory", "idealized")
def idealized(
    *,
    seed: int,
    num_seeds: int,
    num_patches: int,
    set_size: int,
    distractor_prob: float,
    degree: int,
    linear_coefficient: float,
    lr_value: float,
    lr_attention: float,
    steps: int,
    batch_samples: int,
    device: torch.device,
) -> Measured:
    """Claim `idealized`: alpha, gamma, rho, loss and accuracy under gradient descent on the population risk.

    Source: the paper's theorem on the idealized learning process. Cost: under 10 s a seed on two cores.
    Expected: gamma leaves rho behind, accuracy reaches the labelling function's.
    """
    runs = [
        idealized_descent(
            num_patches,
            set_size,
            distractor_prob,
            degree=degree,
            linear_coefficient=linear_coefficient,
            lr_value=lr_value,
            lr_attention=lr_attention,
            steps=steps,
            num_samples=batch_samples,
            generator=child_generator(seed, "idealized", index, device=device),
        )
        for index in range(num_seeds)
    ]
    arrays = {
        name: torch.stack([getattr(run, name) for run in runs]).float().cpu()
        for name in ("alpha", "gamma", "rho", "loss", "accuracy")
    }
    tail = max(1, steps // 20)  # one estimate has few samples: average the last 5 % of the estimates
    metrics = {
        "accuracy_end": arrays["accuracy"][:, -tail:].mean(1).tolist(),
        "loss_end": arrays["loss"][:, -tail:].mean(1).tolist(),
        "gap_end": (arrays["gamma"] - arrays["rho"])[:, -1].tolist(),
    }
    return Measured(metrics, arrays)


@recipe("03_synthetic_training", "realistic")
def realistic(
    *,
    seed: int,
    num_seeds: int,
    regime: Regime,
    activation: Activation,
    num_samples: int,
    num_test: int,
    lr_value: float,
    lr_attention: float,
    steps: int,
    overtrain_steps: int,
    record_every: int,
    sample_sizes: list[int],
    device: torch.device,
) -> Measured:
    """Claim `realistic`: descent on N samples from random initialization, `steps` iterations and on to over-training.

    Source: the paper's theorem on the realistic learning process; early stopping after `steps` is the
    companion's. Cost: about 10 s a seed on two cores. Expected: association 1 before `steps`, test accuracy near
    the labelling function's, and association lost again by `overtrain_steps`. The sweep trains on fewer samples.
    """
    tasks = regime.tasks(seed, num_seeds, device)
    train = [task.sample("train", num_samples) for task in tasks]
    test = [task.sample("test", num_test) for task in tasks]
    options = asdict(activation)

    def begin(n: int) -> list[Run]:
        pairs = zip(tasks, train, strict=True)
        return [task.run(sample, n, lr_value, lr_attention, **options) for task, sample in pairs]

    runs, sizes = begin(num_samples), sorted({*sample_sizes} - {num_samples})
    trajectories = check_finite(many_descents(runs, steps=overtrain_steps, record_every=record_every))
    smaller = [run for n in sizes for run in begin(n)]
    shorter = check_finite(many_descents(smaller, steps=steps, record_every=record_every))

    curves = [measure_trajectory(*each) for each in zip(trajectories, runs, tasks, test, strict=True)]
    arrays = {name: torch.stack([each[name] for each in curves]) for name in curves[0]}
    early = [step <= steps for step in trajectories[0].step]
    rows = [working_rows(*each) for each in zip(runs, tasks, test, strict=True)]
    metrics = {
        "association_peak": arrays["association"][:, early].amax(1).tolist(),
        "accuracy_end": arrays["accuracy"][:, early][:, -1].tolist(),
        "association_overtrained": arrays["association"][:, -1].tolist(),
        "accuracy_overtrained": arrays["accuracy"][:, -1].tolist(),
        "labelling_accuracy": [task.labelling_accuracy(each) for task, each in zip(tasks, test, strict=True)],
        "alignment_end": arrays["alignment"][:, early][:, -1].tolist(),
        **{name: [row[name] for row in rows] for name in rows[0]},
        **overtraining_controls(tasks, num_samples, overtrain_steps, lr_value, lr_attention, **options),
    }
    points = zip(shorter, smaller, tasks * len(sizes), test * len(sizes), strict=True)
    sweep = [sweep_point(*point) for point in points]
    sweep += zip(metrics["accuracy_end"], metrics["association_peak"], strict=True)
    sweep = torch.tensor(sweep).reshape(-1, num_seeds, 2).transpose(0, 1)
    arrays |= {
        "step": torch.tensor(trajectories[0].step),
        "attention": tasks[0].by_set(trajectories[0].attention_logits.softmax(-1)).cpu(),
        "sweep_sizes": torch.tensor([*sizes, num_samples]),
        "sweep_accuracy": sweep[..., 0],
        "sweep_association": sweep[..., 1],
    }
    return Measured(metrics, arrays)


def sweep_point(trajectory: Trajectory, run: Run, task: "Task", test: SpatialSample) -> tuple[float, float]:
    """Test accuracy at the end of a descent, and the highest association on its way."""
    association = patch_association(trajectory.attention_logits, task.partition).mean(-1)
    return accuracy_on(run.model, test.patches, test.label), association.max().item()


def overtraining_controls(
    tasks: list["Task"],
    num_samples: int,
    steps: int,
    lr_value: float,
    lr_attention: float,
    **options: int | float,
) -> dict[str, list[float]]:
    """Association after `steps` iterations without noise (d = 1): on one sample, and on a new one each iteration."""
    feature = tasks[0].distribution.feature.new_ones(1)
    noiseless = [
        SpatialDistribution(task.partition, feature, task.distribution.distractor_prob) for task in tasks
    ]
    draws = [task.generator("noiseless") for task in tasks]

    def sample() -> list[SpatialSample]:
        return [each.sample(num_samples, generator=draw) for each, draw in zip(noiseless, draws, strict=True)]

    first = sample()
    runs = [
        task.run(each, num_samples, lr_value, lr_attention, **options)
        for task, each in zip(tasks, first, strict=True)
    ]
    fresh = PositionalAttentionModel.stack([run.model for run in runs]).requires_grad_(False)
    check_finite(many_descents(runs, steps=steps, record_every=steps))
    for step in range(steps):
        new = sample() if step else first
        patches = torch.stack([each.patches for each in new])
        label = torch.stack([each.label for each in new])
        gradient = loss_and_gradient(fresh, patches, label)[2:]
        fresh.value_vector -= lr_value * gradient[0]
        fresh.attention_logits -= lr_attention * gradient[1]
    logits = {"fixed": [run.model.attention_logits.detach() for run in runs], "fresh": fresh.attention_logits}
    return {
        f"association_noiseless_{name}": [
            patch_association(each, task.partition).mean().item()
            for each, task in zip(logits[name], tasks, strict=True)
        ]
        for name in logits
    }


def measure_trajectory(
    trajectory: Trajectory, run: Run, task: "Task", test: SpatialSample
) -> dict[str, Float[Tensor, "..."]]:
    """Curves (t,) over the recorded steps.

    Test accuracy, training loss, association, alignment <v, w*> / |v|, the three idealized numbers measured as
    means over the entries they stand for; and `set_mass` (t, D), each row's attention on its own set, ordered by set.
    """
    states = run.model.with_parameters(trajectory.attention_logits, trajectory.value_vector)
    alpha = trajectory.value_vector @ task.distribution.feature
    logits = trajectory.attention_logits
    curves = {
        "accuracy": accuracies_on(states, test.patches, test.label).float(),
        "loss": trajectory.loss,
        "association": patch_association(logits, task.partition).mean(-1),
        "alignment": alpha / trajectory.value_vector.norm(dim=-1),
        "alpha": alpha,
        "gamma": logits[:, task.same_set & ~states.on_diagonal].mean(-1),
        "rho": logits[:, ~task.same_set].mean(-1),
        "set_mass": (logits.softmax(-1) * task.same_set).sum(-1)[:, task.partition.sets.flatten()],
    }
    return {name: curve.cpu() for name, curve in curves.items()}


@torch.no_grad()
def working_rows(run: Run, task: "Task", test: SpatialSample) -> dict[str, float]:
    """How few rows do the work: those with over half of their attention on their own set, and F from them alone."""
    model, attention = run.model, run.model.attention
    works = (attention * task.same_set).sum(-1) > 0.5
    preactivation = len(attention) * (test.patches @ model.value_vector) @ attention.T
    rows = activation(preactivation, model.degree, model.linear_coefficient)
    return {
        "working_rows_per_set": works.sum().item() / task.partition.num_sets,
        "accuracy_working_rows": _share((rows * works).sum(-1) * test.label > 0),
        "accuracy_other_rows": _share((rows * ~works).sum(-1) * test.label > 0),
    }


@recipe("04_transfer", "transfer")
def transfer(
    *,
    seed: int,
    num_seeds: int,
    regime: Regime,
    activation: Activation,
    num_samples: int,
    num_test: int,
    lr_value: float,
    lr_attention: float,
    steps: int,
    sample_sizes: list[int],
    device: torch.device,
) -> Measured:
    """Claim `transfer`: a new feature learned from few samples, with the attention kept and in four other ways.

    Source: the paper's theorem on transfer. Cost: about 20 s on two cores. Expected: kept attention near the
    oracle's accuracy from the first few samples on; from scratch, and with another partition, no such thing.
    """
    tasks = regime.tasks(seed, num_seeds, device)
    options = asdict(activation)
    pretraining = [
        task.run(task.sample("train", num_samples), num_samples, lr_value, lr_attention, **options)
        for task in tasks
    ]
    check_finite(many_descents(pretraining, steps=steps, record_every=steps))
    learned = [run.model.attention_logits.detach() for run in pretraining]
    del pretraining  # and with it the samples, the largest thing here
    runs = [_arms(task, logits) for task, logits in zip(tasks, learned, strict=True)]
    descent = Descent(steps, lr_value, lr_attention, **options)
    curve = transfer_curve(runs, sample_sizes, descent, seed=seed, num_test=num_test)
    metrics = {
        f"accuracy_{name}_{size}": accuracy[:, column].tolist()
        for name, accuracy in curve.accuracy.items()
        for column, size in enumerate(sample_sizes)
    }
    arrays = {"sample_sizes": torch.tensor(sample_sizes)}
    arrays |= {f"accuracy_{name}": accuracy for name, accuracy in curve.accuracy.items()}
    arrays |= {f"retries_{name}": retries for name, retries in curve.retries.items()}
    return Measured(metrics, arrays)


def _arms(task: "Task", learned: Float[Tensor, "patches patches"]) -> dict[str, Arm]:
    """Kept, scratch, oracle and shortcut attention on the task with a new feature; kept under another partition."""
    feature = random_feature(
        task.distribution.feature.numel(), generator=task.generator("downstream feature")
    )
    same = SpatialDistribution(task.partition, feature, task.distribution.distractor_prob)
    other = Partition.random(
        task.partition.num_patches,
        task.partition.set_size,
        generator=child_generator(*task.name, "other partition"),
    )
    planted = {
        name: planted_logits(task.partition, shift=shift) for name, shift in (("oracle", 0), ("shortcut", 1))
    }
    return {
        "kept": Arm(same, learned),
        "scratch": Arm(same, None),
        **{name: Arm(same, logits) for name, logits in planted.items()},
        "other_partition": Arm(SpatialDistribution(other, feature, same.distractor_prob), learned),
    }


@dataclass(frozen=True)
class Task:
    """One repetition's distribution: its own random partition and feature, and its named random streams."""

    name: tuple[int | str, ...]
    distribution: SpatialDistribution

    @classmethod
    def draw(
        cls,
        seed: int,
        index: int,
        num_patches: int,
        set_size: int,
        patch_dim: int,
        distractor_prob: float,
        *,
        device: torch.device,
    ) -> "Task":
        name = (seed, "task", index)
        partition = Partition.random(num_patches, set_size, generator=child_generator(*name, "partition"))
        feature = random_feature(patch_dim, generator=child_generator(*name, "feature", device=device))
        return cls(name, SpatialDistribution(partition, feature, distractor_prob))

    @property
    def partition(self) -> Partition:
        return self.distribution.partition

    @property
    def same_set(self) -> Bool[Tensor, "patches patches"]:
        """(D, D): True where two patches share a set."""
        membership = self.partition.membership
        return membership[:, None] == membership

    def generator(self, *purpose: str) -> torch.Generator:
        return child_generator(*self.name, *purpose, device=self.distribution.feature.device)

    def sample(self, purpose: str, n: int) -> SpatialSample:
        return self.distribution.sample(n, generator=self.generator(purpose))

    def run(
        self, sample: SpatialSample, n: int, lr_value: float, lr_attention: float, **options: int | float
    ) -> Run:
        """A descent on the first `n` samples, from this repetition's initialization; `options` go to the model."""
        start = self.generator("model")
        model = PositionalAttentionModel(*sample.patches.shape[1:], **options, generator=start)
        return Run(model, sample.patches[:n], sample.label[:n], lr_value, lr_attention)

    def labelling_accuracy(self, sample: SpatialSample) -> float:
        return _share(self.distribution.labelling_function(sample.patches) == sample.label)

    def by_set(
        self, matrix: Float[Tensor, "*frames patches patches"]
    ) -> Float[Tensor, "*frames patches patches"]:
        """Rows and columns reordered so that each set stands together: association becomes blocks on the diagonal."""
        order = self.partition.sets.flatten()
        return matrix[..., order, :][..., order]


def _share(true: Tensor) -> float:
    return true.double().mean().item()
