"""A word out of a few: refused, where it is none of them, with the nearest."""

from collections.abc import Iterable
from difflib import get_close_matches


def one_of(what: str, given: str, allowed: Iterable[str], otherwise: str = "") -> str:
    """`given`, if it is allowed. ValueError names it, what is needed (`otherwise` adds to that) and the nearest."""
    allowed = list(allowed)
    if given in allowed:
        return given
    listed = ", ".join(allowed[:20]) + (" …" if len(allowed) > 20 else "")
    raise ValueError(
        f"{what} = {given!r}: {listed or 'nothing'}{otherwise} is needed{nearest(given, allowed)}"
    )


def nearest(given: object, allowed: Iterable[str]) -> str:
    """The end of a refusal: `; the nearest: word`, or nothing where nothing is allowed."""
    found = get_close_matches(str(given), allowed, n=1, cutoff=0)
    return f"; the nearest: {found[0]}" if found else ""
