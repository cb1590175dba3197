"""Whatever a parameter is given: settings that keep their rules, or one short line that names it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.experiments import base, resolve
from src.experiments.resolve import resolve_run
from src.experiments.table import CHAPTERS, EXPERIMENTS

HUGE = [
    10**400,
    -(10**400),
    10**20,
    2**63,
    1e300,
    1e-300,
    5e-324,
    -0.0,
    "9" * 5000,
    "x" * 5000,
    "(" * 5000,
    "\0",
    "\n",
]
PLAIN = st.one_of(
    st.sampled_from(HUGE),
    st.integers(),
    st.integers(min_value=2**31),
    st.integers(0, 100),
    st.floats(),
    st.text(max_size=30),
    st.booleans(),
    st.none(),
    st.binary(max_size=5),
    st.lists(st.one_of(st.integers(), st.integers(1, 100), st.floats(), st.sampled_from(HUGE)), max_size=5),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
VALUES = st.one_of(PLAIN, st.just(6000).map(lambda digits: 16**digits))  # more than Python writes out
PAGES = [chapter for chapter, page in CHAPTERS.items() if page.settings.model_fields]
KINDS = {each.settings for each in EXPERIMENTS.values()} | {CHAPTERS[chapter].settings for chapter in PAGES}
SEEDED = settings(max_examples=60, derandomize=True, deadline=None, database=None)


def some_of(names, values):
    return st.dictionaries(st.sampled_from(sorted(names)), values, min_size=1, max_size=4)


def is_a_refusal(error: ValueError, names) -> bool:
    line = str(error)
    assert type(error) is ValueError and "\n" not in line and len(line) <= 200, line
    return any(line.startswith(name) for name in names)


@pytest.fixture(autouse=True)
def memory(monkeypatch):
    monkeypatch.setattr(base, "memory_at_hand", lambda device: 8 * 2**30)


@pytest.mark.parametrize(
    "kind", sorted(KINDS, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__
)
def test_settings_of_any_value(kind):
    @SEEDED
    @given(some_of(kind.model_fields, VALUES))
    def holds(values):
        try:
            made = kind(**values)
            base.check_memory(made)
            base.check_counts(made)
        except ValueError as error:
            assert is_a_refusal(error, kind.model_fields)
        else:
            assert kind(**json.loads(json.dumps(made.model_dump()))) == made

    holds()


@pytest.mark.parametrize("chapter", PAGES)
def test_texts_of_a_command_line(chapter):
    texts = st.one_of(
        st.text(max_size=30), VALUES.map(lambda value: str(value) if value != 16**6000 else "0x" + "f" * 6000)
    )
    names = CHAPTERS[chapter].settings.model_fields

    @SEEDED
    @given(some_of(names, texts))
    def holds(values):
        try:
            made = resolve_run(chapter, [f"{name}={text}" for name, text in values.items()])
        except ValueError as error:
            assert is_a_refusal(error, names)
        else:
            assert resolve_run(chapter, made.model_dump()) == made

    holds()


TREES = st.recursive(PLAIN, lambda inner: st.dictionaries(st.text(max_size=9), inner))


@SEEDED
@given(st.one_of(st.text(max_size=60), TREES.map(repr)))
def test_a_file_of_presets_of_any_content(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resolve, "PRESETS", FakeFolder(text))
        try:
            assert isinstance(resolve.preset_sections("mine"), dict)
        except ValueError as error:
            assert str(error).startswith("mine.yaml: ") and "\n" not in str(error)


class FakeFolder:
    """A folder with one preset, on no disk."""

    def __init__(self, text):
        self.text, self.name, self.stem = text, "mine.yaml", "mine"

    def glob(self, pattern):
        return [self]

    def __truediv__(self, name):
        return self

    def is_file(self):
        return True

    def read_text(self):
        return self.text


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[1, 2]", "mine.yaml: preset = [1, 2]: a mapping, name: value, is needed"),
        ("01_datset: {seed: 1}", "mine.yaml: section = '01_datset': "),
        ("01_dataset: 7", "mine.yaml: 01_dataset = 7: a mapping, name: value, is needed"),
        ("01_dataset: {seed: yes}", "mine.yaml: seed = True: int, ≥ 0 is needed"),
        ("01_dataset: {sede: 1}", "mine.yaml: parameter = 'sede': "),
        ("01_dataset: {seed: 1", "mine.yaml: not readable as YAML: "),
        ("[" * 20000, "mine.yaml: not readable as YAML: "),
        ("01_dataset: {seed: 0x" + "f" * 6000 + "}", "mine.yaml: seed = a number of thousands of digits: at most "),
    ],
)  # fmt: skip
def test_a_wrong_preset_is_one_line_that_names_the_file(content, line, tmp_path, monkeypatch):
    monkeypatch.setattr(resolve, "PRESETS", tmp_path)
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(ValueError) as caught:
        resolve_run("01_dataset", preset="mine")
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)
    (tmp_path / "mine.yaml").write_text("01_dataset: {seed: 1}")
    with pytest.raises(ValueError, match=r"^block = 3"):  # of what was said beside the preset
        resolve_run("01_dataset", ["block=3"], preset="mine")


@pytest.mark.parametrize(
    ("chapter", "text", "line"),
    [
        ("01_dataset", "num_samples=3", "num_samples = 3: int, ≥ 4 is needed; the nearest: 4"),
        ("01_dataset", f"seed={2**63}", f"seed = {2**63}: at most {2**63 - 1} is needed"),
        ("04_transfer", f"steps={10**20}", f"steps = {10**20}: at most 1000000000 is needed"),
        ("02_theory", "lr_value=1e300", "lr_value = 1e+300: at most 1e+30 in size is needed"),
        ("05_cifar", "learning_rate=1e300", "learning_rate = 1e+300: float, > 0, ≤ 100 is needed"),
        ("05_cifar", "mixup=1e-300", "mixup = 1e-300: 0 or at least 0.001 is needed; the nearest: 0.001"),
        ("05_cifar", "dataset=", "dataset = '': str"),
        ("05_cifar", "dataset=" + "a" * 5000, "dataset = 'aaa"),
        ("03_synthetic_training", "sample_sizes=" + "1," * 5000 + "1", "sample_sizes = [1, 1"),
    ],
)  # fmt: skip
def test_values_that_were_let_in(chapter, text, line):
    with pytest.raises(ValueError) as caught:
        resolve_run(chapter, [text])
    assert str(caught.value).startswith(line) and len(str(caught.value)) <= 200
