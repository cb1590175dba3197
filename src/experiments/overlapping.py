"""Claim `overlapping-sets`: where sets overlap, does the similarity of two patches count the sets that they share?"""

import numpy as np
import torch

from src.common.device import pick_device
from src.common.seeding import child_generator
from src.common.shapes import Float
from src.experiments.measured import Measured
from src.experiments.study_settings import OverlappingSettings
from src.experiments.tasks import activation_of
from src.synthetic.distribution import random_feature
from src.synthetic.model import PositionalAttentionModel
from src.synthetic.overlapping import OverlappingSets, random_sets
from src.synthetic.realistic import Run, Trajectory, check_finite, many_descents
from src.synthetic.transfer import accuracy_on

ARMS = ("overlapping", "unequal", "noisy")
PERMUTATIONS = 999


def run(settings: OverlappingSettings) -> Measured:
    """A study of the companion's own. Cost: two minutes on one core at ten seeds.

    Three arms, each with what the one before has: sets of one size that overlap; sets of many sizes; sets that miss
    patches. Expected: Spearman's correlation of similarity with co-membership is at least 0.8 in each (hypothesis).
    Exploration on seeds from 1000 on, before the rules were written, showed 0.84 in the first arm at the last step and
    0.6 to 0.7 in the others, and that sets counted with weight 1 / size fit better there: the second hypothesis.
    """
    metrics: dict[str, list[float | None]] = {}
    arrays: dict[str, np.ndarray] = {}
    for arm in ARMS:
        tasks = [_draw(arm, index, settings) for index in range(settings.num_seeds)]
        courses = check_finite(
            many_descents([_run(*task, settings) for task in tasks], steps=settings.steps, record_every=10)
        )
        counted = [_correlations(course, sets) for course, (sets, _) in zip(courses, tasks, strict=True)]
        plain, weighted = (np.stack([each[k] for each in counted]) for k in (0, 1))
        metrics |= {
            f"spearman_{arm}": plain[:, -1].tolist(),
            f"spearman_weighted_{arm}": weighted[:, -1].tolist(),
            f"weighted_lead_{arm}": (weighted[:, -1] - plain[:, -1]).tolist(),
            f"spearman_most_{arm}": [_ceiling(sets) for sets, _ in tasks],
            f"permutation_p_{arm}": [
                _permutation_p(course.attention_logits[-1], sets, settings.seed, arm, index)
                for index, (course, (sets, _)) in enumerate(zip(courses, tasks, strict=True))
            ],
            f"accuracy_{arm}": [
                _accuracy(course, *task, settings) for course, task in zip(courses, tasks, strict=True)
            ],
        }
        arrays |= {f"spearman_{arm}": plain, f"spearman_weighted_{arm}": weighted}
        arrays |= {f"similarity_{arm}": _similarity(courses[0].attention_logits[-1]).cpu()}
        arrays |= {f"counts_{arm}": tasks[0][0].co_membership().cpu()}
    arrays["step"] = np.array(courses[0].step)
    return Measured(metrics, arrays)


def _draw(
    arm: str, index: int, settings: OverlappingSettings
) -> tuple[OverlappingSets, tuple[int | str, ...]]:
    """The sets of one repetition, and the name that its other draws derive from."""
    name = (settings.seed, "overlapping", arm, index)
    middle = (settings.smallest + settings.largest) // 2
    sizes = (middle, middle) if arm == "overlapping" else (settings.smallest, settings.largest)
    member = random_sets(
        settings.num_sets, settings.num_patches, *sizes, generator=child_generator(*name, "sets")
    )
    device = pick_device(settings.device)
    feature = random_feature(settings.patch_dim, generator=child_generator(*name, "feature", device=device))
    miss = settings.miss_prob if arm == "noisy" else 0.0
    return OverlappingSets(member.to(device), feature, settings.distractor_prob, miss), name


def _run(sets: OverlappingSets, name: tuple[int | str, ...], settings: OverlappingSettings) -> Run:
    device = sets.feature.device
    sample = sets.sample(settings.num_samples, generator=child_generator(*name, "train", device=device))
    model = PositionalAttentionModel(
        settings.num_patches, settings.patch_dim, diagonal=settings.diagonal, **activation_of(settings),
        generator=child_generator(*name, "model", device=device),
    )  # fmt: skip
    return Run(model, sample.patches, sample.label, settings.lr_value, settings.lr_attention)


@torch.no_grad()
def _accuracy(
    course: Trajectory, sets: OverlappingSets, name: tuple[int | str, ...], settings: OverlappingSettings
) -> float:
    """On fresh inputs, at the last step."""
    model = PositionalAttentionModel(
        settings.num_patches, settings.patch_dim, diagonal=settings.diagonal, **activation_of(settings)
    ).to(sets.feature.device)
    model.attention_logits.copy_(course.attention_logits[-1])
    model.value_vector.copy_(course.value_vector[-1])
    test = sets.sample(
        settings.num_test, generator=child_generator(*name, "test", device=sets.feature.device)
    )
    return accuracy_on(model, test.patches, test.label)


def _similarity(logits: Float[torch.Tensor, "patches patches"]) -> Float[torch.Tensor, "patches patches"]:
    """Mean of A_ij and A_ji: how much two patches attend to each other."""
    return (logits + logits.T) / 2


def _pairs(matrix: Float[torch.Tensor, "patches patches"]) -> np.ndarray:
    """The entries above the diagonal, one a pair of patches."""
    matrix = matrix.cpu().double().numpy().round(9)
    return matrix[np.triu_indices(len(matrix), 1)]


def _correlations(course: Trajectory, sets: OverlappingSets) -> tuple[np.ndarray, np.ndarray]:
    """(t,), (t,): Spearman's correlation of similarity with co-membership, plain and by weight 1 / size."""
    from scipy.stats import spearmanr

    weights = (None, 1 / sets.member.sum(1).to(sets.feature.dtype))
    counts = [_pairs(sets.co_membership(weight)) for weight in weights]
    similar = [_pairs(_similarity(logits)) for logits in course.attention_logits]
    plain, weighted = (np.array([spearmanr(each, count).statistic for each in similar]) for count in counts)
    return plain, weighted


def _ceiling(sets: OverlappingSets) -> float:
    """The correlation of counts with a similarity that orders all pairs of unequal counts right, ties at random."""
    from scipy.stats import rankdata, spearmanr

    counts = _pairs(sets.co_membership())
    order = np.random.default_rng(0).permutation(len(counts))
    untied = np.empty(len(counts))
    untied[order] = rankdata(counts[order], method="ordinal")
    return float(spearmanr(untied, counts).statistic)


def _permutation_p(
    logits: Float[torch.Tensor, "patches patches"], sets: OverlappingSets, *name: int | str
) -> float:
    """How likely the patches in another order would fit as well: a Mantel test with Spearman's correlation."""
    from scipy.stats import rankdata

    draw = np.random.default_rng(child_generator(*name, "permutation").initial_seed())
    similarity, counts = _similarity(logits).cpu().double(), rankdata(_pairs(sets.co_membership()))
    counts -= counts.mean()

    def fit(order: np.ndarray) -> float:
        return float(rankdata(_pairs(similarity[order][:, order])) @ counts)

    observed = fit(np.arange(len(similarity)))
    drawn = [fit(draw.permutation(len(similarity))) for _ in range(PERMUTATIONS)]
    return (1 + sum(each >= observed for each in drawn)) / (1 + PERMUTATIONS)
