import pytest

from src import parameters
from src.workshop.parameters import parse_cell, read_parameters, resolve

CELL = """seed = 0  # int, ≥ 0: the seed
rate = 0.5  # float, in [0, 1]: a share
num_patches = 32  # int, ≥ 2: D
set_size = 4  # int, ≥ 1, divides num_patches: C
degree = 3  # int, ≥ 3, odd: p
flag = False  # bool: yes or no
device = "auto"  # auto | cpu | cuda: where
sizes = [1, 10]  # list of int, ≥ 1: N
"""


@pytest.fixture
def cell():
    return parse_cell(CELL)


def test_a_cell_is_read_with_rule_and_meaning(cell):
    assert cell["set_size"].rule == "int, ≥ 1, divides num_patches"
    assert cell["rate"].rule == "float, in [0, 1]"
    assert cell["sizes"].default == [1, 10] and cell["device"].meaning == "where"


@pytest.mark.parametrize(
    "line", ["seed = 0", "x = 1  # int", "seed = 1 + 1  # int: derived", "print(1)  # int: no"]
)
def test_a_cell_holds_only_literals_with_a_rule(line):
    with pytest.raises(ValueError):
        parse_cell(line)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seed", "7", 7),
        ("rate", "1", 1.0),
        ("flag", "true", True),
        ("flag", "False", False),
        ("sizes", "5,7", [5, 7]),
        ("sizes", "[3]", [3]),
        ("device", "cpu", "cpu"),
    ],
)
def test_texts_become_values_of_the_right_type(cell, name, text, value):
    checked = cell[name].check(cell[name].parse(text), {"num_patches": 32})
    assert checked == value and type(checked) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("seed", "abc", "seed = 'abc': int, ≥ 0 is needed"),
        ("seed", "1.5", "seed = 1.5: int, ≥ 0 is needed"),
        ("seed", "-1", "seed = -1: int, ≥ 0 is needed; the nearest: 0"),
        ("seed", "True", "seed = True: int, ≥ 0 is needed"),
        ("rate", "1.2", r"rate = 1.2: float, in \[0, 1\] is needed; the nearest: 1.0"),
        ("rate", "nan", "rate = 'nan': float"),
        ("rate", "1e999", "rate = inf: float"),
        ("set_size", "5", "set_size = 5: int, ≥ 1, divides num_patches is needed; the nearest: 4"),
        ("degree", "4", "degree = 4: int, ≥ 3, odd is needed; the nearest: 5"),
        ("flag", "flase", "flag = 'flase': bool is needed; the nearest: false"),
        ("device", "gpu", r"device = 'gpu': auto \| cpu \| cuda is needed; the nearest: cpu"),
        ("sizes", "0", r"sizes = \[0\]: list of int, ≥ 1 is needed; the nearest: 1"),
        ("sizes", "[]", r"sizes = \[\]: list of int"),
    ],
)
def test_wrong_values_are_one_clear_line(cell, name, text, message):
    with pytest.raises(ValueError, match=message):
        cell[name].check(cell[name].parse(text), {"num_patches": 32})


def test_overrides_beat_presets_and_presets_beat_defaults(monkeypatch, tmp_path):
    monkeypatch.setattr(parameters, "PRESETS", tmp_path)
    (tmp_path / "big.yaml").write_text(
        "03_synthetic_training: {num_samples: 9, seed: 5}\nrealistic: {seed: 6}\n"
    )
    chapter = "03_synthetic_training"
    small = {"sample_sizes": [2]}
    assert resolve(chapter)["num_samples"] == read_parameters(chapter)["num_samples"].default
    assert resolve(chapter, small, preset="big")["seed"] == 5
    assert resolve(chapter, small, preset="big", claim="realistic")["seed"] == 6
    assert resolve(chapter, {**small, "seed": 7}, preset="big")["num_samples"] == 9
    assert resolve(chapter, ["seed=7", "sample_sizes=2"], preset="big")["seed"] == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["sead=3"],), "parameter = 'sead': .* is needed; the nearest: seed"),
        ((["seed"],), "-p seed: name=value is needed"),
        (({"set_size": 5},), "set_size = 5: int, ≥ 2, divides num_patches is needed; the nearest: 4"),
    ],
)
def test_wrong_overrides_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        resolve("03_synthetic_training", *arguments)


def test_unknown_chapters_and_presets_get_the_nearest():
    with pytest.raises(ValueError, match="the nearest: 03_synthetic_training"):
        resolve("03_synthetic")
    with pytest.raises(ValueError, match=r"preset = 'papre': .*; the nearest: paper"):
        resolve("03_synthetic_training", preset="papre")


def test_a_running_chapter_refuses_an_injected_name_it_does_not_know():
    defaults = {name: parameter.default for name, parameter in read_parameters("01_dataset").items()}
    assert parameters.check_cell("01_dataset", {**defaults, "In": [], "_": 3})["seed"] == 0
    with pytest.raises(ValueError, match=r"parameter = 'sed': .*; the nearest: seed"):
        parameters.check_cell("01_dataset", {**defaults, "sed": 3})


@pytest.mark.parametrize("preset", parameters.presets())
@pytest.mark.parametrize("chapter", parameters.chapters())
def test_every_preset_is_valid_for_every_chapter_and_claim(chapter, preset):
    from src.evidence.claims import CLAIMS

    for claim in [None, *(key for key, claim in CLAIMS.items() if claim.chapter == chapter)]:
        assert resolve(chapter, preset=preset, claim=claim).keys() == read_parameters(chapter).keys()


def test_every_section_of_a_preset_names_a_chapter_or_a_claim():
    import yaml

    from src.evidence.claims import CLAIMS

    for file in parameters.PRESETS.glob("*.yaml"):
        assert set(yaml.safe_load(file.read_text())) <= {*parameters.chapters(), *CLAIMS}


def test_scale_is_the_papers_only_where_the_parameters_are(monkeypatch, tmp_path):
    monkeypatch.setattr(parameters, "PRESETS", tmp_path)
    (tmp_path / "paper.yaml").write_text("05_cifar: {epochs: 300}\n")
    values = resolve("05_cifar", preset="paper")
    assert parameters.scale_of("05_cifar", {**values, "seed": 4}) == "paper"
    assert parameters.scale_of("05_cifar", {**values, "epochs": 299}) == "laptop"
    assert parameters.scale_of("01_dataset", {"seed": 0}) == "laptop"
