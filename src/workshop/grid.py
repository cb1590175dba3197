"""The points of a sweep: which settings a chapter runs at, each of them checked before the first one runs."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import get_origin

from src.common.choices import one_of, shown
from src.experiments.base import MOST_COUNT, Parameters
from src.experiments.resolve import LAPTOP, parse_value, resolve_run
from src.experiments.settings import FOLDERS
from src.experiments.table import CHAPTERS
from src.workshop.names import folder_name, folder_part

MOST_POINTS = 10_000


@dataclass(frozen=True)
class Point:
    """One execution of a sweep: the name of its folder, the chapter and its settings."""

    name: str
    chapter: str
    settings: Parameters


def grid_points(
    chapter: str, grid: Iterable[str], overrides: Sequence[str] = (), *, preset: str = LAPTOP
) -> list[Point]:
    """The points of a grid, each of them checked; the last parameter changes fastest.

    Parameters
    ----------
    grid : texts `name=START:STOP` (integers, STOP excluded) or `name=a,b,c`; `name=a;b;c` for a list parameter.
    overrides : texts `name=value` that hold for every point.

    Raises
    ------
    ValueError : a text of the grid that is none of these, and whatever `resolve_run` refuses in any point.
    """
    kind, axes = CHAPTERS[chapter].settings, {}
    fixed = {text.partition("=")[0] for text in overrides}
    for text in grid:
        name, texts = _axis(text, kind)
        if name in fixed or name in axes:
            fault = f"{name} is set twice; one -g or one -p for each parameter is needed"
            raise ValueError(f"{_option(text)}: {fault}")
        axes[name] = texts
    if not axes:
        raise ValueError("-g is missing: at least one NAME=START:STOP or NAME=a,b,c is needed")
    size = math.prod(map(len, axes.values()))
    if size > MOST_POINTS:
        raise ValueError(f"-g: a grid of {size} points; at most {MOST_POINTS} is needed")
    points: dict[str, Point] = {}
    for texts in product(*axes.values()):
        chosen = [f"{name}={text}" for name, text in zip(axes, texts, strict=True)]
        first, *others = chosen
        name = folder_name(folder_part(first), others)
        if name in points:
            raise ValueError(f"-g: two points would share the folder {name}; values that name two are needed")
        settings = resolve_run(chapter, [*overrides, *chosen], preset=preset)
        points[name] = Point(name, chapter, _own_folders(settings, name))
    return list(points.values())


def _own_folders(settings: Parameters, name: str) -> Parameters:
    """Folders as paths that hold wherever the point runs; a checkpoint folder for each point, useless to another."""
    given = {key: getattr(settings, key, "") for key in FOLDERS}
    absolute = {key: str(Path(folder).absolute()) for key, folder in given.items() if folder}
    if "checkpoint_folder" in absolute:
        absolute["checkpoint_folder"] += f"/{name}"
    return settings.changed(**absolute) if absolute else settings


def _axis(text: str, kind: type[Parameters]) -> tuple[str, list[str]]:
    """A parameter's name and the texts of its values, from one -g."""
    name, equals, values = text.partition("=")
    if not equals:
        raise ValueError(f"{_option(text)}: NAME=START:STOP or NAME=a,b,c is needed")
    annotation = kind.model_fields[one_of("parameter", name, kind.model_fields)].annotation
    if annotation is int and ":" in values:
        return name, _range(text, values)
    is_list = get_origin(annotation) is list
    texts = [each.strip() for each in values.split(";" if is_list else ",")]
    seen = set()
    for each in texts:
        if (value := repr(parse_value(each, annotation))) in seen:
            fault = f"{shown(each, quoted=False)} is there twice; each value once is needed"
            raise ValueError(f"{_option(text)}: {fault}")
        seen.add(value)
    return name, texts


def _option(text: str) -> str:
    return f"-g {shown(text, 60, quoted=False)}"


def _range(text: str, values: str) -> list[str]:
    try:
        start, stop = (int(side) for side in values.split(":"))
        if max(map(abs, (start, stop))) > MOST_COUNT:
            raise ValueError(text)
    except ValueError:
        raise ValueError(f"{_option(text)}: START:STOP in integers is needed, such as 0:10") from None
    if not start < stop <= start + MOST_POINTS:
        nearest = f"{start}:{min(max(stop, start + 1), start + MOST_POINTS)}"
        needed = f"START:STOP of 1 to {MOST_POINTS} values, STOP excluded,"
        raise ValueError(f"{_option(text)}: {needed} is needed; the nearest: {nearest}")
    return [str(value) for value in range(start, stop)]
