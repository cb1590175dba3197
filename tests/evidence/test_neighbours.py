"""The page on neighbours: its table shows what records say, its figures draw it."""

import numpy as np
import pytest

from src.evidence import neighbours
from src.evidence.claims import CLAIMS
from src.evidence.figures import neighbours as figures
from src.evidence.records import known, load_records
from src.evidence.verdicts import strongest
from src.experiments.resolve import resolve
from src.workshop.measure import measure

SMALL = {"side": 4, "large_side": 6, "embed_dim": 8, "num_heads": 2, "depth": 1, "steps": 3, "num_seeds": 2}


@pytest.fixture(scope="module")
def record():
    return measure("sequential-encoding", resolve("neighbours", SMALL))


def test_a_row_quotes_the_records_metric_and_says_where_nothing_was_run(record):
    table = neighbours.neighbours_table([record])
    assert record.text("m_u_small_decimal") in table.replace("\N{NO-BREAK SPACE}", " ")
    assert neighbours.neighbours_table([]).count("not run yet") == len(neighbours.NEIGHBOURS)


def test_every_neighbour_has_its_hypothesis_and_the_stored_record_its_metrics():
    records = load_records()
    for each in neighbours.NEIGHBOURS:
        stored = strongest(each.claim, records)
        assert CLAIMS[each.claim].beyond and each.ours and each.published
        assert all(known(stored.values(metric)) for _, metric in each.ours)


def test_every_repetition_is_a_point(record):
    axis = figures.monotonicity_by_arm(record).axes[0]
    drawn = sorted(y for line in axis.lines[:-2] for y in line.get_ydata())
    known = sorted(
        v for grid in ("small", "large") for arm in figures.ARMS for v in record.values(f"m_u_{grid}_{arm}")
    )
    assert np.allclose(drawn, known)


def test_the_maps_are_the_records(record):
    for axis, arm in zip(figures.similarity_maps(record).axes, figures.ARMS, strict=False):
        assert np.array_equal(axis.images[0].get_array(), record.arrays[f"similarity_{arm}"])
