"""Settings: defaults, ranges, ties, and what a refusal says, for any value."""

from math import isfinite

import pytest
from pydantic import ValidationError

from src.experiments import base, resolve
from src.experiments.base import check_memory, rule
from src.experiments.resolve import parse, presets, resolve_run, scale_of
from src.experiments.settings import ImagesSettings, StructureSettings, TrainingSettings
from src.experiments.table import CHAPTERS, EXPERIMENTS

TRAINING = "03_synthetic_training"


def refusal(call, *arguments, **options) -> str:
    """The one line with which a call refuses, at most 200 signs."""
    with pytest.raises(ValueError) as caught:
        call(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text and len(text) <= 200 and not isinstance(caught.value, ValidationError)
    return text


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_parameter_has_a_meaning_and_a_rule_that_its_default_keeps(chapter):
    settings = resolve.resolve(chapter)
    for name, field in type(settings).model_fields.items():
        assert field.description and rule(field), name
    assert type(settings)(**settings.model_dump()) == settings


def test_a_rule_is_type_and_range():
    fields = TrainingSettings.model_fields
    rules = {name: rule(fields[name]) for name in ("seed", "distractor_prob", "sample_sizes", "device")}
    assert rules == {
        "seed": "int, ≥ 0",
        "distractor_prob": "float, ≥ 0, ≤ 1",
        "sample_sizes": "list of int, ≥ 1",
        "device": "auto | cpu | cuda",
    }


def test_settings_cannot_be_changed_but_anew():
    settings = StructureSettings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.seed = 1
    assert settings.changed(seed=1).seed == 1 and settings.seed == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("seed=7", 7),
        ("distractor_prob=1", 1.0),
        ("sample_sizes=5,7", [5, 7]),
        ("sample_sizes=[3]", [3]),
        ("device=cpu", "cpu"),
    ],
)
def test_texts_become_values_of_the_right_type(text, value):
    name = text.partition("=")[0]
    found = getattr(resolve.resolve(TRAINING, [text]), name)
    assert found == value and type(found) is type(value)


def test_truth_is_read_as_a_word_of_any_case():
    assert resolve.resolve("05_cifar", ["permute=False"]).permute is False
    assert resolve.resolve("06_svhn", ["permute=true"]).permute is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed=abc", "seed = 'abc': int, ≥ 0 is needed"),
        ("seed=1.5", "seed = 1.5: int, ≥ 0 is needed"),
        ("seed=-1", "seed = -1: int, ≥ 0 is needed; the nearest: 0"),
        ("seed=True", "seed = 'True': int, ≥ 0 is needed"),
        ("seed=", "seed = '': int, ≥ 0 is needed"),
        ("distractor_prob=1.2", "distractor_prob = 1.2: float, ≥ 0, ≤ 1 is needed; the nearest: 1.0"),
        ("distractor_prob=nan", "distractor_prob = nan: float, ≥ 0, ≤ 1 is needed"),
        ("lr_value=1e999", "lr_value = inf: float, ≥ 0 is needed"),
        ("set_size=5", "set_size = 5: a divisor of num_patches = 32 is needed; the nearest: 4"),
        ("degree=4", "degree = 4: an odd number is needed; the nearest: 5"),
        ("device=gpu", "device = 'gpu': auto | cpu | cuda is needed; the nearest: cpu"),
        ("sample_sizes=0", "sample_sizes = [0]: list of int, ≥ 1 is needed; the nearest: 1"),
        ("sample_sizes=[]", "sample_sizes = []: list of int, ≥ 1 is needed"),
        ("sample_sizes=9000", "sample_sizes = [9000]: at most num_samples = 4000 in each is needed"),
        ("overtrain_steps=3", "overtrain_steps = 3: at least steps = 120 is needed; the nearest: 120"),
        ("sead=3", "parameter = 'sead': seed, num_seeds, device"),
        ("sead=3", "is needed; the nearest: seed"),
        ("seed", "-p seed: name=value is needed"),
    ],
)
def test_wrong_values_are_one_clear_line(text, message):
    assert message in refusal(resolve.resolve, TRAINING, [text])


