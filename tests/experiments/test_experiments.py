"""Every experiment runs at a tiny scale, leaves a complete record, and gives the same numbers for the same seed."""

from dataclasses import replace
from importlib import import_module
from operator import le

import numpy as np
import pytest
import torch

from src.evidence.claims import CLAIMS
from src.evidence.records import Record
from src.experiments.resolve import resolve
from src.experiments.table import CHAPTERS, EXPERIMENTS
from src.structure import Partition, patch_association
from src.workshop.measure import measure

TINY = {
    "structure": {"num_seeds": 2, "grid_side": 4, "num_samples": 50},
    "linear-fails": {"num_seeds": 2, "num_patches": 16, "patch_dim": 4, "num_samples": 200},
    "shortcut-exists": {"num_seeds": 2, "num_patches": 16, "patch_dim": 4, "num_samples": 100},
    "idealized": {"num_seeds": 2, "num_patches": 16, "steps": 30, "batch_samples": 64},
    "realistic": {
        "num_seeds": 2,
        "num_patches": 12,
        "patch_dim": 5,
        "num_samples": 60,
        "num_test": 40,
        "steps": 10,
        "overtrain_steps": 20,
        "record_every": 5,
        "sample_sizes": [20],
    },
    "events": {
        "num_seeds": 2,
        "num_patches": 10,
        "set_size": 2,
        "flow_inputs": 400,
        "step_ratios": [1e3, 1e6],
    },
    "over-training": {
        "num_seeds": 2,
        "num_patches": 12,
        "diagonals": [0.5, 2.0],
        "lifetime_steps": 30,
        "lifetime_samples": 60,
    },
    "diagonal": {
        "num_seeds": 2,
        "num_patches": 12,
        "patch_dim": 5,
        "num_test": 40,
        "steps": 5,
        "overtrain_steps": 5,
        "diagonals": [0.5, 2.0],
        "training_sizes": [30, 60],
    },
    "transfer": {
        "num_seeds": 2,
        "num_patches": 12,
        "patch_dim": 5,
        "num_samples": 60,
        "num_test": 40,
        "steps": 5,
    },
    "gaussian": {
        "num_seeds": 2,
        "patch_dim": 5,
        "num_samples": 60,
        "num_test": 40,
        "figure_steps": 25,
        "steps": 5,
        "ranks": [16, 2],
    },
    "samples-needed": {
        "num_seeds": 2,
        "num_patches": [32, 48],
        "linear_error": 0.03,
        "patch_dim": 8,
        "samples_per_patch": [1, 40],
        "budget": [200, 200],
        "downstream_sizes": [1, 64],
        "downstream_draws": 4,
        "num_validation": 200,
        "num_test": 400,
        "downstream_budget": 20,
    },
    "parameterization": {
        "num_seeds": 2,
        "patch_dim": 5,
        "num_samples": 60,
        "num_test": 40,
        "steps": 5,
        "ranks": [16],
    },
    "sequential-encoding": {
        "num_seeds": 2,
        "side": 4,
        "large_side": 6,
        "embed_dim": 8,
        "num_heads": 2,
        "depth": 1,
        "steps": 2,
    },
    "phase-diagram": {
        "num_seeds": 2,
        "num_patches": 8,
        "set_sizes": [2, 4],
        "distractor_probs": [0.1, 0.8],
        "num_samples": 60,
        "patch_counts": [8, 12],
        "training_sizes": [30, 60],
        "patch_dim": 4,
        "num_test": 40,
        "steps": 40,
    },
    "overlapping-sets": {
        "num_seeds": 2,
        "num_patches": 8,
        "num_sets": 5,
        "largest": 5,
        "patch_dim": 4,
        "num_samples": 100,
        "num_test": 50,
        "steps": 20,
    },
    "three-cells": {
        "num_seeds": 2,
        "grid_side": 4,
        "kinds": ["none", "learned", "sinusoid_1d", "sinusoid_2d", "positional"],
        "embed_dim": 8,
        "num_heads": 2,
        "mlp_dim": 8,
        "steps": 10,
        "num_test": 50,
    },
    "algorithms": {
        "task": "all",
        "length": 3,
        "depth": 2,
        "width": 4,
        "test_ranges": [4.0, 20.0],
        "num_samples": 50,
        "num_test": 20,
        "batch_size": 10,
        "steps": 4,
    },
    "many-layers": {
        "num_seeds": 2,
        "depths": [2, 7],
        "num_train": 64,
        "epochs": [1, 1],
        "set_size": 2,
        "embed_dim": 8,
        "num_heads": 2,
        "mlp_dim": 8,
        "num_test": 50,
        "batch_size": 32,
    },
    "structure-given": {
        "variants": ["content", "mask", "convolved", "mimetic", "positional", "free", "uniform"],
        "num_seeds": 2,
        "image_size": 8,
        "patch_size": 4,
        "embed_dim": 8,
        "depth": 1,
        "num_heads": 2,
        "mlp_dim": 8,
        "train_limit": 128,
        "share": 0.5,
    },
    "pe-locality": {
        "num_seeds": 1,
        "patch_size": 4,
        "embed_dim": 8,
        "depth": 1,
        "mlp_dim": 8,
        "epochs": 1,
        "train_limit": 64,
    },
}
TINY["locality-needs-order"] = TINY["pe-locality"] | {
    "conditions": ["in_place", "permuted", "by_class", "by_image", "warped"]
}
TINY["spatial-probes"] = TINY["pe-locality"] | {"patch_size": 2, "probe_images": 20}
TINY["permuted-blocks"] = TINY["pe-locality"] | {"block_sides": [4, 16]}
TINY |= dict.fromkeys(("positional-svhn", "positional-imagenet"), TINY["pe-locality"] | {"num_heads": 2})


