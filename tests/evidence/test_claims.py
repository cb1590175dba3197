from dataclasses import replace

import pytest

from src.evidence import claims, pages
from src.evidence.claims import CLAIMS
from src.evidence.figures.scale import epoch_panels, factor_panels
from src.evidence.records import Record
from src.evidence.verdicts import by_epochs, by_factor, judge, strongest
from src.experiments.table import CHAPTERS


def record(metrics: dict, **changes) -> Record:
    made = Record(
        "realistic",
        "03_synthetic_training",
        {"seed": 0},
        0,
        "laptop",
        metrics,
        "cpu",
        {"torch": "2"},
        "c",
        "d",
        "2026-01-01",
        1.0,
        1,
    )
    return replace(made, **changes)


GOOD = {"association_peak": [1.0, 0.995], "accuracy_end": [0.97, 0.98]}


@pytest.mark.parametrize(
    ("metrics", "word"),
    [
        (GOOD, "reproduced"),
        ({**GOOD, "association_peak": [1.0, 0.98]}, "partly"),
        ({"association_peak": [0.5, 1.0], "accuracy_end": [0.9, 0.99]}, "contradicted"),
    ],
)
def test_the_verdict_follows_from_the_checks(metrics, word):
    assert judge("realistic", [record(metrics)]).word == word


def test_what_was_not_run_is_said_to_be_missing():
    verdict = judge("realistic", [record(GOOD)], "paper")
    assert verdict.word == "not run at this scale" and verdict.values == {}


def test_a_mean_may_hide_what_every_must_not():
    mean = claims.Check("m", ">=", 0.5, "reason")
    assert mean.holds([0.2, 0.9]) and not replace(mean, over="every").holds([0.2, 0.9])
    assert claims.Check("m", "<=", 0.5, "reason").holds([0.5])


def test_records_that_differ_in_their_seed_are_pooled_and_the_largest_group_speaks():
    records = [record(GOOD, parameters={"seed": seed, "d": 8}, seed=seed) for seed in (0, 1)]
    other = record({"association_peak": [0.0], "accuracy_end": [0.0]}, parameters={"seed": 0, "d": 16})
    verdict = judge("realistic", [other, *records])
    assert verdict.word == "reproduced" and len(verdict.values["accuracy_end"]) == 4


def test_the_strongest_evidence_is_the_largest_scale_that_was_run_as_one_record():
    small = [record(GOOD, claim="positional-svhn", parameters={"seed": 0, "num_seeds": 2}) for _ in range(2)]
    small = [
        replace(
            each,
            metrics={key: [0.5, 0.6] for key in ("accuracy_content", "accuracy_positional")}
            | {"accuracy_gap": [0.0, 0.0]},
        )
        for each in small
    ]
    one = strongest("positional-svhn", small)
    assert one.metrics["accuracy_positional"] == [0.5, 0.6, 0.5, 0.6] and one.parameters["num_seeds"] == 4
    paper = replace(small[0], scale="paper", commit="p")
    assert strongest("positional-svhn", [*small, paper]).commit == "p"
    with pytest.raises(ValueError, match=r"no record of transfer is there; `python -m src record transfer`"):
        strongest("transfer", small)


def test_one_factor_at_a_time_leaves_out_what_differs_in_another():
    def run(value: float, **parameters) -> Record:
        base = {"seed": 0, "num_seeds": 1, "depth": 4, "epochs": 12, "permute": True}
        metrics = {"accuracy_content": [value]} | (
            {"loss_content": [0.0]} if "permute" not in parameters else {}
        )
        return record(metrics, claim="positional-cifar10", parameters=base | parameters)

    runs = [
        run(0.5, seed=0),
        run(0.6, seed=1),
        run(0.4, depth=2, permute=False),
        run(0.9, depth=8, epochs=24),
    ]
    found = by_factor("positional-cifar10", runs, "depth")
    assert list(found) == [2, 4]
    assert found[2].metrics["accuracy_content"] == [0.4] and found[4].metrics["accuracy_content"] == [
        0.5,
        0.6,
    ]
    assert by_factor("positional-cifar10", [], "depth") == {}


