"""A statement and what was found of it, in plain words."""

from math import inf
from statistics import fmean

from src.evidence.claims import Statement
from src.evidence.records import known
from src.evidence.verdicts import CONTRADICTED, HOLDS, INCONCLUSIVE, Finding

MARKS = {HOLDS: "✓", CONTRADICTED: "✗", INCONCLUSIVE: "?"}
# How values are written: factor, number, and what follows.
UNITS = {"": (1, "z.3g", ""), "%": (100, "z.1f", " %"), "points": (100, "+z.1f", " points")}
UNITS |= {"logits": (1, "z.1f", " logits")}


def found(finding: Finding) -> str:
    """✓ Attention inside a set beats attention outside by 6.8 logits; at least 3 logits were needed."""
    return f"{MARKS[finding.word]} {measured(finding)}; {needed(finding.statement)}{_doubt(finding)}."


def asked(statement: Statement) -> str:
    """The same of a statement without a record."""
    return f"— {statement.words.format('…')}; {needed(statement)}."


def behind(finding: Finding) -> str:
    """What stands small behind the words: metric, interval, reason, and the day of the rule."""
    statement = finding.statement
    late = ", after the record was made" if finding.made < statement.since else ""
    return f"{statement.metric}, {_spread(finding)}; {statement.reason}; rule of {statement.since}{late}"


def measured(finding: Finding) -> str:
    """The statement's words with the mean, or with the interval that the record gives."""
    statement, values = finding.statement, known(finding.values)
    if statement.over == "interval":
        text = _range(finding.interval, statement.unit)
    else:
        text = amount(fmean(values), statement.unit) if values else "without a value"
    return statement.words.format(text)


def needed(statement: Statement) -> str:
    """at least 3 logits were needed every time"""
    (low, high), unit = statement.within, statement.unit
    if high == inf:
        bounds = f"at least {_bound(low, unit)}"
    elif low == -inf:
        bounds = f"at most {_bound(high, unit)}"
    else:
        bounds = f"between {_bound(low, unit).removesuffix(UNITS[unit][2])} and {_bound(high, unit)}"
    verb = "were" if unit in ("points", "logits") else "was"
    return f"{bounds} {verb} needed" + (" every time" if statement.over == "every" else "")


def _doubt(finding: Finding) -> str:
    """Why nothing can be said, where nothing can."""
    if finding.word != INCONCLUSIVE:
        return ""
    if finding.interval is None:
        return ": one repetition cannot say" if len(finding.values) == 1 else ": too few values to say"
    return ": the repetitions disagree" if finding.statement.over == "every" else ": too uncertain to say"


def _spread(finding: Finding) -> str:
    """The interval that was judged, and how many repetitions it comes from."""
    statement, values = finding.statement, known(finding.values)
    if finding.interval is None:
        return f"n = {len(values)}"
    interval = _range(finding.interval, statement.unit)
    if statement.over == "every":
        return f"{interval}, n = {len(values)}"
    confidence = f"{100 * statement.confidence:.0f} % interval"
    if statement.over == "interval":
        return f"{confidence} from {finding.repetitions} repetitions"
    return f"{confidence} of the mean {interval}, n = {len(values)}"


def amount(value: float, unit: str) -> str:
    """A measured value with its unit, such as "6.8 logits"."""
    factor, number, after = UNITS[unit]
    return f"{factor * value:{number}}{after}"


def _range(interval: tuple[float, float], unit: str) -> str:
    low, high = (amount(end, unit) for end in interval)
    return f"{low.removesuffix(UNITS[unit][2])} to {high}"


def _bound(value: float, unit: str) -> str:
    """A bound, with as many digits as it was given."""
    factor, _, after = UNITS[unit]
    return f"{factor * value:.6g}{after}"
