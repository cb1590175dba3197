"""The page on speed: what the benchmarks wrote, as tables and curves."""

import json
from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest
import torch

from src.common.sources import ROOT
from src.evidence import pages
from src.evidence.figures import speed
from src.evidence.records import load_benchmarks

ROW = {
    "name": "fused",
    "seconds": [0.002, 0.001, 0.004],
    "peak_bytes": 3 * 2**20,
    "throughput": None,
    "unit": "",
}
CURVE = {
    "name": "step",
    "variable": "D",
    "x": [8, 16],
    "seconds": [1.0, 4.0],
    "floor_seconds": [0.5, 1.0],
    "floor": "one read",
}


def content(kept: bool | None = True, **changes) -> dict:
    bounds = {"at_most": {"cpu": 2.2, "cuda": 1.3}, "at_least": {}, "at_most_seconds": None}
    return {
        "promise": {"text": "a <step>", "kind": "at most", **bounds},
        "reference": "one read",
        "measured": "1.50",
        "kept": kept,
        "rows": [ROW],
        "curves": [CURVE],
        "device": "a CPU",
        "versions": {"torch": "2"},
        "date": "2026-01-01",
        "agreement": "equal to 1e-6",
    } | changes


def test_files_are_found_by_promise_and_device(tmp_path):
    for name in ("many_runs-cpu", "many_runs-cuda"):
        (tmp_path / f"{name}.json").write_text(json.dumps(content()))
    assert {key: list(by_device) for key, by_device in load_benchmarks(tmp_path).items()} == {
        "many_runs": ["cpu", "cuda"]
    }


def test_the_table_shows_ratio_bound_and_what_is_missing():
    table = pages.promises_table({"step": {"cpu": content()}})
    assert "a &lt;step&gt;" in table and "<strong>1.50 ✓</strong> <small>(at most 2.2)</small>" in table
    assert "not measured: none at hand <small>(at most 1.3)</small>" in table
    assert "a CPU, torch 2, 2026-01-01" in table
    absolute = content()["promise"] | {"at_most": {}, "at_most_seconds": 0.5}
    table = pages.promises_table({"list": {"cpu": content(promise=absolute, measured="111 ms")}})
    assert (
        "<strong>111 ms ✓</strong> <small>(at most 0.5 s)</small>" in table
        and '<td data-label="GPU">—' in table
    )
    amx = content(promise=content()["promise"] | {"at_most": {"cpu": 2.2, "amx": 1.4}})
    table = pages.promises_table({"step": {"amx": amx, "cpu": content()}})
    assert "(at most 2.2)</small><br><strong>1.50 ✓</strong> <small>(with AMX, at most 1.4)" in table
    assert "1.50 ✗" in pages.promises_table({"step": {"cpu": content(kept=False)}})


def test_timings_are_median_and_range_with_memory():
    table = pages.timings_table({"step": {"cpu": content()}})
    for text in ("2 ms", "1 ms to 4 ms (n = 3)", "3.0 MiB", "equal to 1e-6"):
        assert f"{text}" in table
    paced = pages.timings_table(
        {"step": {"cpu": content(rows=[ROW | {"throughput": 1234.0, "unit": "images/s"}])}}
    )
    assert "1,234 images/s" in paced


@pytest.mark.parametrize(("seconds", "text"), [(12.345, "12.3 s"), (0.00123, "1.23 ms"), (4.2e-7, "0.42 µs")])
def test_seconds_have_three_digits(seconds, text):
    assert pages.seconds_text(seconds) == text


def test_curves_are_the_measured_points_beside_the_limit():
    figure = speed.cost_curves({"step": {"cpu": content()}, "other": {"cuda": content()}}, "cpu")
    (ax,) = figure.axes
    measured, floor = ax.lines
    np.testing.assert_array_equal(measured.get_ydata(), CURVE["seconds"])
    np.testing.assert_array_equal(floor.get_ydata(), CURVE["floor_seconds"])
    assert ax.get_xscale() == ax.get_yscale() == "log" and ax.get_xlabel() == "D"
    with pytest.raises(ValueError, match="no benchmark has curves"):
        speed.cost_curves({"step": {"cuda": content()}}, "cpu")


def test_a_profile_tells_products_from_all_else():
    spec = spec_from_file_location("harness", ROOT / "benchmarks" / "harness.py")
    harness = module_from_spec(spec)
    spec.loader.exec_module(harness)
    matrix, kinds = torch.ones(64, 64), {"products": ("mm",), "sums": ("add",)}
    shares = harness.time_by_kind(lambda: matrix @ matrix, kinds)
    assert sum(shares.values()) == pytest.approx(1) and shares["products"] > 0 == shares["sums"]
    shares = harness.time_by_kind(lambda: matrix + matrix, kinds)
    assert shares["sums"] > 0 == shares["products"] and [*shares.values()] == sorted(shares.values())[::-1]
