"""Parameters of a chapter: read from its parameters cell, changed by presets and by the command line, and checked.

The cell is the one place where a parameter is defined: a literal, and a comment with its rule and meaning,

    set_size = 4  # int, ≥ 2, divides num_patches: patches in a set, C

A rule is a type (int, float, bool, str, `list of int`, …, or words to choose from: `digits | cifar10`), then any of
`≥ x`, `> x`, `≤ x`, `< x`, `in [a, b]`, `odd`, `divides other`, where x may be another parameter's name.
(papermill cannot read a comment that holds an equals sign.)
"""

import ast
import io
import json
import re
import tokenize
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from src.choices import nearest, one_of
from src.sources import ROOT

BOOK = ROOT / "book"
PRESETS = BOOK / "presets"
LAPTOP = "laptop"
# What may differ between two runs of the same scale: the draw, the number of draws, and where and how it is computed.
SCALE_FREE = {"seed", "num_seeds", "device", "data_folder", "download"}
SCALE_FREE |= {"checkpoint_folder", "plain_steps", "precision"}
FOLDERS = {
    "data_folder",
    "checkpoint_folder",
}  # a record keeps their last part alone, which says nothing of a machine


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell."""

    name: str
    default: object
    kind: str
    limits: tuple[str, ...]
    meaning: str

    @property
    def rule(self) -> str:
        """The rule as the cell writes it."""
        return ", ".join([self.kind, *self.limits])

    def parse(self, text: str) -> object:
        """The value that a command line's `name=text` means."""
        if self.kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if self.kind in ("bool", "str") or "|" in self.kind:
            return text
        try:
            return ast.literal_eval(
                text if not self.kind.startswith("list") or text[:1] == "[" else f"[{text}]"
            )
        except (ValueError, SyntaxError):
            return text

    def check(self, value: object, others: Mapping[str, object]) -> object:
        """The value, an int widened to float where floats are asked for. ValueError where the rule is broken."""
        items = value if self.kind.startswith("list of ") else [value]
        kind = self.kind.removeprefix("list of ")
        if not isinstance(items, list | tuple) or not items or not all(_is(kind, item) for item in items):
            raise ValueError(f"{self.name} = {value!r}: {self.rule} is needed{_nearest_word(kind, value)}")
        for item in items:
            for limit in self.limits:
                allowed = _broken(limit, item, others)
                if allowed is not None:
                    raise ValueError(
                        f"{self.name} = {value!r}: {self.rule} is needed; the nearest: {allowed}"
                    )
        items = [float(item) if kind == "float" else item for item in items]
        return items if self.kind.startswith("list of ") else items[0]


def _is(kind: str, value: object) -> bool:
    if "|" in kind:
        return isinstance(value, str) and value in _words(kind)
    if kind == "float":
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"bool": bool, "str": str}[kind])


def _words(kind: str) -> list[str]:
    return [word.strip() for word in kind.split("|")]


def _nearest_word(kind: str, value: object) -> str:
    words = {"bool": ["true", "false"]}.get(kind, _words(kind) if "|" in kind else [])
    return nearest(str(value).lower(), words)


def _broken(limit: str, value: object, others: Mapping[str, object]) -> object | None:
    """None where `value` keeps the limit, else the nearest value that does."""
    word, _, rest = limit.partition(" ")
    if word == "odd":
        return None if value % 2 else value + 1
    if word == "in":
        low, high = (float(side) for side in rest.strip("[]").split(","))
        return None if low <= value <= high else min(max(value, low), high)
    bound = others[rest] if rest in others else ast.literal_eval(rest)
    if word == "divides":
        divisors = [d for d in range(1, bound + 1) if bound % d == 0]
        return None if value in divisors else min(divisors, key=lambda d: abs(d - value))
    compare, nearest = _COMPARISONS[word]
    return None if compare(value, bound) else nearest(bound)


_COMPARISONS: dict[str, tuple[Callable, Callable]] = {
    "≥": (lambda value, bound: value >= bound, lambda bound: bound),
    "≤": (lambda value, bound: value <= bound, lambda bound: bound),
    ">": (lambda value, bound: value > bound, lambda bound: f"above {bound}"),
    "<": (lambda value, bound: value < bound, lambda bound: f"below {bound}"),
}


def chapters() -> list[str]:
    """Names of the numbered chapters and the claims page, in the order of the book."""
    return sorted(file.stem for file in BOOK.glob("*.ipynb"))


