"""A record that nobody measured, for tests of what is made from records."""

from dataclasses import replace

from src.evidence.records import Record


def record(metrics: dict, **changes) -> Record:
    """Of the claim `idealized` at laptop scale, n = 2, but for the changes."""
    made = Record(
        claim="idealized",
        chapter="02_theory",
        parameters={"seed": 0, "num_seeds": 2},
        seed=0,
        scale="laptop",
        metrics=metrics,
        device="cpu",
        versions={"torch": "2"},
        commit="c",
        source_digest="d",
        started="2026-01-01",
        wall_seconds=1.0,
        peak_memory_bytes=1,
    )
    return replace(made, **changes)
