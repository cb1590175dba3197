"""Refusals: one line that names the argument, the value, what is needed and the nearest valid choice."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from textwrap import shorten
from types import MappingProxyType

SEARCHED = 50_000  # how far from a value its nearest divisor is looked for
_OTHER_NAMES: ContextVar[Mapping[str, str]] = ContextVar("other names", default=MappingProxyType({}))


@contextmanager
def arguments_called(**names: str) -> Iterator[None]:
    """Refusals inside it call arguments by the caller's own words: `with arguments_called(limit="train_limit")`."""
    token = _OTHER_NAMES.set(names)
    try:
        yield
    finally:
        _OTHER_NAMES.reset(token)


def called(argument: str) -> str:
    """What `arguments_called` calls it; outside of that its own name."""
    return _OTHER_NAMES.get().get(argument, argument)


def refusal(name: str, value: object, needed: str, nearest: object = None) -> str:
    """`name = value: needed is needed; the nearest: …`, at most 200 signs whatever the value is."""
    end = "" if nearest is None else f"; the nearest: {shown(nearest, 24, quoted=False)}"
    return f"{called(name)} = {shown(value)}: {shorten(needed, 85, placeholder=' …')} is needed{end}"


def shown(value: object, most: int = 40, *, quoted: bool = True) -> str:
    """The value as Python writes it, cut after `most` signs; a text without its quotes where they are not wanted."""
    try:
        text = repr(value) if quoted or not isinstance(value, str) else value
    except ValueError:  # Python writes out no number of more than 4,300 digits
        text = "a number of thousands of digits"
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]}…"


def one_of(what: str, given: str, allowed: Iterable[str], otherwise: str = "") -> str:
    """`given`, if it is allowed. ValueError names it, what is needed (`otherwise` adds to that) and the nearest."""
    allowed = list(allowed)
    if given in allowed:
        return given
    listed = shorten(", ".join(allowed) or "nothing", 85 - len(otherwise), placeholder=" …")
    raise ValueError(refusal(what, given, f"{listed}{otherwise}", closest(given, allowed)))


def closest(given: object, allowed: Iterable[str]) -> str | None:
    """The allowed word most like the given one; None where none is allowed."""
    return next(iter(get_close_matches(shown(given, 100, quoted=False), allowed, n=1, cutoff=0)), None)


def check_positive(**arguments: int) -> None:
    """ValueError names the first that is below 1."""
    for name, value in arguments.items():
        if value < 1:
            raise ValueError(refusal(name, value, "an integer >= 1", 1))


def check_multiple(name: str, value: int, of: str, unit: int) -> None:
    """ValueError unless `unit`, which is called `of`, divides the value."""
    if value % unit:
        raise ValueError(
            refusal(name, value, f"a multiple of {of} = {unit}", max(1, round(value / unit)) * unit)
        )


def check_share(**arguments: float) -> None:
    """ValueError names the first that is not in [0, 1]."""
    for name, value in arguments.items():
        if not 0 <= value <= 1:
            raise ValueError(refusal(name, value, "a share from 0 to 1", min(max(value, 0), 1)))


def nearest_divisor(number: int, wanted: int, *, least: int = 1) -> int:
    """The divisor of `number`, at least `least`, closest to `wanted`; 1 or `number` where there is none nearby."""
    wanted = min(max(wanted, least), number)
    for distance in range(min(SEARCHED, number)):
        for candidate in (wanted - distance, wanted + distance):
            if least <= candidate <= number and number % candidate == 0:
                return candidate
    ends = (1, number) if least == 1 else (number,)
    return min(ends, key=lambda divisor: abs(divisor - wanted))