def tiny(claim: str, **changes) -> Record:
    return measure(claim, resolve(EXPERIMENTS[claim].chapter, {**TINY[claim], **changes}))


@pytest.fixture(scope="module", params=TINY)
def record(request) -> Record:
    return tiny(request.param)


def test_every_statement_of_the_claim_finds_its_metrics(record):
    for statement in CLAIMS[record.claim].statements_at("laptop") if record.claim in CLAIMS else ():
        for name in statement.metrics:
            assert all(value is None or np.isfinite(value) for value in record.values(name))


def test_the_record_survives_the_disk(record, tmp_path):
    assert Record.load(record.save(tmp_path / "record")) == record


def test_provenance_is_complete(record):
    assert record.scale == "laptop" and record.seed == record.parameters["seed"] == 0
    assert record.parameters.keys() == EXPERIMENTS[record.claim].settings.model_fields.keys()
    assert record.wall_seconds > 0 and record.peak_memory_bytes > 0
    assert all((record.device, record.versions["torch"], record.commit, record.source_digest, record.started))


def test_same_seed_same_numbers_in_any_order(record):
    again = tiny(record.claim)
    assert again.metrics == record.metrics
    assert all(np.array_equal(again.arrays[name], record.arrays[name]) for name in record.arrays)


def test_a_run_on_images_tells_its_precision_and_its_data():
    made = tiny("pe-locality", permute=False, precision="32-true")
    assert made.precision == "32-true" and made.notes["classes"] == 10
    assert made.notes.keys() == {"classes", "images_per_second"} and all(
        pace > 0 for pace in made.notes["images_per_second"]
    )
    assert all(0.001 <= p <= 1 for name in ("content", "positional") for p in made.values(f"mantel_p_{name}"))


def test_what_a_run_went_on_from_counts_as_time(monkeypatch):
    from src.experiments import structure

    run = structure.run

    def resumed(settings):
        return replace(run(settings), notes={"resumed_seconds": 3600.0, "sources": ["abc"]})

    monkeypatch.setattr(structure, "run", resumed)
    made = tiny("structure")
    assert 3600 < made.wall_seconds < 4000 and made.notes == {"sources": ["abc"]} and made.precision == ""


def test_too_few_samples_for_both_labels_are_refused_by_their_number():
    with pytest.raises(ValueError, match=r"^num_samples = 2: more inputs, for both labels .* is needed$"):
        tiny("linear-fails", num_samples=2, num_seeds=9)


def test_another_seed_gives_another_draw():
    draws = [tiny("structure", seed=seed).arrays["coefficient"] for seed in (0, 1)]
    assert not np.array_equal(*draws)


def test_the_table_has_every_claim_with_a_function_and_the_chapter_that_shows_it():
    assert CLAIMS.keys() <= EXPERIMENTS.keys()
    for claim, experiment in EXPERIMENTS.items():
        assert callable(import_module(f"src.experiments.{experiment.module}").run)
        assert claim not in CLAIMS or experiment.chapter == CLAIMS[claim].chapter
        assert issubclass(CHAPTERS[experiment.chapter].settings, experiment.settings)
    assert {claim for chapter in CHAPTERS.values() for claim in chapter.measures} <= EXPERIMENTS.keys()


def test_the_strict_association_is_that_of_the_logits_at_the_stop():
    record = tiny("realistic")
    at_stop = list(record.arrays["step"]).index(record.parameters["steps"])
    attention = torch.tensor(record.arrays["attention"][at_stop])  # of the first repetition, patches by set
    partition = Partition.contiguous(12, record.parameters["set_size"])
    strict = patch_association(attention, partition, by_value=True).mean().item()
    assert record.metrics["association_strict_end"][0] == pytest.approx(strict)
    assert all(map(le, record.metrics["association_strict_end"], record.metrics["association_end"]))


def test_the_last_size_of_the_sweep_is_the_run_on_all_samples_and_rows_are_repetitions():
    both, alone = (
        tiny("realistic", sample_sizes=[20, 40]),
        tiny("realistic", sample_sizes=[20, 40], num_seeds=1),
    )
    assert both.arrays["sweep_sizes"].tolist() == [20, 40, 60]
    assert both.arrays["sweep_accuracy"][:, -1] == pytest.approx(both.metrics["accuracy_end"])
    assert both.arrays["sweep_accuracy"][0] == pytest.approx(alone.arrays["sweep_accuracy"][0])
