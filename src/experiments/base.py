"""What all settings share: names, types and ranges are checked, a refusal is one line, sizes fit the memory."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from src.common.choices import closest, one_of, refusal, shown
from src.common.memory import in_gib, memory_at_hand

# What no parameter exceeds, whatever its own range: beyond lie years, overflow, and errors far from their cause.
MOST_COUNT, MOST_SEED, MOST_FLOAT = 10**9, 2**63 - 1, 1e30
MOST_ITEMS, MOST_SIGNS = 1000, 1000  # of a list, of a text

SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
NEAREST = {"greater_than_equal": "{ge}", "less_than_equal": "{le}"}
NEAREST |= {"greater_than": "above {gt}", "less_than": "below {lt}"}


class Parameters(BaseModel):
    """Parameters of a page: fields with type, range, default and meaning. ValueError refuses what breaks them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, **values: object) -> None:
        for name in values:
            one_of("parameter", name, type(self).model_fields)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ValueError(_refusal(type(self), values, error.errors()[0])) from None

    @model_validator(mode="after")
    def within_reason(self):
        for name in type(self).model_fields:
            _need_reason(name, getattr(self, name))
        return self

    def changed(self, **values: object) -> "Parameters":
        """The same settings but for these, checked anew; what was left at its default follows them."""
        return type(self)(**{**self.model_dump(exclude_unset=True), **values})

    def narrowed(self, kind: "type[Parameters]") -> "Parameters":
        """The settings of one experiment out of a chapter's."""
        return kind(**{name: getattr(self, name) for name in kind.model_fields})

    def memory_bytes(self) -> int:
        """About how many bytes a run needs at least, from its largest arrays."""
        return 0


class Settings(Parameters):
    """What every experiment has."""

    seed: int = Field(0, ge=0, description="every random draw derives from it by name")
    num_seeds: int = Field(1, ge=1, description="independent repetitions")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where to compute")


def need(true: object, name: str, value: object, needed: str, nearest: object = None) -> None:
    """Raise the refusal of a parameter unless a condition holds that ties it to others."""
    if not true:
        raise ValueError(refusal(name, value, needed, nearest))


def _need_reason(name: str, value: object) -> None:
    """Refuse what is too much for any parameter."""
    if isinstance(value, str):
        plain = len(value) <= MOST_SIGNS and value.isprintable()
        need(plain, name, value, f"a text of at most {MOST_SIGNS} printable signs")
        return
    numbers = value if isinstance(value, list) else [value]
    need(len(numbers) <= MOST_ITEMS, name, value, f"a list of at most {MOST_ITEMS} values")
    for number in numbers:
        within = not isinstance(number, float) or abs(number) <= MOST_FLOAT
        need(within, name, value, f"at most {MOST_FLOAT:g} in size", MOST_FLOAT)


def rule(field: FieldInfo) -> str:
    """Type and range of a field, as refusals and the list of parameters write them."""
    kind, metadata, start = field.annotation, field.metadata, ""
    if get_origin(kind) is list:
        kind, metadata, start = get_args(kind)[0], [], "list of "
        if get_origin(kind) is Annotated:
            kind, *metadata = get_args(kind)
    words = " | ".join(get_args(kind)) if get_origin(kind) is Literal else kind.__name__
    limits = (
        f"{sign} {getattr(each, key):g}"
        for each in metadata
        for key, sign in SIGNS.items()
        if hasattr(each, key)
    )
    return ", ".join([start + words, *limits])


def _refusal(kind: type[Parameters], values: Mapping[str, object], problem: Mapping[str, Any]) -> str:
    """The line for pydantic's account of the first thing that is wrong."""
    context = problem.get("ctx", {})
    if "error" in context:  # raised by `need`
        return str(context["error"])
    name = problem["loc"][0]
    field, value = kind.model_fields[name], values[name]
    nearest = NEAREST.get(problem["type"], "").format(**context) or None
    if problem["type"] == "literal_error":
        nearest = closest(value, get_args(field.annotation))
    if problem["type"] == "bool_type":
        nearest = closest(shown(value).lower(), ["true", "false"])
    return refusal(name, value, rule(field), nearest)


def check_memory(settings: Parameters) -> None:
    """Raise ValueError where a run cannot fit the memory: the size most to blame, the GiB, the nearest that fits."""
    needed, room = settings.memory_bytes(), memory_at_hand(getattr(settings, "device", "cpu"))
    if needed <= room:
        return
    defaults = {
        name: field.get_default(call_default_factory=True, validated_data=dict(settings))
        for name, field in type(settings).model_fields.items()
    }
    sizes = {
        name: settings.model_copy(update={name: default}).memory_bytes()
        for name, default in defaults.items()
        if not isinstance(default, bool | float | str)
    }
    name = min(sizes, key=sizes.get)
    value = getattr(settings, name)
    text = f"a size for the {in_gib(room)} GiB of memory at hand, not for {in_gib(needed)} GiB,"
    raise ValueError(refusal(name, value, text, _nearest_fit(settings, name, value, room)))


def check_counts(settings: Parameters) -> None:
    """Raise ValueError for a count that no machine comes to the end of, though its memory may do."""
    for name in type(settings).model_fields:
        value, most = getattr(settings, name), MOST_SEED if name == "seed" else MOST_COUNT
        for number in value if isinstance(value, list) else [value]:
            need(not isinstance(number, int) or number <= most, name, value, f"at most {most}", most)


def _nearest_fit(settings: Parameters, name: str, value: object, room: int) -> int | None:
    """The largest value of one size that fits, all others as they are; None where none does, or for a list."""
    if not isinstance(value, int):
        return None
    low, high = 0, min(value, 2 * MOST_COUNT)
    while high - low > 1:
        middle = (low + high) // 2
        fits = settings.model_copy(update={name: middle}).memory_bytes() <= room
        low, high = (middle, high) if fits else (low, middle)
    for candidate in range(low, max(0, low - 1000), -1):
        try:
            settings.changed(**{name: candidate})
        except ValueError:
            continue
        return candidate
    return None
