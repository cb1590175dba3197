import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from src.common.sources import versions
from src.evidence.records import RESULTS, Record, load_benchmarks, load_records, pooled
from src.experiments.resolve import resolve
from src.experiments.settings import REPETITION
from src.experiments.table import EXPERIMENTS


@pytest.fixture
def record() -> Record:
    return Record(
        claim="realistic",
        chapter="03_synthetic_training",
        parameters={"seed": 0, "sizes": [1, 2], "q": 0.4},
        seed=0,
        scale="laptop",
        metrics={"accuracy": [0.9, 0.92, 0.94], "gap": [1.5]},
        device="cpu",
        versions=versions(),
        commit="abc",
        source_digest="123",
        started="2026-01-01T00:00:00+00:00",
        wall_seconds=1.5,
        peak_memory_bytes=10,
        arrays={"curve": np.arange(6.0).reshape(2, 3), "names": np.array(["a", "b"])},
    )


def test_round_trip(record, tmp_path):
    record.save(tmp_path / "deep" / "record")
    loaded = Record.load(tmp_path / "deep" / "record")
    assert loaded == record
    assert loaded.arrays.keys() == record.arrays.keys()
    assert all(np.array_equal(loaded.arrays[name], record.arrays[name]) for name in record.arrays)
    assert [each.claim for each in load_records(tmp_path)] == ["realistic"]


def test_pooling_joins_metrics_and_curves_and_keeps_the_first_records_rest(record):
    def run(value: float) -> Record:
        curves = {"loss_by_epoch": np.full((2, 1, 3), value), "images": np.full(2, value)}
        curves["accuracy_by_epoch"] = np.full((3, 5, 1, 6), value)
        parameters = {"seed": int(value), "num_seeds": 1}
        metrics = {"accuracy": [value]}
        return replace(record, seed=int(value), parameters=parameters, metrics=metrics, arrays=curves)

    one = pooled([run(1.0), run(2.0)])
    assert one.metrics == {"accuracy": [1.0, 2.0]} and one.wall_seconds == 3.0
    assert one.parameters == {"seed": 1, "num_seeds": 2}
    assert one.arrays["loss_by_epoch"].shape == (2, 2, 3) and (one.arrays["loss_by_epoch"][:, 1] == 2).all()
    assert one.arrays["accuracy_by_epoch"].shape == (3, 5, 2, 6)  # over networks, sides, repetitions, epochs
    assert (one.arrays["images"] == 1).all()


def test_mean_and_text(record):
    assert record.mean("accuracy") == pytest.approx(0.92)
    assert record.text("accuracy") == "0.920 ± 0.020 (n = 3)"
    assert record.text("gap", 1) == "1.5 (n = 1)"
    with pytest.raises(KeyError, match="no metric 'acuracy'; it has accuracy, gap"):
        record.mean("acuracy")


def test_nothing_is_overwritten(record, tmp_path):
    record.save(tmp_path / "record")
    with pytest.raises(FileExistsError, match="exists already; choose another folder"):
        record.save(tmp_path / "record")


def test_damaged_records_are_named(record, tmp_path):
    with pytest.raises(ValueError, match=r"holds no record.json"):
        Record.load(tmp_path)
    record.save(tmp_path / "record")
    arrays = tmp_path / "record" / "arrays.npz"
    arrays.write_bytes(arrays.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"arrays.npz is not a readable record"):
        Record.load(tmp_path / "record")
    file = tmp_path / "record" / "record.json"
    content = json.loads(file.read_text())
    del content["seed"]
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"record.json is not a readable record: .*seed"):
        Record.load(tmp_path / "record")


@pytest.mark.parametrize("schema", [1, 3])
def test_a_record_of_another_schema_is_refused(record, schema, tmp_path):
    replace(record, schema=schema).save(tmp_path / "record")
    with pytest.raises(ValueError, match=rf"record.json is not a readable record: schema {schema}, where 2"):
        Record.load(tmp_path / "record")


def test_every_stored_record_holds_every_parameter_of_its_experiment():
    for record in load_records():
        assert record.parameters.keys() == EXPERIMENTS[record.claim].settings.model_fields.keys()
        EXPERIMENTS[record.claim].settings(**record.parameters)


