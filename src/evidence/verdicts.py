"""What records say of a claim: its verdict at one scale, the strongest evidence, and a comparison by one factor."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf, sqrt
from statistics import fmean, stdev

from src.evidence.claims import find
from src.evidence.records import Record, check_metrics, check_repetitions, known, pooled
from src.evidence.statements import Claim, Statement, variant
from src.experiments.resolve import SCALES, resolve
from src.experiments.settings import without_repetition
from src.experiments.table import EXPERIMENTS

REPRODUCED, PARTLY, INCONCLUSIVE, CONTRADICTED = "reproduced", "partly", "inconclusive", "contradicted"
NOT_RUN = "not run at this scale"
HOLDS = "holds"
ENOUGH = 3  # repetitions from which on a larger scale is shown in the place of a smaller one


@dataclass(frozen=True)
class Finding:
    """One statement against the records of one data set (or of none): "holds", "contradicted" or "inconclusive".

    values : the metric's, one for each repetition; of an interval that records give, its lower ends.
    interval : (low, high); None where the values give none. repetitions : how many there are.
    made : day on which the oldest of the records was begun.
    opposed : whether values out of bounds are evidence against the statement.
    """

    statement: Statement
    dataset: str
    values: tuple[float | None, ...]
    interval: tuple[float, float] | None
    repetitions: int
    made: str
    opposed: bool = True

    @property
    def word(self) -> str:
        lowest, highest = self.statement.within
        low, high = self.interval or (-inf, inf)
        if lowest <= low and high <= highest:
            return HOLDS
        outside = high < lowest or low > highest
        return CONTRADICTED if outside and self.opposed else INCONCLUSIVE


@dataclass(frozen=True)
class Verdict:
    """What the records of one claim at one scale say, statement by statement."""

    claim: Claim
    scale: str
    findings: tuple[Finding, ...]
    records: tuple[Record, ...]

    @property
    def word(self) -> str:
        if not self.findings:
            return NOT_RUN
        words = {finding.word for finding in self.parts}
        if any(finding.word != HOLDS for finding in self.findings if finding.statement.role == "check"):
            return INCONCLUSIVE
        if words == {HOLDS}:
            return REPRODUCED
        if CONTRADICTED in words:
            return PARTLY if HOLDS in words else CONTRADICTED
        return INCONCLUSIVE

    @property
    def parts(self) -> tuple[Finding, ...]:
        """What was found of the claim's parts, without checks and asides."""
        return tuple(finding for finding in self.findings if finding.statement.role == "part")

    @property
    def style(self) -> str:
        """The word as a class of the style sheet."""
        return "not-run" if self.word == NOT_RUN else self.word

    @property
    def datasets(self) -> set[str]:
        return {finding.dataset for finding in self.findings}


def judge(key: str, records: Iterable[Record], scale: str | None = None) -> Verdict:
    """The verdict that the claim's records at one scale amount to; by default the scale of the first of them.

    Each data set of the claim is judged by itself, and nothing is without the first. Records that differ in nothing but
    their seed are pooled; where several settings were run, one speaks: of the learning rate that the scale's preset
    names, with most repetitions, of two with as many the longer training, and of two as long the one nearer to the
    preset. ValueError where a record's metrics are no numbers, or two records hold one repetition.
    """
    claim = find(key)
    records = [record for record in records if claim.shown_by(record)]
    scale = scale or (records[0].scale if records else SCALES[0])
    at_scale = [record for record in records if record.scale == scale]
    groups = {
        name: _largest_group([each for each in at_scale if each.parameters.get("dataset", "") == name])
        for name in claim.data.get(scale, ("",))
    }
    if not next(iter(groups.values())):
        return Verdict(claim, scale, (), ())
    for group in groups.values():
        check_repetitions(group)
        for each in group:
            check_metrics(each.metrics)
    statements = claim.statements_at(scale)
    findings = [_find(each, name, group) for name, group in groups.items() if group for each in statements]
    return Verdict(claim, scale, tuple(findings), tuple(each for group in groups.values() for each in group))


def _find(statement: Statement, dataset: str, records: Sequence[Record]) -> Finding:
    lists = [[value for each in records for value in each.values(name)] for name in statement.metrics]
    repetitions = sum(len(each.repetitions) for each in records)
    made = min(each.started[:10] for each in records)
    opposed = statement.opposite is None or _holds_for(statement.opposite, statement.within, records)
    return Finding(
        statement, dataset, tuple(lists[0]), _interval(statement, *lists), repetitions, made, opposed
    )


