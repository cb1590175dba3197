"""What an experiment gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Measured:
    """metrics : name -> one value for each repetition. arrays : name -> array, tensor or list; what is drawn."""

    metrics: dict[str, list[float]]
    arrays: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, float]], arrays: Mapping[str, Any] | None = None) -> "Measured":
        """From one row of metrics for each repetition."""
        return cls(columns(rows), dict(arrays or {}))


def columns(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Rows with the same names, turned: name -> the values of all rows."""
    return {name: [row[name] for row in rows] for name in rows[0]}
