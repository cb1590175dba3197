"""The page on what was run says when, where, how long and at which commit, and what is missing."""

import re
from dataclasses import replace

import pytest

from src.evidence.claims import CLAIMS
from src.evidence.statements import CLASSES
from src.evidence.status import chapters_table, command, duration_text, missing_table, records_table
from src.experiments.resolve import resolve, scale_of
from src.experiments.table import EXPERIMENTS
from tests.records import record

RECORD = record(
    {f"accuracy_{arm}_10": [0.9, 0.9] for arm in ("kept", "scratch", "uniform", "other_partition")},
    claim="transfer",
    chapter="04_transfer",
    parameters={"seed": 3, "num_seeds": 2},
    seed=3,
    device="a device",
    commit="abc123",
    started="2026-01-02T03:04:05+00:00",
    wall_seconds=250.0,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.84, "0.8 s"),
        (59.4, "59.4 s"),
        (60.0, "1 min 00 s"),
        (250.0, "4 min 10 s"),
        (11_100.0, "3 h 05 min"),
    ],
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


def test_a_record_has_a_row_with_all_that_is_known():
    table = records_table([RECORD])
    (line,) = (each for each in table.splitlines() if "abc123" in each)
    for text in (
        "laptop",
        "seed 3, 2 repetitions",
        "2026-01-02\N{NO-BREAK SPACE}03:04",
        "4 min 10 s",
        "a device",
        "yes",
    ):
        assert f">{text}<" in line
    assert "no record" in table.split('id="records-idealized"')[1].split("</tbody>")[0]


def test_a_training_tells_its_pace_and_that_several_sources_had_a_part():
    notes = {"images_per_second": [195, 118, 130], "sources": ["a", "b"]}
    table = records_table([replace(RECORD, notes=notes)])
    assert "seed 3, 2 repetitions, 118 to 195 images/s, trained by 2 versions of the source<" in table


def test_a_claim_without_records_of_its_own_names_those_that_show_it():
    kinds = ("content", "positional")
    metrics = {
        f"{name}_{kind}": [0.0] for name in ("locality_before", "locality", "mantel_p") for kind in kinds
    }
    parameters = {"seed": 0, "num_seeds": 1, "dataset": "tiny-imagenet-50"}
    shown = replace(RECORD, claim="positional-imagenet", metrics=metrics, parameters=parameters, seed=0)
    rows = records_table([shown]).split('id="records-pe-locality"')[1]
    assert "none of its own; shown by the records of positional-imagenet" in rows.split("</tbody>")[0]


def test_what_does_not_count_says_why():
    tried = replace(RECORD, claim="positional-cifar10", parameters={"seed": 0, "eval_split": "validation"})
    study = replace(RECORD, claim="over-training")
    table = records_table([tried, study])
    assert "no: models were measured on validation images" in table and "a study without a verdict" in table


def test_of_two_settings_the_one_with_more_repetitions_is_judged():
    small = replace(RECORD, parameters={"seed": 3, "num_seeds": 1, "num_patches": 8}, commit="small")
    lines = records_table([small, RECORD]).splitlines()
    assert "no: another setting has more repetitions" in next(each for each in lines if "small<" in each)
    assert ">yes<" in next(each for each in lines if "abc123" in each)


def test_a_page_that_was_not_executed_says_so():
    run = {"started": "2026-01-02T03:04:05", "wall_seconds": 61.0, "device": "a device", "commit": "abc123"}
    table = chapters_table({"04_transfer": run | {"versions": {"torch": "2"}}})
    rows = {line.split(">")[0]: line for line in table.splitlines() if "<tr id" in line}
    assert all(text in rows['<tr id="chapter-04_transfer"'] for text in ("1 min 01 s", "a device", "abc123"))
    assert "no execution" in rows['<tr id="chapter-speed"']
    assert '<tr id="chapter-status"' not in rows


def test_missing_is_every_claim_at_every_scale_less_what_was_run():
    asked = sum(len(claim.scales) for claim in CLAIMS.values())
    assert missing_table([]).count("python -m src record") == asked
    table = missing_table([RECORD])
    assert table.count("python -m src record") == asked - 1 and "record transfer" not in table


@pytest.mark.parametrize(
    ("key", "scale"), [(key, each) for key, claim in CLAIMS.items() for each in claim.scales]
)
def test_the_command_makes_a_record_of_that_scale_on_the_claims_data(key, scale):
    claim = CLAIMS[key]
    name, changed, preset = re.fullmatch(
        r"python -m src record (\S+)(?: -p (\S+))? --preset (\w+)", command(claim, scale)
    ).groups()
    settings = resolve(EXPERIMENTS[name].chapter, [changed] if changed else [], preset=preset, claim=name)
    assert scale_of(name, settings) == scale
    asked = [metric for each in claim.statements_at(scale) for metric in each.metrics]
    record = replace(
        RECORD,
        claim=name,
        scale=scale,
        parameters=settings.model_dump(),
        metrics={metric: [0.0] for metric in asked},
        notes={"classes": CLASSES[settings.dataset]} if claim.data else {},
    )
    assert claim.why_not(record) == ""
    assert key != "permuted" or settings.permute
