"""What an experiment gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Measured:
    """What a run measured, and what it tells of itself.

    metrics : name -> one value for each repetition; None, or what is not finite, where there is no value: a correlation
        with a constant, a size never reached.
    arrays : name -> array, tensor or list; what is drawn.
    notes : `precision` of the arithmetic, `resumed_seconds` of the runs that this one went on from, `classes` of the
        data set, …; the first two become part of the record's own fields.
    """

    metrics: dict[str, list[float | None]]
    arrays: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


def columns(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Rows with the same names, turned: name -> the values of all rows."""
    return {name: [row[name] for row in rows] for name in rows[0]}