@pytest.mark.parametrize(
    ("chapter", "values", "message"),
    [
        ("01_dataset", {"seed": True}, "seed = True: int, ≥ 0 is needed"),
        ("01_dataset", {"seed": "0"}, "seed = '0': int, ≥ 0 is needed"),
        ("01_dataset", {"block": 3}, "block = 3: a divisor of grid_side = 8, below it, is needed; the nearest: 2"),
        ("05_cifar", {"download": "flase"}, "download = 'flase': bool is needed; the nearest: false"),
        ("05_cifar", {"num_heads": 5}, "num_heads = 5: a divisor of embed_dim = 48 is needed; the nearest: 4"),
        ("05_cifar", {"patch_size": 3}, "patch_size = 3: a divisor of image_size = 16 is needed; the nearest: 2"),
        ("02_theory", {"set_size": 64}, "a divisor of num_patches = 64, below it, is needed; the nearest: 32"),
        ("04_transfer", {"set_size": 31}, "a divisor of num_patches = 32, below it, is needed; the nearest: 16"),
        ("layers", {"grid_side": 7}, "set_size = 4: a divisor of grid_side² = 49 is needed; the nearest: 7"),
        ("02_theory", {"lr_value": 0.0}, "lr_value = 0.0: float, > 0, for the ratio of steps, is needed; the"),
        ("02_theory", {"lr_attention": 0.0}, "lr_attention = 0.0: float, > 0, for the ratio of steps, is needed"),
        ("03_synthetic_training", {"lifetime_steps": 9}, "lifetime_steps = 9: int, ≥ 10 is needed; the nearest: 10"),
        ("probes", {"patch_size": 8}, "image_size = 16: at least 4 * patch_size = 32, for patches 6 apart,"),
        ("scale", {"num_patches": [32], "budget": [9]}, "num_patches = [32]: two diff"),
        ("scale", {"num_patches": [32, 64, 97]}, "num_patches = [32, 64, 97]: a multiple of set_size = 4"),
        ("scale", {"budget": [9]}, "budget = [9]: a list of 2, one for each of num_patches, is needed"),
        ("scale", {"downstream_sizes": [4, 2]}, "downstream_sizes = [4, 2]: a list of ascending sizes is needed"),
    ],
)  # fmt: skip
def test_values_of_another_type_and_broken_ties_are_refused(chapter, values, message):
    assert message in refusal(resolve.resolve, chapter, values)


@pytest.mark.parametrize(("chapter", "most"), [("03_synthetic_training", 1), ("04_transfer", 2)])
@pytest.mark.parametrize("patches", [7, 9, 15, 25, 33, 49, 77])
def test_the_set_size_that_is_suggested_is_accepted(chapter, most, patches):
    line = refusal(resolve.resolve, chapter, {"num_patches": patches, "set_size": 4})
    if most == 2 and patches == 7:  # a prime: sets of one patch alone would be two or more
        assert line.endswith("is needed")
        return
    suggested = int(line.rpartition("the nearest: ")[2])
    assert resolve.resolve(chapter, {"num_patches": patches, "set_size": suggested}).set_size == suggested


FIELDS = [
    (chapter, name)
    for chapter in CHAPTERS
    for name, field in CHAPTERS[chapter].settings.model_fields.items()
    if field.annotation in (int, float)
]


@pytest.mark.parametrize(("chapter", "name"), FIELDS)
def test_no_text_is_too_much_for_a_number(chapter, name):
    """Huge numbers and long texts are refused in one line, or are fine (a seed, a step size)."""
    for text in ("4000000000", "9" * 20, "1" + "0" * 400, "9" * 5000, "x" * 5000, "(" * 5000, "-1", "0"):
        try:
            accepted = getattr(resolve_run(chapter, [f"{name}={text}"]), name)
        except ValueError:
            assert refusal(resolve_run, chapter, [f"{name}={text}"])
        else:
            assert isinstance(accepted, int) or isfinite(accepted)


@pytest.mark.parametrize(
    ("chapter", "text", "start"),
    [
        ("01_dataset", "num_samples=1000000000", "num_samples = 1000000000: a size for the 8 GiB of memory at hand, "),
        ("02_theory", "num_patches=4000000000", "num_patches = 4000000000: a size for the 8 GiB"),
        ("03_synthetic_training", "num_seeds=4000000", "num_seeds = 4000000: a size for the 8 GiB"),
        ("03_synthetic_training", "batch_samples=999999999999", "batch_samples = 999999999999: a size for the 8 GiB"),
        ("05_cifar", "depth=99999999999999999999", "depth = 99999999999999999999: a size for the 8 GiB"),
        ("05_cifar", "epochs=4000000000", "epochs = 4000000000: a size for the 8 GiB"),
        ("scale", "num_patches=64,400000", "num_patches = [64, 400000]: a size for the 8 GiB"),
    ],
)  # fmt: skip
def test_a_size_beyond_the_memory_is_refused_with_the_nearest_that_fits(chapter, text, start, monkeypatch):
    monkeypatch.setattr(base, "memory_at_hand", lambda device: 8 * 2**30)
    line = refusal(resolve_run, chapter, [text])
    assert line.startswith(start) and " GiB, is needed" in line
    if "[" not in line:
        name, nearest = text.partition("=")[0], int(line.rpartition(" ")[2])
        check_memory(resolve.resolve(chapter, {name: nearest}))
        refusal(resolve_run, chapter, [f"{name}={2 * nearest + 2}"])


