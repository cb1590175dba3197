"""What records say of a claim: its verdict at one scale, the strongest evidence, and a comparison by one factor."""

from collections.abc import Iterable
from dataclasses import dataclass

from src.evidence.claims import SCALES, Check, Claim, counts, find
from src.evidence.records import Record, pooled
from src.experiments.settings import REPETITION

REPRODUCED, PARTLY, CONTRADICTED = "reproduced", "partly", "contradicted"
NOT_RUN = "not run at this scale"


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

    @property
    def measured(self) -> list[tuple[Check, list[float], bool]]:
        """Each check with what it was asked of and whether it holds; empty where nothing was run."""
        pairs = zip(self.checks, self.passed, strict=bool(self.passed))
        return [(check, self.values[check.metric], passed) for check, passed in pairs]

    @property
    def style(self) -> str:
        """The word as a class of the style sheet."""
        return "not-run" if self.word == NOT_RUN else self.word

    def count(self, metric: str) -> str:
        """How many values a mean is of; or, where a record has one value of all its repetitions, how many those are."""
        values, (first, *others) = self.values[metric], self.records
        repetitions = first.parameters.get("num_seeds", 1)
        one_of_all = len(values) == 1 and not others and repetitions > 1
        return f"one value of {repetitions} repetitions" if one_of_all else f"n = {len(values)}"


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


def by_epochs(key: str, records: Iterable[Record], scale: str = "short") -> dict[int, Record]:
    """The claim's pooled record for each number of epochs, ascending; where several settings had as many, the one
    with most repetitions. Variants of the model are left out."""
    groups: dict[int, list[Record]] = {}
    for record in records:
        plain = counts(record) and not record.parameters.get("add_encoding")
        if record.claim == key and record.scale == scale and plain:
            groups.setdefault(record.parameters["epochs"], []).append(record)
    return {epochs: pooled(_largest_group(groups[epochs])) for epochs in sorted(groups)}


def _largest_group(records: list[Record]) -> list[Record]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(repr(sorted(_setting(record).items())), []).append(record)
    return max(groups.values(), key=len, default=[])


def _setting(record: Record) -> dict[str, object]:
    """The parameters in which two repetitions of one experiment agree."""
    return {name: value for name, value in record.parameters.items() if name not in REPETITION}
