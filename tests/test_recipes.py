"""Every recipe runs at a tiny scale, leaves a complete record, and gives the same numbers for the same seed."""

import numpy as np
import pytest

from src.claims import CLAIMS
from src.parameters import resolve
from src.recipes import REGISTRY, synthetic, vision
from src.records import Record

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
    "transfer": {
        "num_seeds": 2,
        "num_patches": 12,
        "patch_dim": 5,
        "num_samples": 60,
        "num_test": 40,
        "steps": 5,
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


def tiny(claim: str) -> Record:
    return REGISTRY[claim](resolve(CLAIMS[claim].chapter, TINY[claim]), claim)


@pytest.fixture(scope="module", params=TINY)
def record(request) -> Record:
    return tiny(request.param)


def test_every_check_of_the_claim_finds_its_metric(record):
    for check in CLAIMS[record.claim].checks:
        assert len(record.values(check.metric)) >= 1
        assert all(np.isfinite(record.values(check.metric)))


def test_the_record_survives_the_disk(record, tmp_path):
    assert Record.load(record.save(tmp_path / "record")) == record


def test_provenance_is_complete(record):
    assert record.scale == "laptop"
    assert record.parameters["seed"] == 0 and record.wall_seconds > 0 and record.peak_memory_bytes > 0
    assert all((record.device, record.versions["torch"], record.commit, record.source_digest, record.started))


def test_same_seed_same_numbers_in_any_order(record):
    again = tiny(record.claim)
    assert again.metrics == record.metrics
    assert all(np.array_equal(again.arrays[name], record.arrays[name]) for name in record.arrays)


def test_another_seed_gives_another_draw():
    changed = REGISTRY["structure"](resolve("01_dataset", {**TINY["structure"], "seed": 1}))
    assert not np.array_equal(changed.arrays["coefficient"], tiny("structure").arrays["coefficient"])


def test_recipes_serve_the_chapters_of_their_claims():
    assert REGISTRY["idealized"] is synthetic.idealized and REGISTRY["pe-locality"] is vision.positional
    for claim, recipe in REGISTRY.items():
        assert recipe.chapter_of[claim] == CLAIMS[claim].chapter