@pytest.mark.parametrize(
    ("claim", "name"),
    [("events", "flow_inputs"), ("over-training", "lifetime_samples"), ("diagonal", "num_test")],
)
def test_a_study_of_descents_has_a_size_that_its_presets_keep(claim, name, monkeypatch):
    monkeypatch.setattr(base, "memory_at_hand", lambda device: 8 * 2**30)
    kind, chapter = EXPERIMENTS[claim].settings, EXPERIMENTS[claim].chapter
    line = refusal(check_memory, kind(**{name: 10**9}))
    assert line.startswith(f"{name} = 1000000000: a size for the 8 GiB")
    check_memory(kind(**{name: int(line.rpartition(" ")[2])}))
    for preset in presets():
        check_memory(resolve_run(chapter, preset=preset, claim=claim).narrowed(kind))


def test_the_defaults_and_the_memory_of_one_device_are_told_apart(monkeypatch):
    monkeypatch.setattr(base, "memory_at_hand", lambda device: 2**60 if device == "cuda" else 2**20)
    large = {"num_samples": 400_000, "device": "cuda"}
    assert resolve_run("01_dataset", large).num_samples == 400_000
    assert "num_samples = 400000" in refusal(resolve_run, "01_dataset", large | {"device": "cpu"})


def test_overrides_beat_presets_and_presets_beat_defaults(monkeypatch, tmp_path):
    monkeypatch.setattr(resolve, "PRESETS", tmp_path)
    (tmp_path / "big.yaml").write_text(f"{TRAINING}: {{num_samples: 9, seed: 5}}\nrealistic: {{seed: 6}}\n")
    small = {"sample_sizes": [2]}
    assert resolve.resolve(TRAINING).num_samples == 4000
    assert resolve.resolve(TRAINING, small, preset="big").seed == 5
    assert resolve.resolve(TRAINING, small, preset="big", claim="realistic").seed == 6
    assert resolve.resolve(TRAINING, {**small, "seed": 7}, preset="big").num_samples == 9
    assert resolve.resolve(TRAINING, ["seed=7", "sample_sizes=2"], preset="big").seed == 7


@pytest.mark.parametrize("chapter", [chapter for chapter in CHAPTERS if chapter in EXPERIMENTS])
def test_a_chapter_called_as_its_claim_leaves_the_presets_section_to_that(chapter):
    page = CHAPTERS[chapter]
    assert resolve.resolve(chapter) == page.settings(**page.defaults)
    assert (
        resolve.resolve(chapter, claim=chapter).steps == resolve.preset_sections("laptop")[chapter]["steps"]
    )


def test_unknown_chapters_and_presets_get_the_nearest():
    assert refusal(resolve.resolve, "03_synthetic").endswith(f"the nearest: {TRAINING}")
    assert "preset = 'papre'" in refusal(resolve.resolve, TRAINING, preset="papre")


@pytest.mark.parametrize("preset", presets())
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_preset_is_valid_for_every_chapter_and_claim(chapter, preset):
    for claim in [None, *(key for key, experiment in EXPERIMENTS.items() if experiment.chapter == chapter)]:
        assert isinstance(resolve.resolve(chapter, preset=preset, claim=claim), CHAPTERS[chapter].settings)


def test_every_section_of_a_preset_names_a_chapter_or_a_claim():
    for preset in presets():
        assert resolve.preset_sections(preset).keys() <= CHAPTERS.keys() | EXPERIMENTS.keys()


@pytest.mark.parametrize("claim", ["positional-cifar10", "positional-svhn", "positional-imagenet"])
def test_a_scale_is_that_of_the_preset_whose_values_a_run_has(claim):
    chapter = EXPERIMENTS[claim].chapter
    for scale in presets():
        settings = resolve.resolve(chapter, preset=scale, claim=claim)
        assert scale_of(claim, settings) == scale
        variant = {"seed": 4, "eval_split": "validation", "add_encoding": True, "checkpoint_folder": "x"}
        assert scale_of(claim, settings.changed(**variant)) == scale
        assert scale_of(claim, settings.changed(depth=settings.depth + 1)) == "laptop"


def test_of_the_short_scale_alone_epochs_and_rate_are_free():
    claim, chapter = "positional-imagenet", "07_imagenet"
    other = {"epochs": 7, "warmup_epochs": 0.5, "learning_rate": 0.1}
    for scale, expected in (("short", "short"), ("paper", "laptop")):
        settings = resolve.resolve(chapter, preset=scale, claim=claim)
        assert scale_of(claim, settings.changed(**other)) == expected


def test_the_short_preset_is_the_papers_model_in_fewer_epochs():
    short, paper = (
        resolve.resolve("05_cifar", preset=p, claim="positional-cifar10") for p in ("short", "paper")
    )
    assert short.changed(epochs=300, warmup_epochs=5.0, learning_rate=paper.learning_rate) == paper
    assert short.warmup_epochs / short.epochs == pytest.approx(paper.warmup_epochs / paper.epochs)


def test_positional_attention_has_values_without_encodings_by_default():
    assert ImagesSettings().add_encoding is False


def test_a_name_without_a_value_is_refused_under_its_option():
    assert refusal(parse, "seed", StructureSettings, "-g") == "-g seed: name=value is needed"