def _holds_for(metric: str, within: tuple[float, float], records: Sequence[Record]) -> bool:
    """Whether every value of another metric lies within the bounds; False where none is there."""
    values = known([value for each in records for value in each.metrics.get(metric, [])])
    return bool(values) and within[0] <= min(values) and max(values) <= within[1]


def _interval(
    statement: Statement, values: list[float | None], highs: list[float | None] | None = None
) -> tuple[float, float] | None:
    """Ends of the statement's interval, from its metric or from the two that hold its ends; None if none does."""
    complete = None not in values
    if statement.over == "interval":  # an end without a value is open
        return min(values) if complete else -inf, max(highs) if None not in highs else inf
    if statement.over == "every":
        return (min(values), max(values)) if complete else None
    there = known(values)
    return t_interval(there, statement.confidence) if len(there) > 1 else None


def t_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Student's interval of the mean of independent values, two or more."""
    from scipy.stats import t  # not at import time: it takes a second

    half = float(t.ppf((1 + confidence) / 2, len(values) - 1)) * stdev(values) / sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def strongest(key: str, records: Iterable[Record]) -> Record:
    """The claim's repetitions as one record: of the largest scale with `ENOUGH` of them, else of the largest there is.

    ValueError where there is none.
    """
    records = list(records)
    by_scale = [judge(key, records, scale).records for scale in reversed(find(key).scales)]
    there = [each for each in by_scale if each]
    many = [each for each in there if sum(len(one.repetitions) for one in each) >= ENOUGH]
    found = next(iter(many + there), ())
    if not found:
        raise ValueError(f"no record of {key} is there; `python -m src record {key}` makes one")
    dataset = found[0].parameters.get("dataset")
    return pooled([each for each in found if each.parameters.get("dataset") == dataset])


def by_factor(key: str, records: Iterable[Record], factor: str, **held: object) -> dict[object, Record]:
    """The claim's pooled record for each value of one parameter, all others as where most repetitions are, or `held`.

    All are at laptop scale; values ascend. Whether a run *also* trained on permuted images makes no difference; where
    a repetition was made both ways, the one with permuted images is taken.
    """
    records = [record for record in records if record.claim == key and record.scale == SCALES[0]]
    records.sort(key=lambda record: not record.parameters.get("permute", False))
    free = {factor: None, "permute": None}
    base = without_repetition(_largest_group(records)[0].parameters) | held | free if records else {}
    groups: dict[object, list[Record]] = {}
    for record in records:
        setting = without_repetition(record.parameters)
        group = groups.setdefault(setting[factor], []) if setting | free == base else []
        if not {*record.repetitions} & {each for other in group for each in other.repetitions}:
            group.append(record)
    return {value: pooled(groups[value]) for value in sorted(groups)}


def by_epochs(key: str, records: Iterable[Record], scale: str = "short") -> dict[float, dict[int, Record]]:
    """The claim's pooled records by learning rate, the preset's first, and by number of epochs, ascending.

    Where several settings had as many epochs, the one with most repetitions. Variants of the model are left out.
    """
    own = [each for each in records if each.claim == key and each.scale == scale and not variant(each)]
    groups: dict[float, dict[int, list[Record]]] = {}
    for record in sorted(
        own, key=lambda each: ("learning_rate" in _departures(each), each.parameters["epochs"])
    ):
        by_length = groups.setdefault(record.parameters["learning_rate"], {})
        by_length.setdefault(record.parameters["epochs"], []).append(record)
    return {
        rate: {epochs: pooled(_largest_group(found)) for epochs, found in by_length.items()}
        for rate, by_length in groups.items()
    }


def _largest_group(records: list[Record]) -> list[Record]:
    """The records of one setting: the preset's learning rate, most repetitions, the longest training, most like it."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(repr(sorted(without_repetition(record.parameters).items())), []).append(record)
    return max(
        groups.values(),
        key=lambda group: (
            "learning_rate" not in _departures(group[0]),
            sum(len(each.repetitions) for each in group),
            group[0].parameters.get("epochs", 0),
            -len(_departures(group[0])),
        ),
        default=[],
    )


def _departures(record: Record) -> set[str]:
    """The parameters in which the record's setting differs from its scale's preset; none where it has no preset."""
    preset = _preset(record.scale, record.claim) if record.claim in EXPERIMENTS else {}
    setting = without_repetition(record.parameters)
    return {name for name, value in setting.items() if preset.get(name, value) != value}


@cache
def _preset(scale: str, claim: str) -> dict[str, object]:
    chapter, settings = EXPERIMENTS[claim].chapter, EXPERIMENTS[claim].settings
    return resolve(chapter, preset=scale, claim=claim).narrowed(settings).model_dump()