def test_every_stored_record_was_made_with_the_values_that_its_folder_names():
    """A preset that changed, or a page's default that leaked into a record, shows here."""
    for file in RESULTS.glob("*/*/record.json"):
        record = Record.load(file.parent)
        preset, *given = re.split(r"-(?=\w+=)", file.parent.name)
        asked = resolve(record.chapter, given, preset=preset, claim=record.claim).model_dump(mode="json")
        # Adding encodings was the default once.
        names = record.parameters.keys() - REPETITION - {"add_encoding"}
        assert {name: record.parameters[name] for name in names} == {name: asked[name] for name in names}


@pytest.mark.parametrize("bad", [[0.9, float("inf")], [float("nan")], []])
def test_a_metric_that_is_no_number_is_not_written(record, bad, tmp_path):
    broken = replace(record, metrics={"accuracy": [0.9], "gap": bad})
    with pytest.raises(ValueError, match=r"^the metric gap = .*: a list of finite numbers, .* is needed$"):
        broken.save(tmp_path / "record")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "bad", ["[Infinity]", "[NaN]", "[]", '["0.9"]', "[true]", "0.9", "null", "[[0.9]]", "{}"]
)
def test_a_metric_that_is_no_number_is_not_read(record, bad, tmp_path):
    record.save(tmp_path / "record")
    file = tmp_path / "record" / "record.json"
    content = json.loads(file.read_text())
    content["metrics"]["gap"] = "PLANTED"
    file.write_text(json.dumps(content).replace('"PLANTED"', bad))
    with pytest.raises(ValueError, match=r"record.json is not a readable record: the metric gap = [^\n]*$"):
        Record.load(tmp_path / "record")


def test_metrics_that_are_no_mapping_are_not_read(record, tmp_path):
    record.save(tmp_path / "record")
    file = tmp_path / "record" / "record.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"metrics": [0.9]}))
    with pytest.raises(
        ValueError, match=r"not a readable record: metrics = \[0.9\]: a value for each name is needed"
    ):
        Record.load(tmp_path / "record")


def test_no_value_is_a_value_of_its_own(record, tmp_path):
    some = replace(record, metrics={"accuracy": [0.9, None, 0.8], "gap": [None]})
    read = Record.load(some.save(tmp_path / "record"))
    assert read == some and read.values("accuracy") == [0.9, None, 0.8]
    assert read.mean("accuracy") == pytest.approx(0.85) and read.text("accuracy") == "0.850 ± 0.071 (n = 2)"
    assert read.text("gap") == "no value (n = 0)"
    assert math.isnan(read.mean("gap"))


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ((3, 1), (3, 3), "repetition 0 of seed 3"),
        ((0, 2), (0, 2), "repetition 0 of seed 0"),
        ((3, 2), (5, 3), ""),
    ],
)
def test_a_repetition_is_pooled_once(record, first, second, shared):
    def run(seed: int, num_seeds: int) -> Record:
        metrics = {"accuracy": [0.5] * num_seeds}
        return replace(record, seed=seed, parameters={"seed": seed, "num_seeds": num_seeds}, metrics=metrics)

    runs = [run(*first), run(*second)]
    if not shared:
        assert pooled(runs).parameters["num_seeds"] == 5
        return
    with pytest.raises(
        ValueError, match=rf"^{shared} is in two records, realistic with seed = .*: leave one out$"
    ):
        pooled(runs)


def test_a_damaged_benchmark_is_named(tmp_path):
    (tmp_path / "steps-cpu.json").write_text("{")
    with pytest.raises(ValueError, match=r"steps-cpu\.json: no benchmark's result"):
        load_benchmarks(tmp_path)


def test_records_from_before_precision_and_notes_are_read(record, tmp_path):
    replace(record, precision="bf16-mixed", notes={"classes": 10}).save(tmp_path / "new")
    assert Record.load(tmp_path / "new").precision == "bf16-mixed"
    assert Record.load(tmp_path / "new").notes == {"classes": 10}
    file = tmp_path / "new" / "record.json"
    content = json.loads(file.read_text())
    del content["precision"], content["notes"]
    file.write_text(json.dumps(content))
    (tmp_path / "new" / "SHA256SUMS").unlink()  # they have none
    old = Record.load(tmp_path / "new")
    assert (old.precision, old.notes) == ("", {})