def notebook(chapter: str) -> Path:
    """The chapter's file. ValueError suggests the nearest name."""
    return BOOK / f"{one_of('chapter', chapter.removesuffix('.ipynb'), chapters())}.ipynb"


def read_parameters(chapter: str) -> dict[str, Parameter]:
    """The chapter's parameters, from its cell tagged `parameters`; empty where it has none."""
    cells = json.loads(notebook(chapter).read_text())["cells"]
    tagged = ["".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    return parse_cell(tagged[0]) if tagged else {}


def parse_cell(code: str) -> dict[str, Parameter]:
    """Parameters of a cell's code. ValueError for anything but `name = literal  # rule: meaning`."""
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(code).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for statement in ast.parse(code).body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            raise ValueError(
                f"parameters cell, line {statement.lineno}: only `name = literal  # rule: meaning`"
            )
        name, rule = statement.targets[0].id, comments.get(statement.end_lineno, "")
        rule, colon, meaning = rule.partition(": ")
        if not colon:
            raise ValueError(f"parameters cell: {name} lacks a comment `# rule: meaning`")
        kind, *limits = re.split(r", (?![^\[]*\])", rule)
        found[name] = Parameter(name, ast.literal_eval(statement.value), kind, tuple(limits), meaning)
    return found


def presets() -> list[str]:
    """Names of the presets: the defaults, and the files of book/presets."""
    return [LAPTOP, *sorted(file.stem for file in PRESETS.glob("*.yaml") if file.stem != LAPTOP)]


def preset_values(preset: str, chapter: str, claim: str | None = None) -> dict[str, object]:
    """What a preset changes for a chapter, and then for one claim of it."""
    sections = preset_sections(preset)
    return {**(sections.get(chapter) or {}), **(sections.get(claim) or {})}


def preset_sections(preset: str) -> dict[str, dict[str, object]]:
    """All that a preset changes: chapter or claim -> values."""
    import yaml

    file = PRESETS / f"{one_of('preset', preset, presets())}.yaml"
    return (yaml.safe_load(file.read_text()) or {}) if file.is_file() else {}


def resolve(
    chapter: str,
    overrides: Mapping[str, object] | Iterable[str] = (),
    *,
    preset: str = LAPTOP,
    claim: str | None = None,
) -> dict[str, object]:
    """All parameters of a run: the cell's defaults, changed by the preset, changed by the overrides; checked.

    Parameters
    ----------
    overrides : values by name, or texts `name=value` as a command line gives them.

    Raises
    ------
    ValueError : unknown chapter, preset or name, a wrong type, a value out of range.
    """
    parameters = read_parameters(chapter)
    values = {name: parameter.default for name, parameter in parameters.items()}
    for name, value in preset_values(preset, chapter, claim).items():
        values[one_of("parameter", name, parameters)] = value
    if not isinstance(overrides, Mapping):
        overrides = dict(_parse_override(text, parameters) for text in overrides)
    for name, value in overrides.items():
        values[one_of("parameter", name, parameters)] = value
    return {name: parameter.check(values[name], values) for name, parameter in parameters.items()}


def check_cell(chapter: str, namespace: Mapping[str, object]) -> dict[str, object]:
    """Checked parameters from a running chapter's globals; a plain value of another name was injected by mistake."""
    parameters = read_parameters(chapter)
    plain = (bool, int, float, str, list, dict, tuple, type(None))
    for name, value in namespace.items():
        if isinstance(value, plain) and not name.startswith("_") and name not in ("In", "Out"):
            one_of("parameter", name, parameters)
    return resolve(chapter, {name: namespace[name] for name in parameters})


def _parse_override(text: str, parameters: Mapping[str, Parameter]) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"-p {text}: name=value is needed")
    return name, parameters[one_of("parameter", name, parameters)].parse(value)


def scale_of(chapter: str, values: Mapping[str, object], claim: str | None = None) -> str:
    """ "paper" where the values are the paper preset's in all that matters to the claim, else "laptop"."""
    if "paper" not in presets() or not preset_values("paper", chapter, claim):
        return LAPTOP
    paper = resolve(chapter, preset="paper", claim=claim)
    same = all(values[name] == paper[name] for name in values.keys() & paper.keys() - SCALE_FREE)
    return "paper" if same else LAPTOP
