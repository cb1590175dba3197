"""What a claim is: words, interval checks on what records measured, and which records count as evidence.

A rule is committed before the records that it judges are made; where it is younger than a record, the pages say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from src.evidence.records import Record
from src.experiments.resolve import SCALES

# Days on which rules were committed, and the scales at which a statement is asked.
FIRST, SECOND, THIRD, FOURTH = "2026-11-21", "2026-11-24", "2026-11-26", "2026-11-27"
LAPTOP_SCALE, SMALLER_SCALES, PAPER_SCALE = ("laptop",), ("laptop", "short"), ("paper",)

# What a record must have, as far as its experiment has it, to count for a claim at all; and what it is otherwise.
COUNTED = {
    "eval_split": ("test", "models were measured on validation images"),
    "add_encoding": (False, "encodings were added to the tokens of the positional model too, a variant"),
}
# How readers know the two models.
MODELS = {"content": "vanilla", "positional": "positional attention"}
# Classes of each data set: a folder of the same name with others is not that data set.
CLASSES = {"cifar10": 10, "cifar100": 100, "svhn": 10, "svhn-1083": 10}
CLASSES |= {"tiny-imagenet-50": 50, "imagefolder": 1000}


@dataclass(frozen=True)
class Statement:
    """One interval check: an interval of what was measured lies within bounds, outside them, or across one.

    metric : its name in a record. within : lowest and highest value allowed.
    words : what is measured, in plain English, {} for the value. reason : why these bounds.
    since : ISO date of the commit that set them.
    over : "mean", the t-interval of the mean over repetitions; "every", the range of the repetitions; "interval", the
        one whose ends the record itself gives as the metrics `metric`_low and `metric`_high.
    unit : of the values, "%" and "points" for shares. confidence : of the interval. scales : the claim's, where empty.
    role : "part", of what is claimed; "check", whether the run can tell anything: it never speaks for or against the
        claim, and where it does not hold nothing is said of it; "aside", shown and counted for nothing: the opposite of
        a part, or what the claim's words do not say.
    opposite : of a p-value, the metric of the opposite test, or "" where there is none: only where that one is within
        the bounds is a large p-value evidence against the statement.
    """

    metric: str
    within: tuple[float, float]
    words: str
    reason: str
    since: str
    over: Literal["mean", "every", "interval"] = "mean"
    unit: Literal["", "%", "points", "logits"] = ""
    confidence: float = 0.95
    scales: tuple[str, ...] = ()
    role: Literal["part", "check", "aside"] = "part"
    opposite: str | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of what it reads in a record."""
        ends = (f"{self.metric}_low", f"{self.metric}_high")
        return ends if self.over == "interval" else (self.metric,)


@dataclass(frozen=True)
class Claim:
    """A row of the claims page.

    known : how its words are known, "S" seen in a reproduction, "A" stated in the abstract, "R" recalled; "own", a
        hypothesis of the companion's own, beyond the paper. `paper_value` then says where the question comes from.
    scales : those at which it is asked. data : scale -> data sets that can show it, each by itself, the first needed;
        empty where it is about no data set. also_in : other claims whose records show it too.
    needs : parameter -> the value that the words take for granted.
    """

    key: str
    words: str
    known: str
    chapter: str
    paper_value: str
    statements: tuple[Statement, ...]
    scales: tuple[str, ...] = SCALES
    data: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    also_in: tuple[str, ...] = ()
    needs: Mapping[str, object] = field(default_factory=dict)

    @property
    def beyond(self) -> bool:
        """Whether it is a hypothesis beyond the paper."""
        return self.known == "own"

    def statements_at(self, scale: str) -> tuple[Statement, ...]:
        return tuple(each for each in self.statements if scale in (each.scales or self.scales))

    def why_not(self, record: Record) -> str:
        """Why a record is no evidence for the claim, as half a sentence; empty where it is evidence."""
        if record.claim not in (self.key, *self.also_in):
            return f"the run was made for {record.claim}"
        if variant(record):
            return variant(record)
        for name, value in self.needs.items():
            if record.parameters.get(name, value) != value:
                return f"the claim's words need {name} = {value}, and this run has {record.parameters[name]}"
        if self.data and not self._has_its_data(record):
            needed = " or ".join(self.data[record.scale])
            return (
                f"at {record.scale} scale the claim needs the images of {needed}, and this run on"
                f" {_data_of(record)} shows no more than that everything works"
            )
        asked = [name for each in self.statements_at(record.scale) for name in each.metrics]
        absent = [name for name in asked if name not in record.metrics]
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        return f"the run did not measure {absent[0]}{more}" if absent else ""

    def shown_by(self, record: Record) -> bool:
        """Whether the record is evidence for the claim."""
        return not self.why_not(record)

    def _has_its_data(self, record: Record) -> bool:
        name, classes = record.parameters.get("dataset"), record.notes.get("classes")
        if name not in self.data[record.scale]:
            return False
        # older records do not tell; a folder may hold anything
        told = classes is not None or name == "imagefolder"
        return classes == CLASSES[name] if told else True


def variant(record: Record) -> str:
    """Why a record counts for no claim at all: a variant, or made to choose settings; empty where it may count."""
    otherwise = (
        words for name, (value, words) in COUNTED.items() if record.parameters.get(name, value) != value
    )
    return next(otherwise, "")


def _data_of(record: Record) -> str:
    classes = record.notes.get("classes")
    return f"{record.parameters.get('dataset')}" + (f" ({classes} classes)" if classes else "")


def least(low: float) -> tuple[float, float]:
    return low, inf


def most(high: float) -> tuple[float, float]:
    return -inf, high
