"""A statement and what was found of it, in plain words."""

import re
from math import inf
from statistics import fmean

from src.evidence.records import known
from src.evidence.statements import Statement
from src.evidence.verdicts import CONTRADICTED, HOLDS, INCONCLUSIVE, Finding

MARKS = {HOLDS: "✓", CONTRADICTED: "✗", INCONCLUSIVE: "?"}
# How values are written: factor, number, and what follows.
UNITS = {"": (1, "z.3g", ""), "%": (100, "z.1f", " %"), "points": (100, "+z.1f", " points")}
UNITS |= {"logits": (1, "z.1f", " logits")}
ROLES = {
    "part": "",
    "check": "; a check, no part of the claim",
    "aside": "; beside the claim, counted for nothing",
}

KEPT_TOGETHER = re.compile(r"(?<=\d) (?=%)|(?<=\bn) (?== )|(?<=\bn =) (?=\d)|(?<=[✓✗?—]) |(?<=[✓✗?]\)) ")


def unbroken(text: str) -> str:
    """The text with no-break spaces between a number and its percent sign, in "n = 3", and behind a mark."""
    return KEPT_TOGETHER.sub("\N{NO-BREAK SPACE}", text)


def one_thread(device: str) -> str:
    """A device's name as records have it; older ones say "1 threads"."""
    return device.replace(", 1 threads", ", 1 thread")


def found(finding: Finding) -> str:
    """✓ Attention inside a set beats attention outside by 6.8 logits; at least 3 logits were needed."""
    mark = MARKS[finding.word] if finding.statement.role == "part" else f"({MARKS[finding.word]})"
    text = f"{mark} {measured(finding)}; {needed(finding.statement)}{_doubt(finding)}."
    return unbroken(text)


def asked(statement: Statement) -> str:
    """The same of a statement without a record."""
    return unbroken(f"— {statement.words.format('…')}; {needed(statement)}.")


def behind(finding: Finding) -> str:
    """What stands small behind the words: metric, interval, reason, and the day of the rule."""
    statement = finding.statement
    late = ", after the record was made" if finding.made < statement.since else ""
    spread = _spread(finding)
    return unbroken(
        f"{statement.metric}, {spread}; {statement.reason}{ROLES[statement.role]}; rule of {statement.since}{late}"
    )


def measured(finding: Finding) -> str:
    """The statement's words with the mean, or with the interval that the record gives."""
    statement, values = finding.statement, known(finding.values)
    if statement.over == "interval":
        text = _range(finding.interval, statement.unit)
    else:
        text = amount(fmean(values), statement.unit) if values else "—"
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
    if not known(finding.values) and finding.statement.over != "interval":
        return ": no repetition gives a value"
    if not finding.opposed:
        return ": neither shown nor refuted"
    if finding.interval is None:
        return ": one repetition cannot say" if len(finding.values) == 1 else ": too few values to say"
    return ": the repetitions disagree" if finding.statement.over == "every" else ": too uncertain to say"


def _spread(finding: Finding) -> str:
    """The interval that was judged, and how many repetitions it comes from."""
    statement, values = finding.statement, known(finding.values)
    wide = statement.over == "mean" and len(values) == 2 and finding.word == INCONCLUSIVE
    if finding.interval is None or wide:  # of two values Student's interval is thirteen times their spread
        return f"n = {len(values)}"
    if statement.over == "every":
        return f"{_range(finding.interval, statement.unit)}, n = {len(values)}"
    confidence = f"{100 * statement.confidence:.0f} % interval"
    if statement.over == "interval":
        return f"{confidence} from {finding.repetitions} repetitions"
    return f"{confidence} of the mean {_possible(finding)}, n = {len(values)}"


def _possible(finding: Finding) -> str:
    """The interval of the mean; of shares, each from 0 to 100 %, without an end that no share can have."""
    low, high = finding.interval
    unit = finding.statement.unit
    below, above = low < 0, high > 1
    if unit != "%" or not (below or above) or not all(0 <= value <= 1 for value in known(finding.values)):
        return _range(finding.interval, unit)
    if below and above:
        return "as wide as 0 to 100 %"
    return f"up to {amount(high, unit)}" if below else f"from {amount(low, unit)}"


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