def test_at_the_papers_scale_the_vanilla_model_has_to_reach_the_public_figure():
    metrics = {"accuracy_content": [0.9], "accuracy_positional": [0.89], "accuracy_gap": [0.01]}
    small = record(metrics, claim="positional-cifar10")
    assert judge("positional-cifar10", [small]).word == "reproduced"
    weak = judge("positional-cifar10", [replace(small, scale="paper")])
    assert weak.word == "partly" and weak.passed[-1] is False and weak.checks[-1].bound == 0.9092


def test_a_live_run_on_validation_images_has_no_verdict():
    metrics = {"accuracy_content": [0.9], "accuracy_positional": [0.89], "accuracy_gap": [0.01]}
    tried = record(metrics, claim="positional-cifar10", parameters={"eval_split": "validation"})
    assert "no verdict, since models were measured on validation images" in pages.verdict_box(tried)


def test_a_record_made_to_choose_settings_counts_for_no_claim():
    metrics = {"accuracy_positional": [0.6], "accuracy_gap": [0.0]}
    made = {"seed": 0, "num_seeds": 1, "eval_split": "test", "learning_rate": 0.001}
    counted = record(metrics, claim="positional-cifar10", chapter="05_cifar", parameters=made)
    tried = replace(
        counted, parameters=counted.parameters | {"eval_split": "validation", "learning_rate": 0.1}
    )
    assert judge("positional-cifar10", [tried]).word == "not run at this scale"
    assert judge("positional-cifar10", [tried, tried, counted]).records == (counted,)
    found = by_factor("positional-cifar10", [counted, tried], "learning_rate", eval_split="validation")
    assert list(found) == [0.1]
    assert 0.1 not in by_factor("positional-cifar10", [counted, tried], "learning_rate")


def test_the_origin_of_stored_figures_names_scale_repetitions_and_setting():
    shown = record({}, claim="positional-svhn", parameters={"num_seeds": 3, "dataset": "svhn", "epochs": 9})
    text = pages.origin(shown)
    assert "positional-svhn, laptop scale, n = 3: svhn, cpu, 2026-01-01, commit c (epochs 9)" in text
    assert "verdict-not-run" in pages.missing("no weights") and "no weights" in pages.missing("no weights")


def test_an_unknown_claim_gets_the_nearest():
    with pytest.raises(ValueError, match=r"claim = 'realstic': .*; the nearest: realistic"):
        judge("realstic", [])


def test_every_claim_has_checks_with_reasons_and_a_chapter():
    assert all(claim.checks and all(check.reason for check in claim.checks) for claim in CLAIMS.values())
    assert {claim.chapter for claim in CLAIMS.values()} <= CHAPTERS.keys()


def test_the_table_has_a_row_for_every_claim_and_shows_what_is_missing():
    table = pages.claims_table([record(GOOD)])
    for key in CLAIMS:
        assert f"<strong>{key}</strong>" in table
    assert "accuracy_end 0.975 ± 0.007 (n = 2); every ≥ 0.96 ✓" in table
    assert table.count("not run at this scale") == sum(len(claim.scales) for claim in CLAIMS.values()) - 1


def test_a_chapters_table_has_its_claims_only_and_links_only_pages_that_are_there():
    table = pages.claims_table([], chapter="05_cifar")
    assert "<strong>permuted</strong>" in table and "<strong>realistic</strong>" not in table
    assert 'id="record-permuted"' in table and 'href="05_cifar.html#record-permuted"' in table
    assert 'href="02_theory.html#verdict-idealized"' in pages.claims_table([])
    assert 'id="verdict-realistic"' in pages.verdict_box(record(GOOD))


def test_the_overview_has_one_verdict_a_claim_and_scale():
    overview = pages.claims_overview([record(GOOD)])
    rows = {key: overview.split(f"#record-{key}")[1].split("</tr>")[0] for key in CLAIMS}
    assert "reproduced" in rows["realistic"] and "not run at this scale" in rows["transfer"]
    for key, row in rows.items():
        assert row.count("<td>") == 3 and row.count("—") == 3 - len(CLAIMS[key].scales)


