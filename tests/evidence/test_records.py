import json
from dataclasses import replace

import numpy as np
import pytest

from src.common.sources import versions
from src.evidence.records import Record, load_records, pooled
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
        parameters = {"seed": int(value), "num_seeds": 1}
        return replace(record, parameters=parameters, metrics={"accuracy": [value]}, arrays=curves)

    one = pooled([run(1.0), run(2.0)])
    assert one.metrics == {"accuracy": [1.0, 2.0]} and one.wall_seconds == 3.0
    assert one.parameters == {"seed": 1, "num_seeds": 2}
    assert one.arrays["loss_by_epoch"].shape == (2, 2, 3) and (one.arrays["loss_by_epoch"][:, 1] == 2).all()
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
