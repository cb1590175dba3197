"""The paper's claims: its words and values, what counts as reproducing them, and the verdict that follows from records.

Every bound was set before the runs that it judges, one excepted that says so; its reason stands beside it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from src.choices import one_of
from src.parameters import SCALE_FREE, read_parameters
from src.records import Record, pooled

REPRODUCED, PARTLY, CONTRADICTED = "reproduced", "partly", "contradicted"
NOT_RUN = "not run at this scale"
SCALES = ("laptop", "paper")


@dataclass(frozen=True)
class Check:
    """One bound on one metric: on the mean over the repetitions, or on every single one.

    scale : the one at which alone it is asked; empty for all.
    """

    metric: str
    relation: str
    bound: float
    reason: str
    over: str = "mean"
    scale: str = ""

    def holds(self, values: list[float]) -> bool:
        tested = [fmean(values)] if self.over == "mean" else values
        return all(value >= self.bound if self.relation == ">=" else value <= self.bound for value in tested)

    @property
    def sign(self) -> str:
        return {">=": "≥", "<=": "≤"}[self.relation]

    def __str__(self) -> str:
        return f"{self.over} {self.metric} {self.sign} {self.bound:g}"


@dataclass(frozen=True)
class Claim:
    """A row of the claims page.

    known : "A", stated in the paper's abstract or a caption, or "R", recalled.
    scales : most of the theory is asked at one scale, all else at the laptop's and at the paper's.
    """

    key: str
    words: str
    known: str
    chapter: str
    paper_value: str
    checks: tuple[Check, ...]
    scales: tuple[str, ...] = SCALES
    also_in: tuple[str, ...] = ()

    def checks_at(self, scale: str) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.scale in ("", scale))

    def shown_by(self, record: Record) -> bool:
        """Whether the record was made for this claim, or for one that shows it too, and not to choose settings."""
        made_for_it = (
            record.claim in (self.key, *self.also_in) and record.parameters.get("eval_split") != "validation"
        )
        return made_for_it and all(check.metric in record.metrics for check in self.checks_at(record.scale))


@dataclass(frozen=True)
class Verdict:
    """What the records of one claim at one scale say; `values` metric -> one value for each repetition."""

    claim: Claim
    scale: str
    word: str
    values: dict[str, list[float]]
    passed: tuple[bool, ...]
    records: tuple[Record, ...]

    @property
    def checks(self) -> tuple[Check, ...]:
        return self.claim.checks_at(self.scale)


THEORY = ("laptop",)
ON_IMAGES = (
    "pe-locality",
    "positional-cifar10",
    "positional-cifar100",
    "positional-svhn",
    "positional-imagenet",
)
EIGHTH = "the paper's bound, 1/8"
PLATEAU = "the theorem's conclusion, up to the 1 % that a finite run may miss"
SIMILAR = "content minus positional; 3.0 points is the gap that the paper itself reports on ImageNet"
AHEAD = (
    "as far the other way; added after the first runs: one-sided, a clear lead would have counted as similar"
)
VIT_CIFAR = (
    "what public code of the same size reaches in 200 epochs: a weak vanilla model would prove nothing"
)
IMAGENET = "71.9 % vanilla, 68.9 % positional"
LOCAL = "0.25 is far outside the chance level, 0 ± 0.05 over random encodings of this many patches"

CLAIMS = {
    claim.key: claim
    for claim in (
        Claim(
            "structure",
            "The labelling function recovers the label almost surely on spatially structured data.",
            "R",
            "01_dataset",
            "almost surely",
            (
                Check(
                    "labelling_accuracy",
                    ">=",
                    0.98,
                    "errors need a full set of distractors; at C = 4 about 1 in 250",
                ),
                Check(
                    "excess_error",
                    "<=",
                    0.005,
                    "the union bound on those sets, and three standard errors of a run",
                ),
            ),
            THEORY,
        ),
        Claim(
            "linear-fails",
            "Every generalized linear network errs with probability at least 1/8.",
            "R",
            "02_theory",
            "error ≥ 0.125",
            (
                Check("error_best", ">=", 0.125, EIGHTH, "every"),
                Check("error_least_squares", ">=", 0.125, EIGHTH, "every"),
                Check("error_logistic", ">=", 0.125, EIGHTH, "every"),
            ),
            THEORY,
        ),
        Claim(
            "shortcut-exists",
            "A ViT exists that generalizes without patch association: each set attends to another set.",
            "A existence, R construction",
            "02_theory",
            "generalizes, no association",
            (
                Check(
                    "agreement",
                    ">=",
                    0.999,
                    "equal in exact arithmetic; rounding may flip an undecided input",
                    "every",
                ),
                Check("accuracy_shortcut", ">=", 0.98, "the level of the labelling function in this regime"),
                Check("rows_associated", "<=", 0.0, "not a single row attends to its own set", "every"),
            ),
            THEORY,
        ),
        Claim(
            "idealized",
            "Gradient descent on the population risk learns patch association and generalizes.",
            "R",
            "02_theory",
            "association, generalization",
            (
                Check("accuracy_end", ">=", 0.99, PLATEAU, "every"),
                Check(
                    "gap_end",
                    ">=",
                    3.0,
                    "e³ ≈ 20: a set mate then outweighs any other patch twentyfold",
                    "every",
                ),
            ),
            THEORY,
        ),
        Claim(
            "realistic",
            "Gradient descent on the empirical risk, from random initialization, does so too.",
            "A",
            "03_synthetic_training",
            "association, generalization",
            (
                Check("association_peak", ">=", 0.99, PLATEAU, "every"),
                Check(
                    "accuracy_end",
                    ">=",
                    0.96,
                    "within 3 points of the labelling function, 0.99 here",
                    "every",
                ),
            ),
            THEORY,
        ),
        Claim(
            "transfer",
            "With the learned attention kept, few downstream samples suffice; without it many are needed.",
            "A",
            "04_transfer",
            "D^o(1) against D^Ω(1) samples",
            (
                Check("accuracy_kept_10", ">=", 0.96, "the level that pretraining itself must reach"),
                Check(
                    "accuracy_scratch_10", "<=", 0.90, "what a rule along w* without attention reaches here"
                ),
                Check(
                    "accuracy_other_partition_10",
                    "<=",
                    0.90,
                    "likewise: the attention helps only on its own partition",
                ),
            ),
            THEORY,
        ),
        Claim(
            "samples-needed",
            "With D, the samples that training from scratch needs grow like a power of D;"
            " with the learned attention kept they do not.",
            "A",
            "scale",
            "D^Ω(1) against D^o(1)",
            (
                Check(
                    "slope_scratch_low",
                    ">=",
                    0.5,
                    "lower end, 95 %: the noise of a mean over N against its signal predicts 1 up to logs; half of it",
                ),
                Check(
                    "slope_kept_high",
                    "<=",
                    0.5,
                    "upper end, 95 %: as far below the exponent that scratch should have",
                ),
                Check(
                    "slope_gap_low",
                    ">=",
                    0.0,
                    "lower end, 95 %, of scratch minus kept: the separation itself",
                ),
            ),
        ),
        Claim(
            "pe-locality",
            "Position encodings are random at initialization; after training nearby patches have similar encodings.",
            "A",
            "05_cifar",
            "local connectivity (ViT-small-patch32-224, ImageNet; threshold 0.55)",
            (
                Check("locality_before_content", "<=", 0.1, "random encodings: chance is 0 ± 0.05"),
                Check("locality_before_positional", "<=", 0.1, "random encodings: chance is 0 ± 0.05"),
                Check("locality_content", ">=", 0.25, LOCAL),
                Check("locality_positional", ">=", 0.25, LOCAL),
            ),
            also_in=ON_IMAGES,
        ),
        Claim(
            "permuted",
            "The structure is learned even when the patches of every image are permuted by one fixed permutation.",
            "A",
            "05_cifar",
            "structure found (CIFAR-100)",
            (
                Check("locality_content_permuted", ">=", 0.25, LOCAL),
                Check("locality_positional_permuted", ">=", 0.25, LOCAL),
                Check(
                    "loss_content", "<=", 0.02, "a transformer is blind to the order: only the draw differs"
                ),
                Check(
                    "loss_positional",
                    "<=",
                    0.02,
                    "a transformer is blind to the order: only the draw differs",
                ),
                Check("loss_convnet", ">=", 0.03, "the control: a convolution needs the neighbours"),
            ),
            also_in=ON_IMAGES,
        ),
        *(
            Claim(
                f"positional-{key}",
                f"On {name} a ViT with positional attention performs similarly to the vanilla ViT.",
                "A",
                chapter,
                value,
                (
                    Check(
                        "accuracy_positional", ">=", floor, "far above chance: the comparison says something"
                    ),
                    Check("accuracy_gap", "<=", 0.03, SIMILAR),
                    Check("accuracy_gap", ">=", -0.03, AHEAD),
                    Check("accuracy_content", ">=", public, source, scale="paper"),
                ),
            )
            for key, name, chapter, value, floor, public, source in (
                ("cifar10", "CIFAR-10", "05_cifar", "similar", 0.5, 0.9092, VIT_CIFAR),
                ("cifar100", "CIFAR-100", "05_cifar", "similar", 0.1, 0.6654, VIT_CIFAR),
                ("svhn", "SVHN", "06_svhn", "similar", 0.3, 0.9731, VIT_CIFAR),
                (
                    "imagenet",
                    "ImageNet",
                    "07_imagenet",
                    IMAGENET,
                    0.5,
                    0.699,
                    "the paper's 71.9 %, up to 2 points",
                ),
            )
        ),
    )
}


def find(key: str) -> Claim:
    """The claim of that key. ValueError suggests the nearest."""
    return CLAIMS[one_of("claim", key, CLAIMS)]


def judge(key: str, records: Iterable[Record], scale: str | None = None) -> Verdict:
    """The verdict that the claim's records at one scale amount to; by default the scale of the first of them.

    Records that differ in nothing but their seed are pooled; where several settings were run, the one with
    most repetitions speaks.
    """
    claim = find(key)
    records = [record for record in records if claim.shown_by(record)]
    scale = scale or (records[0].scale if records else SCALES[0])
    chosen = _largest_group([record for record in records if record.scale == scale])
    if not chosen:
        return Verdict(claim, scale, NOT_RUN, {}, (), ())
    checks = claim.checks_at(scale)
    values = {check.metric: [v for record in chosen for v in record.values(check.metric)] for check in checks}
    passed = tuple(check.holds(values[check.metric]) for check in checks)
    word = REPRODUCED if all(passed) else PARTLY if any(passed) else CONTRADICTED
    return Verdict(claim, scale, word, values, passed, tuple(chosen))


def strongest(key: str, records: Iterable[Record]) -> Record:
    """The claim's repetitions at the largest scale there is, as one record. ValueError where there is none."""
    records = list(records)
    verdicts = (judge(key, records, scale) for scale in reversed(find(key).scales))
    found = next((verdict.records for verdict in verdicts if verdict.records), ())
    if not found:
        raise ValueError(f"no record of {key} is there; `python -m src record {key}` makes one")
    return pooled(found)


def by_factor(key: str, records: Iterable[Record], factor: str, **held: object) -> dict[object, Record]:
    """The claim's pooled record for each value of one parameter, all others as where most repetitions are, or `held`.

    All are at laptop scale; values ascend. Whether a run *also* trained on permuted images makes no difference.
    """
    records = [record for record in records if record.claim == key and record.scale == SCALES[0]]
    free = {factor: None, "permute": None}
    base = _setting(_largest_group(records)[0]) | held | free if records else {}
    groups: dict[object, list[Record]] = {}
    for record in records:
        setting = _setting(record)
        if setting | free == base:
            groups.setdefault(setting[factor], []).append(record)
    return {value: pooled(groups[value]) for value in sorted(groups)}


def _largest_group(records: list[Record]) -> list[Record]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(repr(sorted(_setting(record).items())), []).append(record)
    return max(groups.values(), key=len, default=[])


def _setting(record: Record) -> dict[str, object]:
    """The parameters in which two repetitions of one experiment agree; one newer than the record has its default."""
    defaults = {name: parameter.default for name, parameter in read_parameters(record.chapter).items()}
    return {name: value for name, value in (defaults | record.parameters).items() if name not in SCALE_FREE}
