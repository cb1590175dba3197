"""The explorer of encodings: its data are the record's, it asks for nothing, and answers pointer and keys."""

import base64
import re
from dataclasses import replace

import numpy as np
import pytest

from src.evidence.figures.explorer import patch_explorer
from src.evidence.records import load_records, pooled
from src.evidence.verdicts import judge, strongest
from tests.browser import CHROMIUM, Page

MODELS = ("content", "positional")


@pytest.fixture(scope="module")
def record():
    """The one that chapter 05 shows."""
    return pooled(judge("positional-cifar10", load_records(), "laptop").records)


def test_levels_of_a_larger_model_are_within_half_a_level_and_cost_no_more_than_their_bytes():
    # the paper's own model: twelve heads in each of seven layers
    record = strongest("positional-cifar10", load_records())
    html = patch_explorer(record)
    off = ~np.eye(64, dtype=bool)
    expected = np.stack([record.arrays[f"similarity_{s}"] for s in ("before", "during", "after")], axis=1)
    low, high = expected[..., off].min(), expected[..., off].max()
    texts = re.findall(r'data-similarity="([^"]+)"', html)
    shown = np.stack([np.frombuffer(base64.b64decode(text), np.uint8) for text in texts])
    values = low + (high - low) * shown.reshape(expected.shape) / 255
    assert np.abs(values - expected)[..., off].max() <= (high - low) / 510 + 1e-6
    attention = sum(record.arrays[f"attention_{kind}"][:, :, 1:, 1:].size for kind in MODELS)
    assert len(html) < 4 / 3 * (attention + expected.size) + 60_000


def test_levels_are_the_records_similarities_and_attention(record):
    html = patch_explorer(record)
    for index, kind in enumerate(MODELS):
        texts = [re.findall(rf'data-{name}="([^"]+)"', html)[index] for name in ("similarity", "attention")]
        shown, looked = (np.frombuffer(base64.b64decode(text), np.uint8).astype(int) for text in texts)
        expected = np.stack(
            [record.arrays[f"similarity_{stage}"][index] for stage in ("before", "during", "after")]
        )
        off = np.broadcast_to(~np.eye(64, dtype=bool), expected.shape)
        assert np.corrcoef(shown.reshape(expected.shape)[off], expected[off])[0, 1] > 0.9999
        attention = record.arrays[f"attention_{kind}"][:, :, 1:, 1:]
        assert (looked.reshape(attention.shape).argmax(-1) == attention.argmax(-1)).mean() > 0.99
    assert patch_explorer(record) == html and len(html) < 500_000
    assert not re.search(r"(src|href)=|url\(|https?:", html)


def test_a_record_without_encodings_is_refused_by_name(record):
    with pytest.raises(ValueError, match="record has no array grid"):
        patch_explorer(replace(record, arrays={}))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_pointer_keys_and_stage_choose_what_is_shown(record, tmp_path):
    file = tmp_path / "explorer.html"
    file.write_text(f"<!doctype html><meta charset=utf-8>{patch_explorer(record)}")
    with Page(tmp_path / "profile") as page:
        page.open(file.as_uri())

        def check(stage: str, patch: int) -> None:
            """Both models name a patch as alike as any other, up to the 256 levels."""
            best = page.evaluate(
                "[...document.querySelectorAll('.pe-similarity')].map(map => Number(map.dataset.best))"
            )
            for each, other in zip(record.arrays[f"similarity_{stage}"][:, patch], best, strict=True):
                assert other != patch and each[other] > np.delete(each, patch).max() - 0.02
            place = f"Patch in row {patch // 8 + 1}, column {patch % 8 + 1}"
            assert page.evaluate("document.querySelector('.pe-where').textContent").startswith(place)

        check("after", 36)
        page.evaluate("document.querySelector('.pe-models').focus()")
        page.key("ArrowUp")
        page.key("ArrowLeft")
        check("after", 27)
        page.evaluate("document.querySelector('.patch-explorer input').focus()")
        page.key("Home")
        check("before", 27)
        x, y = page.evaluate(
            "(b => [b.left + 2, b.top + 2])(document.querySelector('canvas').getBoundingClientRect())"
        )
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        check("before", 0)
        assert page.errors == [] and page.requests == [file.as_uri()]
