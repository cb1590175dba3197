"""From a chapter's name, a preset and texts `name=value` to checked settings; and the scale that settings have."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Literal, get_origin

from src.common.choices import one_of, refusal, shown
from src.common.sources import ROOT
from src.experiments.base import Parameters, check_counts, check_memory
from src.experiments.settings import REPETITION
from src.experiments.table import CHAPTERS, EXPERIMENTS

PRESETS = ROOT / "book" / "presets"
LAPTOP = "laptop"
SCALES = (LAPTOP, "short", "paper")
# What is no matter of scale: repetitions, and variants, of which a claim says by itself which count.
FREE = {scale: REPETITION | {"eval_split", "add_encoding", "permute"} for scale in SCALES}
FREE["short"] |= {"epochs", "warmup_epochs", "learning_rate"}


def chapter_of(name: str) -> str:
    """The chapter of that name, or of that notebook's. ValueError suggests the nearest."""
    return one_of("chapter", name.removesuffix(".ipynb"), CHAPTERS)


def presets() -> list[str]:
    """Names of the presets: the defaults, and the files of book/presets."""
    return [LAPTOP, *sorted(file.stem for file in PRESETS.glob("*.yaml") if file.stem != LAPTOP)]


def preset_sections(preset: str) -> dict[str, dict[str, object]]:
    """All that a preset changes: chapter or claim -> values. ValueError names a file that is no preset."""
    import yaml

    file = PRESETS / f"{one_of('preset', preset, presets())}.yaml"
    try:
        sections = (yaml.safe_load(file.read_text()) or {}) if file.is_file() else {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{file.name}: not readable as YAML: {shown(str(error), 120, quoted=False)}"
        ) from None
    for name in _mapping(file.name, "preset", sections):
        try:
            one_of("section", str(name), [*CHAPTERS, *EXPERIMENTS])
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from None
    return {name: _mapping(file.name, name, values or {}) for name, values in sections.items()}


def _mapping(file: str, name: str, values: object) -> dict:
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ValueError(f"{file}: {refusal(name, values, 'a mapping, name: value,')}")
    return values


def preset_values(preset: str, chapter: str, claim: str | None = None) -> dict[str, object]:
    """What a preset changes for a chapter, and then for one claim of it; a name that both have is the claim's."""
    sections = preset_sections(preset)
    own = {} if chapter in EXPERIMENTS else sections.get(chapter, {})
    return own | sections.get(claim, {})


def resolve(
    chapter: str,
    overrides: Mapping[str, object] | Iterable[str] = (),
    *,
    preset: str = LAPTOP,
    claim: str | None = None,
    checks: Iterable[Callable[[Parameters], None]] = (),
) -> Parameters:
    """A chapter's settings: its defaults, overridden by the preset, overridden by values or texts `name=value`.

    Raises
    ------
    ValueError : unknown chapter, preset or name, a wrong type, a value out of range, or one that a check refuses; where
        the preset says it, its file is named.
    """
    page = CHAPTERS[chapter_of(chapter)]
    if not isinstance(overrides, Mapping):
        overrides = dict(parse(text, page.settings) for text in overrides)
    chosen = preset_values(preset, chapter, claim)
    try:
        settings = page.settings(**{**page.defaults, **chosen, **overrides})
        for check in checks:
            check(settings)
        return settings
    except ValueError as error:
        name = str(error).removeprefix("parameter = ").partition(" ")[0].strip("':")
        if name in chosen.keys() - overrides.keys():
            raise ValueError(f"{preset}.yaml: {error}") from None
        raise


def resolve_run(
    chapter: str,
    overrides: Mapping[str, object] | Iterable[str] = (),
    *,
    preset: str = LAPTOP,
    claim: str | None = None,
) -> Parameters:
    """`resolve`, for a run that is to begin: ValueError, too, where it would not fit the memory, or never end."""
    return resolve(chapter, overrides, preset=preset, claim=claim, checks=(check_memory, check_counts))


def parse(text: str, kind: type[Parameters], option: str = "-p") -> tuple[str, object]:
    """Name and value that a command line's `name=text` means; a text that is no value stays one, to be refused."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{option} {text[:60]}: name=value is needed")
    return name, parse_value(
        value, kind.model_fields[one_of("parameter", name, kind.model_fields)].annotation
    )


def parse_value(text: str, kind: object) -> object:
    """A command line's text as a value of a field of that type."""
    if kind is str or get_origin(kind) is Literal:
        return text
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if get_origin(kind) is list:
        inside = text.strip().removeprefix("[").removesuffix("]")
        return [_number(each) for each in inside.split(",")] if inside.strip() else []
    return _number(text)


def as_text(value: object) -> str:
    """The value as a command line's text, which `parse_value` reads back."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _number(text: str) -> object:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text.strip()


def scale_of(claim: str, settings: Parameters) -> str:
    """The scale whose preset has the same values in all that matters to the claim; "laptop" where none has."""
    chapter = EXPERIMENTS[claim].chapter
    for scale in ("paper", "short"):
        if preset_values(scale, chapter, claim):
            wanted = resolve(chapter, preset=scale, claim=claim)
            names = EXPERIMENTS[claim].settings.model_fields.keys() - FREE[scale]
            if all(getattr(settings, name) == getattr(wanted, name) for name in names):
                return scale
    return LAPTOP