def test_the_table_names_the_data_of_a_record():
    shown = record({"accuracy_positional": [0.6], "accuracy_gap": [0.01]}, claim="positional-cifar10")
    assert "cifar10, cpu, 2026-01-01" in pages.claims_table(
        [replace(shown, parameters={"seed": 0, "dataset": "cifar10"})]
    )


def test_a_verdict_box_says_what_was_measured():
    box = pages.verdict_box(record(GOOD))
    assert (
        "realistic: reproduced" in box
        and "measured 0.975 ± 0.007 (n = 2)" in box
        and "verdict-reproduced" in box
    )


def test_the_footer_says_where_numbers_come_from():
    foot = pages.footer(record(GOOD))
    assert all(
        text in foot for text in ("commit", "c (source digest d)", "seed = 0", "cpu", "torch 2", "2026-01-01")
    )


def test_the_footer_tells_parameters_apart_in_which_records_differ():
    longer = record(GOOD, claim="idealized", parameters={"seed": 0, "steps": 600})
    foot = pages.footer(record(GOOD, parameters={"seed": 0, "steps": 120}), longer)
    assert "seed = 0, steps = 120 (realistic), 600 (idealized)" in foot


def test_a_record_can_show_another_claim_where_it_holds_its_metrics():
    measured = {check.metric: [check.bound] for check in CLAIMS["pe-locality"].checks}
    shown = record(measured, claim="positional-cifar10")
    assert judge("pe-locality", [shown]).word == "reproduced"
    assert judge("permuted", [shown]).word == "not run at this scale"
    assert "pe-locality: reproduced" in pages.verdict_box(shown, "pe-locality")


def test_the_panels_of_a_factor_are_means_and_spreads_of_its_records():
    def run(*values: float) -> Record:
        names = [
            f"{metric}_{model}" for metric in ("accuracy", "locality") for model in ("content", "positional")
        ]
        return record({name: list(values) for name in names})

    figure = factor_panels({"depth": {2: run(0.4), 4: run(0.5, 0.7)}}, {"depth": "depth [layers]"})
    assert [ax.get_ylabel() for ax in figure.axes] == ["test accuracy [share]", "locality correlation [1]"]
    line, caps, _ = figure.axes[0].containers[0]
    assert line.get_xdata().tolist() == [2, 4] and line.get_ydata().tolist() == pytest.approx([0.4, 0.6])
    assert caps[1].get_ydata()[1] == pytest.approx(0.6 + 0.02**0.5)


def _short(accuracy: float, *, epochs: int, scale: str = "short", **changes) -> Record:
    made = {"seed": 0, "num_seeds": 1, "epochs": epochs, "learning_rate": 0.001, "add_encoding": False}
    metrics = {"accuracy_content": [accuracy], "accuracy_positional": [0.5], "accuracy_gap": [accuracy - 0.5]}
    return record(metrics, claim="positional-cifar10", scale=scale, parameters=made | changes)


def test_by_epochs_takes_the_setting_with_most_repetitions_and_no_variant():
    runs = [
        _short(0.7, epochs=30),
        _short(0.1, epochs=15, learning_rate=0.1),
        _short(0.5, epochs=15),
        _short(0.6, epochs=15, seed=1),
        _short(0.2, epochs=60, add_encoding=True),
        _short(0.2, epochs=60, eval_split="validation"),
        _short(0.2, epochs=60, scale="laptop"),
    ]
    found = by_epochs("positional-cifar10", runs)
    assert list(found) == [15, 30]
    assert found[15].metrics["accuracy_content"] == [0.5, 0.6]
    assert by_epochs("positional-cifar100", runs) == {}


def test_the_panels_of_epochs_draw_both_models_and_their_difference():
    by_value = by_epochs("positional-cifar10", [_short(0.7, epochs=30), _short(0.6, epochs=15)])
    above, below = epoch_panels({"positional-cifar10": by_value}).axes
    assert above.get_title() == "cifar10" and below.get_ylabel() == "content minus positional [share]"
    content, positional = above.containers
    assert content[0].get_xdata().tolist() == [15, 30]
    assert content[0].get_ydata().tolist() == pytest.approx([0.6, 0.7])
    assert positional[0].get_ydata().tolist() == pytest.approx([0.5, 0.5])
    assert below.containers[0][0].get_ydata().tolist() == pytest.approx([0.1, 0.2])
