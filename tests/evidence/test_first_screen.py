"""The landing page's numbers are the records', and what has no record is said to be missing."""

import json
import re
import shutil
from pathlib import Path

import pytest

from src.common.folders import write_sums
from src.evidence.claims import CLAIMS
from src.evidence.first_screen import CARDS, HEADLINES, Axis, first_screen
from src.evidence.records import RESULTS, load_records


def without_arrays(results: Path, claims: set[str]) -> Path:
    """A results folder with the committed records of some claims."""
    for file in RESULTS.glob("*/*/record.json"):
        if file.parent.parent.name in claims:
            folder = results / file.relative_to(RESULTS).parent
            folder.mkdir(parents=True)
            shutil.copy(file, folder)
            write_sums(folder)
    return results


def change(folder: Path, **metrics: list[float]) -> None:
    """Put other values into a record."""
    file = folder / "record.json"
    content = json.loads(file.read_text())
    content["metrics"] |= metrics
    file.write_text(json.dumps(content))
    write_sums(folder)


def row(page: str, claim: str) -> str:
    """The strip's row of a claim."""
    strip = page[page.index('<table class="strip">') :]
    return next(each for each in strip.split("<tr>") if f'#record-{claim}"' in each)


def card(page: str, claim: str) -> str:
    return re.search(rf'<a class="finding[^>]*#record-{claim}">.*?</a>', page).group()


@pytest.fixture
def results(tmp_path) -> Path:
    return without_arrays(tmp_path, {"realistic", "transfer"})


def test_a_changed_record_changes_the_finding_and_the_row(results):
    before = first_screen(load_records(results))
    change(results / "realistic" / "paper", error_end=[0.4, 0.4, 0.4, 0.4, 0.4], association_end=[0.5] * 5)
    after = first_screen(load_records(results))
    assert "<strong>40.0\N{NO-BREAK SPACE}%</strong>" in card(after, "realistic") != card(before, "realistic")
    assert "50.0\N{NO-BREAK SPACE}%" in card(after, "realistic")
    assert "partly, paper scale" in card(after, "realistic")
    assert "97.9 / 50.0 %" in row(after, "realistic") != row(before, "realistic")
    assert row(after, "transfer") == row(before, "transfer")


def test_where_a_record_gives_an_interval_alone_no_end_of_it_is_shown_as_the_value(tmp_path):
    folder = without_arrays(tmp_path, {"samples-needed"}) / "samples-needed" / "laptop-seed=1"
    change(folder, slope_kept_low=[-0.5], slope_kept_high=[0.125])
    shown = row(first_screen(load_records(tmp_path)), "samples-needed")
    assert "-0.5 to 0.125" in shown and "<line" in shown and "<circle" not in shown


def test_an_absent_record_is_said_to_be_missing(results):
    shutil.rmtree(results / "transfer")
    page = first_screen(load_records(results))
    assert "not run" in row(page, "transfer") and "circle" not in row(page, "transfer")
    assert "<strong>not run</strong> transfer at laptop scale" in card(page, "transfer")
    assert re.search(r"Not run yet:</strong>[^;]*at laptop scale[^;]*record-transfer[^;]*>transfer</a>", page)
    assert "circle" in row(page, "realistic")


def test_without_any_record_nothing_is_claimed():
    page = first_screen([])
    assert not re.search("circle|verdict-(reproduced|partly|inconclusive|contradicted)", page)
    assert page.count("<strong>not run</strong>") == len(CARDS)


def test_every_claim_has_a_row_and_a_statement_for_it_at_each_of_its_scales():
    assert HEADLINES.keys() == {key for key, claim in CLAIMS.items() if not claim.beyond}
    for key in HEADLINES:
        for scale in CLAIMS[key].scales:
            assert HEADLINES[key].metric in {each.metric for each in CLAIMS[key].statements_at(scale)}


def test_the_papers_value_lies_where_its_claim_accepts_it():
    for key, headline in HEADLINES.items():
        (low, high), *_ = (each.within for each in CLAIMS[key].statements if each.metric == headline.metric)
        assert headline.paper is None or low <= headline.paper <= high


def test_an_axis_holds_all_values_in_their_order():
    axis = Axis.around([float("-inf"), 0.5, 1.0, 3.0])
    places = [axis.place(value) for value in (float("-inf"), 0.5, 1.0, 3.0, float("inf"))]
    assert places == sorted(places) and places[0] == 0 and places[-1] == 100
    assert 0 < places[1] < places[2] < places[3] < 100
    assert axis.place(1.75) == 50.0
    assert 0 < Axis.around([0.0]).place(0.0) < 100
