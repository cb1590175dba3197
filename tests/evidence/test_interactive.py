"""The slider holds its data, the same text every time, and nothing from outside."""

import base64
import json
import subprocess
import sys
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest

from src.evidence.figures.interactive import training_slider

NUM_STEPS, NUM_PATCHES, SET_SIZE = 41, 32, 4
STEPS = np.arange(NUM_STEPS) * 3


@pytest.fixture
def attention() -> np.ndarray:
    logits = np.random.default_rng(0).normal(size=(NUM_STEPS, NUM_PATCHES, NUM_PATCHES))
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


@pytest.fixture
def curves() -> dict[str, np.ndarray]:
    progress = np.linspace(0, 1, NUM_STEPS)
    return {"loss": 0.7 - 0.6 * progress, "accuracy": progress, "rho": 0.1 - progress, "flat": 0 * progress}


class Tags(HTMLParser):
    """Every start tag of a fragment with its attributes; fails on a tag that is not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag != "input":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag: str, key: str = "") -> list[dict]:
        """The attributes of each `tag` that has the attribute `key`, if one is asked for."""
        return [found for name, found in self.found if name == tag and (not key or key in found)]


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8)


def test_attention_decodes_to_one_part_in_255_of_its_range(attention, curves):
    (canvas,) = Tags(training_slider(STEPS, attention, curves)).all("canvas")
    levels = _bytes(canvas["data-levels"]).reshape(attention.shape)
    low, high = attention.min(), attention.max()
    np.testing.assert_allclose(low + levels / 255 * (high - low), attention, atol=(high - low) / 255)
    viridis = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)[:, :3]
    np.testing.assert_array_equal(_bytes(canvas["data-colours"]).reshape(256, 3), viridis)


def test_curves_and_steps_decode(attention, curves):
    tags = Tags(training_slider(STEPS, attention, curves))
    (root,) = tags.all("div", "data-steps")
    assert json.loads(root["data-steps"]) == STEPS.tolist()
    figures, lines = tags.all("figure", "data-values"), tags.all("polyline")
    assert len(figures) == len(lines) == len(curves)
    for values, figure, line in zip(curves.values(), figures, lines, strict=True):
        shown = [float(text) for text in json.loads(figure["data-values"])]
        np.testing.assert_allclose(shown, values, rtol=1e-3)
        x, y = np.array([point.split(",") for point in line["points"].split()], dtype=float).T
        np.testing.assert_allclose(x, 100 * STEPS / STEPS[-1], atol=0.01)
        depth = 100 * (values.max() - values) / np.ptp(values) if np.ptp(values) else np.full(NUM_STEPS, 50)
        np.testing.assert_allclose(y, depth, atol=0.01)


def test_it_can_be_used_without_a_mouse_and_without_eyes(attention, curves):
    tags = Tags(training_slider(STEPS, attention, curves, label="Attention"))
    (slider,) = tags.all("input")
    assert slider["type"] == "range" and slider["aria-label"] == "training step"
    assert (slider["min"], slider["max"], slider["value"]) == ("0", str(NUM_STEPS - 1), "0")
    (canvas,) = tags.all("canvas")
    assert canvas["role"] == "img" and canvas["aria-label"] == "Attention"
    pictures = tags.all("svg", "role")
    assert [picture["aria-label"].split(" over")[0] for picture in pictures] == list(curves)


def test_the_same_data_gives_the_same_text_and_other_data_another_id(attention, curves):
    one, two = (training_slider(STEPS, attention, curves) for _ in range(2))
    other = training_slider(STEPS, attention, {**curves, "loss": curves["loss"] + 1})
    assert one == two == one._repr_html_()
    ids = {Tags(slider).all("div", "id")[0]["id"] for slider in (one, two, other)}
    assert len(ids) == 2


def test_it_is_small_and_needs_nothing_from_outside(attention, curves):
    html = training_slider(STEPS, attention, curves, sets=SET_SIZE)
    assert len(html) < 150_000
    for word in ("http", "require", "import", "src=", "href=", "url("):
        assert word not in html


def test_lines_part_the_sets(attention):
    (path,) = Tags(training_slider(STEPS, attention, {}, sets=SET_SIZE)).all("path")
    assert path["d"].count("V8") == path["d"].count("H8") == NUM_PATCHES // SET_SIZE - 1
    assert "ordered by set" not in training_slider(STEPS, attention, {})


def test_curves_alone(curves):
    tags = Tags(training_slider(STEPS, None, curves))
    assert tags.all("canvas") == [] and len(tags.all("polyline")) == len(curves)


def test_constant_attention_is_one_colour():
    (canvas,) = Tags(training_slider([0, 1], np.full((2, 4, 4), 0.25), {})).all("canvas")
    assert set(_bytes(canvas["data-levels"])) == {0}


def test_text_is_escaped():
    html = training_slider([0, 1], None, {'<b a="1">': [0, 1]}, title="a < b & </script>")
    assert "<b a" not in html and "a &lt; b &amp; &lt;/script&gt;" in html
    Tags(html)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": [0]}, r"steps has shape \(1,\) and dtype int64: needs \(t,\) integers, t > 1"),
        ({"steps": [0.0, 1.0]}, r"steps has shape \(2,\) and dtype float64: needs \(t,\) integers"),
        ({"steps": [1, 1]}, r"steps is \[1, 1\]: needs increasing integers"),
        ({"attention": np.zeros((2, 4, 3))}, r"attention has shape \(2, 4, 3\): needs \(t, D, D\)"),
        ({"attention": np.zeros((3, 4, 4))}, r"attention has shape \(3, 4, 4\): needs \(2, 4, 4\)"),
        ({"sets": 3}, r"sets is 3: needs a set size that divides the number of patches, 4"),
        ({"sets": 0}, r"sets is 0: needs a set size"),
        ({"curves": {"loss": [1, 2, 3]}}, r"curves\['loss'\] has shape \(3,\): needs \(2,\), one entry"),
        ({"curves": {"rho": [1, np.nan]}}, r"curves\['rho'\] is not finite at entry 1: cut the run"),
        ({"attention": None, "curves": {}}, r"attention is None and curves is empty: give at least one"),
    ],
)
def test_a_wrong_argument_is_named(change, message):
    arguments = {"steps": [0, 1], "attention": np.zeros((2, 4, 4)), "curves": {"loss": [1, 0]}, **change}
    sets = arguments.pop("sets", None)
    with pytest.raises(ValueError, match=message):
        training_slider(**arguments, sets=sets)


def test_torch_is_not_imported():
    code = "import sys, src.evidence.figures.interactive; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
