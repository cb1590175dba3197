"""The rules, the words that follow from them, and the pages that show them."""

import re
from dataclasses import replace
from datetime import date
from math import inf
from statistics import quantiles

import numpy as np
import pytest

from src.evidence import pages, sentences
from src.evidence.claims import CLAIMS
from src.evidence.figures.scale import epoch_panels, factor_panels
from src.evidence.paper_figures import paper_figure
from src.evidence.records import Record
from src.evidence.statements import CLASSES, LAPTOP_SCALE, Claim, Statement
from src.evidence.verdicts import Finding, by_epochs, by_factor, judge, strongest, t_interval
from src.experiments.table import CHAPTERS
from tests.records import record

PAPERS = {key: claim.scales for key, claim in CLAIMS.items() if not claim.beyond}


def on_images(
    key: str, dataset: str, metrics: dict, *, seed: int = 0, scale: str = "laptop", **notes
) -> Record:
    number = max(map(len, metrics.values()))
    parameters = {"seed": seed, "num_seeds": number, "dataset": dataset, "eval_split": "test"}
    parameters["add_encoding"] = False
    return record(metrics, claim=key, parameters=parameters, seed=seed, scale=scale, notes=notes)


GOOD = {"gap_end": [6.9, 6.7], "accuracy_end": [0.995, 0.997]}
SIMILAR = {"accuracy_gap": [0.001, -0.001, 0.0], "accuracy_positional": [0.6, 0.61, 0.6]}


def finding(values, within=(0.0, 1.0), over="mean", confidence=0.95) -> str:
    """The word for one metric of one record."""
    names = ("m_low", "m_high") if over == "interval" else ("m",)
    metrics = dict(zip(names, values if over == "interval" else [values], strict=True))
    statement = Statement("m", within, "{}", "reason", "2026-01-01", over, confidence=confidence)
    claim = Claim("planted", "words", "S", "02_theory", "value", (statement,), LAPTOP_SCALE)
    return one_verdict(claim, record(metrics, claim="planted")).findings[0].word


def one_verdict(claim: Claim, *records: Record):
    CLAIMS["planted"] = claim
    try:
        return judge("planted", records)
    finally:
        del CLAIMS["planted"]


def out_of_bounds(claim: Claim, statement: Statement, scale: str) -> Record:
    """A record of two repetitions in which a statement does not hold, and the opposite test, if it has one, does."""
    low, high = statement.within
    metrics = {name: [0.0, 0.0] for each in claim.statements_at(scale) for name in each.metrics}
    metrics |= {name: [low - 1 if low > -inf else high + 1] * 2 for name in statement.metrics}
    if statement.opposite:
        metrics[statement.opposite] = [low if low > -inf else high] * 2
    dataset = claim.data.get(scale, ("",))[0]
    parameters = {"seed": 0, "num_seeds": 2, **claim.needs} | ({"dataset": dataset} if dataset else {})
    notes = {"classes": CLASSES[dataset]} if dataset else {}
    return record(metrics, claim=claim.key, parameters=parameters, scale=scale, notes=notes)


class TestStatements:
    @pytest.mark.parametrize(
        ("values", "word"),
        [
            ([0.5, 0.6], "inconclusive"),  # t = 12.7 at one degree of freedom: -0.09 to 1.19
            ([0.5, 0.51, 0.52], "holds"),
            ([1.5, 1.51, 1.52], "contradicted"),
            ([0.99, 1.0, 1.01], "inconclusive"),
            ([0.5], "inconclusive"),
            ([1.5], "inconclusive"),
            ([0.5, 0.5], "holds"),  # no spread: the interval is a point
        ],
    )
    def test_the_interval_of_the_mean(self, values, word):
        assert finding(values) == word

    @pytest.mark.parametrize(
        ("values", "word"),
        [([0.5], "holds"), ([1.5], "contradicted"), ([0.2, 0.9], "holds"), ([0.5, 1.5], "inconclusive")],
    )
    def test_every_repetition(self, values, word):
        assert finding(values, over="every") == word

    @pytest.mark.parametrize(
        ("ends", "within", "word"),
        [
            (([0.2], [0.8]), (0.0, 1.0), "holds"),
            (([0.2], [1.2]), (0.0, 1.0), "inconclusive"),
            (([1.1], [1.2]), (0.0, 1.0), "contradicted"),
            (([0.6], [None]), (0.5, inf), "holds"),
            (([None], [0.6]), (0.5, inf), "inconclusive"),
            (([0.0], [0.0]), (0.0, 0.0), "holds"),
        ],
    )
    def test_an_interval_that_the_record_gives_where_no_value_is_an_open_end(self, ends, within, word):
        assert finding(ends, within, "interval") == word

    def test_no_value_is_left_out_of_a_mean_and_hides_every(self):
        assert finding([0.5, None, 0.51, 0.5]) == "holds"
        assert finding([None, None]) == "inconclusive"
        assert finding([0.5, None], over="every") == "inconclusive"

    @pytest.mark.parametrize(
        ("opposite", "other", "word"),
        [
            (None, [0.5], "contradicted"),
            ("q", [0.001], "contradicted"),
            ("q", [0.5], "inconclusive"),
            ("", [], "inconclusive"),
        ],
    )
    def test_a_large_p_value_is_evidence_where_the_opposite_test_has_a_small_one(self, opposite, other, word):
        rule = ("m", (-inf, 0.01), "p = {}", "reason", "2026-01-01", "every")
        claim = Claim(
            "planted", "words", "S", "02_theory", "", (Statement(*rule, opposite=opposite),), LAPTOP_SCALE
        )
        verdict = one_verdict(claim, record({"m": [0.4], "q": other or [1.0]}, claim="planted"))
        assert verdict.findings[0].word == word
        told = "neither shown nor refuted" in sentences.found(verdict.findings[0])
        assert told == (word == "inconclusive")

    def test_bounds_themselves_are_inside(self):
        assert finding([1.0, 0.0], over="every") == "holds"

    def test_the_t_interval_is_the_textbooks(self):
        # n = 4, mean 5, s = 2: t(0.975, 3) = 3.182, t(0.95, 3) = 2.353
        values = [5 - 3**0.5, 5 - 3**0.5, 5 + 3**0.5, 5 + 3**0.5]
        assert t_interval(values, 0.95) == pytest.approx((5 - 3.182, 5 + 3.182), abs=1e-3)
        assert t_interval(values, 0.90) == pytest.approx((5 - 2.353, 5 + 2.353), abs=1e-3)


class TestWords:
    @pytest.mark.parametrize(
        ("metrics", "word"),
        [
            (GOOD, "reproduced"),
            ({**GOOD, "gap_end": [1.0, 2.0]}, "partly"),
            ({**GOOD, "gap_end": [2.0, 4.0]}, "inconclusive"),
            ({"gap_end": [1.0, 2.0], "accuracy_end": [0.5, 0.6]}, "contradicted"),
            ({"gap_end": [2.0, 4.0], "accuracy_end": [0.5, 0.6]}, "contradicted"),
            ({"gap_end": [2.0, 4.0], "accuracy_end": [0.98, 1.0]}, "inconclusive"),
        ],
    )
    def test_the_word_follows_from_the_statements(self, metrics, word):
        assert judge("idealized", [record(metrics)]).word == word

    @pytest.mark.parametrize(
        ("role", "value", "word"),
        [
            ("part", 2.0, "partly"),
            ("check", 2.0, "inconclusive"),
            ("check", 0.5, "reproduced"),
            ("aside", 2.0, "reproduced"),
        ],
    )
    def test_a_check_can_only_silence_and_an_aside_counts_for_nothing(self, role, value, word):
        rule = ("words {}", "reason", "2026-01-01", "every")
        statements = (Statement("m", (0.0, 1.0), *rule), Statement("n", (0.0, 1.0), *rule, role=role))
        claim = Claim("planted", "words", "S", "02_theory", "", statements, LAPTOP_SCALE)
        verdict = one_verdict(claim, record({"m": [0.5], "n": [value]}, claim="planted"))
        assert verdict.word == word and len(verdict.findings) == 2

    def test_what_was_not_run_is_said_to_be_missing(self):
        verdict = judge("idealized", [record(GOOD)], "paper")
        assert verdict.word == "not run at this scale" and verdict.findings == ()

    @pytest.mark.parametrize("key", CLAIMS)
    def test_a_claim_can_be_lost_or_left_open_at_every_scale_where_it_is_asked(self, key):
        """Out of bounds each statement is contradicted; a p-value without an opposite test is left open."""
        claim = CLAIMS[key]
        for scale in claim.scales:
            assert claim.statements_at(scale)
            for each in claim.statements_at(scale):
                found = judge(key, [out_of_bounds(claim, each, scale)]).findings
                word = "inconclusive" if each.opposite == "" else "contradicted"
                assert [one.word for one in found if one.statement == each] == [word]


class TestEvidence:
    def test_records_that_differ_in_their_seed_are_pooled_and_the_largest_group_speaks(self):
        records = [record(GOOD, parameters={"seed": s, "num_seeds": 2, "d": 8}, seed=s) for s in (0, 1)]
        other = record({"gap_end": [0.0], "accuracy_end": [0.0]}, parameters={"seed": 0, "d": 16})
        verdict = judge("idealized", [other, *records])
        assert verdict.word == "reproduced" and verdict.findings[0].repetitions == 4

    def test_a_record_of_many_repetitions_outweighs_two_of_one(self):
        many = record(
            {"gap_end": [5.0] * 3, "accuracy_end": [1.0] * 3}, parameters={"seed": 0, "num_seeds": 3}
        )
        few = [record({"gap_end": [0.0], "accuracy_end": [0.0]}, parameters={"d": 4}, seed=s) for s in (0, 1)]
        assert judge("idealized", [*few, many]).records == (many,)

    def test_of_two_settings_with_as_many_repetitions_the_longer_training_speaks(self):
        short, long = [
            record(GOOD, parameters={"seed": 0, "num_seeds": 2, "epochs": epochs}) for epochs in (1, 5)
        ]
        assert (
            judge("idealized", [short, long]).records == judge("idealized", [long, short]).records == (long,)
        )

    def test_a_run_without_what_the_words_take_for_granted_is_no_evidence(self):
        claim, other = CLAIMS["structure-given"], {"share": 0.25, "train_limit": 0, "dataset": "cifar10"}
        run = record({}, claim="structure-given", parameters=other)
        assert claim.why_not(run) == "the claim's words need share = 0.1, and this run has 0.25"
        assert "need" not in claim.why_not(replace(run, parameters=other | {"share": 0.1}))

    def test_a_repetition_counts_once(self):
        one = record(GOOD, parameters={"seed": 3, "num_seeds": 1}, seed=3)
        three = record(GOOD, parameters={"seed": 3, "num_seeds": 3}, seed=3)
        with pytest.raises(
            ValueError, match=r"repetition 0 of seed 3 is in two records, .*num_seeds = 1.*num_seeds = 3"
        ):
            judge("idealized", [one, three])

    @pytest.mark.parametrize("bad", [[inf, 1.0], [float("nan")], []])
    def test_what_is_no_number_is_never_judged(self, bad):
        with pytest.raises(ValueError, match=r"the metric gap_end = .*: a list of finite numbers"):
            judge("idealized", [record({**GOOD, "gap_end": bad})])

    def test_the_strongest_evidence_is_the_largest_scale_that_was_run_as_one_record(self):
        small = [on_images("positional-svhn", "svhn-1083", SIMILAR, seed=seed) for seed in (0, 1)]
        one = strongest("positional-svhn", small)
        assert one.metrics["accuracy_positional"] == [0.6, 0.61, 0.6] * 2 and one.parameters["num_seeds"] == 6
        short = replace(small[0], scale="short", commit="s")
        assert strongest("positional-svhn", [*small, short]).commit == "s"
        alone = replace(short, metrics={name: values[:1] for name, values in short.metrics.items()})
        alone = replace(alone, parameters=alone.parameters | {"num_seeds": 1})
        # one repetition is too few
        assert strongest("positional-svhn", [*small, alone]).metrics == one.metrics
        with pytest.raises(
            ValueError, match=r"no record of transfer is there; `python -m src record transfer`"
        ):
            strongest("transfer", small)

    def test_one_factor_at_a_time_leaves_out_what_differs_in_another(self):
        def run(value: float, **parameters) -> Record:
            base = {"seed": 0, "num_seeds": 1, "depth": 4, "epochs": 12, "permute": True}
            metrics = {"accuracy_content": [value]}
            changed = base | parameters
            return record(metrics, claim="positional-cifar10", parameters=changed, seed=changed["seed"])

        runs = [
            run(0.5, seed=0),
            run(0.6, seed=1),
            run(0.4, depth=2, permute=False),
            run(0.9, depth=8, epochs=24),
        ]
        found = by_factor("positional-cifar10", runs, "depth")
        assert list(found) == [2, 4]
        assert found[2].metrics["accuracy_content"] == [0.4]
        assert found[4].metrics["accuracy_content"] == [0.5, 0.6]
        assert by_factor("positional-cifar10", [], "depth") == {}

    def test_a_variant_and_a_record_made_to_choose_settings_count_for_no_claim(self):
        counted = on_images("positional-cifar10", "cifar10", SIMILAR)
        for name, value in (("eval_split", "validation"), ("add_encoding", True)):
            other = replace(counted, parameters=counted.parameters | {name: value, "depth": 9})
            assert judge("positional-cifar10", [other]).word == "not run at this scale"
            assert judge("positional-cifar10", [other, counted]).records == (counted,)
            assert list(by_factor("positional-cifar10", [other], name)) == [value]

    def test_an_unknown_claim_gets_the_nearest(self):
        with pytest.raises(ValueError, match=r"claim = 'realstic': .*; the nearest: realistic"):
            judge("realstic", [])

    def test_a_record_can_show_another_claim_where_it_holds_its_metrics(self):
        shown = on_images("positional-imagenet", "tiny-imagenet-50", local(0.5))
        assert judge("pe-locality", [shown]).word == "reproduced"
        assert judge("permuted", [shown]).word == "not run at this scale"
        assert "pe-locality: reproduced" in pages.verdict_box(shown, "pe-locality")


def local(correlation: float, p_value: float = 0.001, repetitions: int = 3) -> dict[str, list[float]]:
    values = {"locality_before": 0.01, "locality": correlation, "mantel_p": p_value}
    return {
        f"{name}_{kind}": [value] * repetitions
        for kind in ("content", "positional")
        for name, value in values.items()
    }


class TestData:
    """No verdict on stand-in data."""

    @pytest.mark.parametrize(
        ("dataset", "scale", "notes"),
        [
            ("digits", "laptop", {"classes": 10}),
            ("circles", "laptop", {"classes": 3}),
            ("imagefolder", "laptop", {"classes": 3}),
            (
                "imagefolder",
                "paper",
                {"classes": 3},
            ),  # three classes of circles in a folder, trained as ImageNet is
            ("tiny-imagenet-50", "laptop", {"classes": 3}),  # and under the other data set's name
            ("imagefolder", "paper", {}),  # a folder of which nothing is known
            ("tiny-imagenet-50", "paper", {"classes": 50}),
            ("cifar10", "laptop", {}),
        ],
    )
    def test_a_stand_in_gets_one_neutral_line(self, dataset, scale, notes):
        perfect = {
            "accuracy_gap": [0.03],
            "accuracy_positional": [0.69],
            "accuracy_content": [0.72],
            **local(0.9, repetitions=1),
        }
        planted = on_images("positional-imagenet", dataset, perfect, scale=scale, **notes)
        assert judge("positional-imagenet", [planted], scale).word == "not run at this scale"
        box = pages.verdict_box(planted)
        assert box.count("<p>") == 1 and "<ul>" not in box and "no verdict, since" in box and dataset in box
        assert not any(
            f"verdict-{word}" in box for word in ("reproduced", "partly", "inconclusive", "contradicted")
        )

    def test_the_claims_own_data_get_a_verdict(self):
        perfect = {"accuracy_gap": [0.03], "accuracy_positional": [0.69], "accuracy_content": [0.72]}
        planted = on_images("positional-imagenet", "imagefolder", perfect, scale="paper", classes=1000)
        assert judge("positional-imagenet", [planted]).word == "reproduced"
        assert "verdict-reproduced" in pages.verdict_box(planted)

    def test_locality_is_judged_on_each_data_set_and_not_without_images_like_imagenets(self):
        def run(dataset: str, **planted) -> Record:
            return on_images("pe-locality", dataset, local(**planted))

        imagenet, svhn = (
            run("tiny-imagenet-50", correlation=0.5),
            run("svhn-1083", correlation=0.1, p_value=0.2),
        )
        assert judge("pe-locality", [svhn]).word == "not run at this scale"
        box = pages.verdict_box(svhn)
        assert (
            "no verdict, since it needs the images of tiny-imagenet-50 as well." in box and "<ul>" not in box
        )
        both = judge("pe-locality", [svhn, imagenet])
        assert both.word == "partly" and len(both.findings) == 10 and len(both.parts) == 8
        assert {f.dataset for f in both.findings if f.word == "contradicted"} == {"svhn-1083"}
        assert "svhn-1083: ✗\N{NO-BREAK SPACE}After training they correlate by 0.1" in pages.claims_table(
            [svhn, imagenet]
        )

    def test_every_claim_on_images_names_known_data_at_every_scale(self):
        for claim in CLAIMS.values():
            named = {name for names in claim.data.values() for name in names}
            assert named <= CLASSES.keys()
            assert not claim.data or claim.data.keys() == set(claim.scales)

    def test_a_run_on_validation_images_says_why_it_has_no_verdict(self):
        tried = on_images("positional-cifar10", "cifar10", SIMILAR)
        tried = replace(tried, parameters=tried.parameters | {"eval_split": "validation"})
        assert "no verdict, since models were measured on validation images." in pages.verdict_box(tried)
        assert "the run did not measure locality_before_content and 4 more" in pages.verdict_box(
            on_images("positional-cifar10", "cifar10", SIMILAR), "pe-locality"
        )


BOXES = {key: tuple(paper_figure("7")[key].values()) for key in ("cifar10", "cifar100", "svhn")}


def ten_values(box: list[float]) -> list[float]:
    """Ten values, ascending, whose box is about the given one: its five numbers (%), joined by straight lines."""
    return (np.interp(np.linspace(0, 1, 10), np.linspace(0, 1, 5), box) / 100).tolist()


def papers_own(key: str, shift: float = 0.0) -> Record:
    """A record with the paper's ten seeds, as far as its figure tells them; `shift` is added to the positional model.

    Which content value belongs to which positional one is not printed: they are paired by rank, the pairing under which
    the differences spread least.
    """
    content, positional = map(ten_values, BOXES[key])
    positional = [value + shift for value in positional]
    gap = [one - other for one, other in zip(content, positional, strict=True)]
    metrics = {"accuracy_content": content, "accuracy_positional": positional, "accuracy_gap": gap}
    return on_images(f"positional-{key}", key, metrics, scale="paper")


class TestSimilarity:
    @pytest.mark.parametrize("key", BOXES)
    def test_the_papers_own_figure_passes(self, key):
        verdict = judge(f"positional-{key}", [papers_own(key)])
        assert verdict.word == "reproduced" and len(verdict.findings) == 3

    @pytest.mark.parametrize("key", BOXES)
    def test_ten_values_have_the_box_that_they_were_drawn_from(self, key):
        for box in BOXES[key]:
            values = [100 * value for value in ten_values(box)]
            assert (values[0], values[-1]) == pytest.approx((box[0], box[4]))
            assert quantiles(values, n=4, method="inclusive") == pytest.approx(box[1:4], abs=0.1)

    def test_the_papers_imagenet_passes_with_its_one_run(self):
        metrics = {
            "accuracy_content": [0.719],
            "accuracy_positional": [0.689],
            "accuracy_gap": [0.719 - 0.689],
        }
        figure = on_images("positional-imagenet", "imagefolder", metrics, scale="paper", classes=1000)
        assert judge("positional-imagenet", [figure]).word == "reproduced"
        equal = replace(figure, metrics=metrics | {"accuracy_gap": [0.0]})
        assert judge("positional-imagenet", [equal]).word == "partly"

    @pytest.mark.parametrize(
        ("key", "shift", "word"),
        [
            ("cifar10", -0.02, "contradicted"),
            ("cifar10", 0.02, "contradicted"),
            ("cifar100", 0.02, "contradicted"),
            ("svhn", -0.02, "contradicted"),
            ("svhn", 0.02, "contradicted"),
            ("svhn", 0.009, "holds"),
        ],
    )
    def test_a_gap_outside_the_bounds_is_no_similarity(self, key, shift, word):
        gap = judge(f"positional-{key}", [papers_own(key, shift)]).findings[0]
        assert gap.statement.metric == "accuracy_gap" and gap.word == word

    def test_a_clear_lead_of_the_positional_model_is_no_similarity_either(self):
        ahead = SIMILAR | {"accuracy_gap": [-0.034, -0.039, -0.030]}
        assert (
            judge("positional-cifar10", [on_images("positional-cifar10", "cifar10", ahead)]).word
            == "contradicted"  # the check that both have learned something does not count for the claim
        )

    def test_seeds_that_disagree_say_nothing(self):
        wide = SIMILAR | {"accuracy_gap": [-0.03, 0.03, 0.0]}
        assert (
            judge("positional-cifar10", [on_images("positional-cifar10", "cifar10", wide)]).word
            == "inconclusive"
        )

    def test_two_models_that_learned_nothing_are_not_similar(self):
        chance = SIMILAR | {"accuracy_positional": [0.1, 0.1, 0.1]}
        assert (
            judge("positional-cifar10", [on_images("positional-cifar10", "cifar10", chance)]).word
            == "inconclusive"
        )

    def test_where_a_check_fails_nothing_is_said_against_the_claim_either(self):
        nothing = SIMILAR | {"accuracy_gap": [-0.3, -0.31, -0.32], "accuracy_positional": [0.1, 0.1, 0.1]}
        verdict = judge("positional-cifar10", [on_images("positional-cifar10", "cifar10", nothing)])
        assert [finding.word for finding in verdict.parts] == ["contradicted"]
        assert verdict.word == "inconclusive"
        box = pages.verdict_box(verdict.records[0])
        assert box.count("a check, no part of the claim") == 1


class TestPages:
    def test_a_box_says_in_plain_words_what_was_measured_and_needed(self):
        box = pages.verdict_box(record(GOOD))
        assert (
            "idealized: reproduced" in box and "verdict-reproduced" in box and 'id="verdict-idealized"' in box
        )
        assert "(the live run, n = 2, laptop scale)" in box
        words = (
            "✓ Attention inside a set beats attention outside by 6.8 logits; at least 3 logits were needed"
        )
        plain = box.replace("\N{NO-BREAK SPACE}", " ")
        assert f"{words} every time. <small>gap_end, 6.7 to 6.9 logits, n = 2; " in plain

    @pytest.mark.parametrize(
        ("metrics", "words"),
        [
            (
                {"accuracy_gap": [-0.034, -0.039, -0.03]},
                "✗\N{NO-BREAK SPACE}Vanilla minus positional accuracy is -3.4 points;",
            ),
            (
                {"accuracy_gap": [-0.034, -0.039, -0.03]},
                "between -1 and 1 points were needed. <small>accuracy_gap, 90\N{NO-BREAK SPACE}%",
            ),
            (
                {"accuracy_gap": [-0.03, 0.03, 0.0]},
                "?\N{NO-BREAK SPACE}Vanilla minus positional accuracy is +0.0 points;",
            ),
            ({"accuracy_gap": [-0.03, 0.03, 0.0]}, "points were needed: too uncertain to say."),
            (
                {"accuracy_gap": [0.0], "accuracy_positional": [0.6]},
                "points were needed: one repetition cannot say.",
            ),
        ],
    )
    def test_a_box_says_what_failed_and_what_cannot_be_said(self, metrics, words):
        assert words in pages.verdict_box(on_images("positional-cifar10", "cifar10", SIMILAR | metrics))

    def test_every_word_has_its_own_box(self):
        for word, gaps in (("inconclusive", [2.0, 4.0]), ("partly", [1.0, 2.0])):
            assert f"verdict-{word}" in pages.verdict_box(record({**GOOD, "gap_end": gaps}))
        assert ": the repetitions disagree" in pages.verdict_box(record({**GOOD, "gap_end": [2.0, 4.0]}))

    @pytest.mark.parametrize("values", [(), (None, None)])
    def test_where_no_repetition_has_a_value_the_sentence_says_so(self, values):
        statement = Statement("m", (0.5, 1.0), "It is {}", "reason", "2026-01-01", "every", "%")
        shown = Finding(statement, "", values, None, len(values), "2026-01-01")
        words = "?\N{NO-BREAK SPACE}It is —; between 50 and 100 % was needed every time: no repetition gives a value."
        assert sentences.found(shown).replace("50\N{NO-BREAK SPACE}%", "50 %") == words.replace(
            "100 %", "100\N{NO-BREAK SPACE}%"
        )

    def test_every_statement_can_be_put_in_words(self):
        for claim in CLAIMS.values():
            assert claim.chapter in CHAPTERS
            for each in claim.statements:
                assert each.words.count("{}") == 1 and each.reason
                assert date.fromisoformat(each.since)
                assert each.within[0] <= each.within[1]
                (one,) = planted_verdict(claim, each).findings
                mark = "✓" if one.statement.role == "part" else "(✓)"
                assert sentences.found(one).startswith(f"{mark}\N{NO-BREAK SPACE}")
                assert " needed" in sentences.found(one)
                assert each.metric in sentences.behind(one) and each.since in sentences.behind(one)

    @pytest.mark.parametrize(
        ("errors", "words"),
        [
            ([0.066, 0.077, 0.071], "95 % interval of the mean 5.8 to 8.5 %, n = 3"),
            ([0.01, 0.02, 0.03], "95 % interval of the mean up to 4.5 %, n = 3"),
            ([0.97, 0.98, 0.99], "95 % interval of the mean from 95.5 %, n = 3"),
            ([0.2, 0.5, 0.8], "95 % interval of the mean as wide as 0 to 100 %, n = 3"),
            (
                [-0.01, 0.0, 0.01],
                "95 % interval of the mean -2.5 to 2.5 %, n = 3",
            ),  # no share: it can lie below 0
            ([0.2, 0.8], "m, n = 2; reason"),  # of two values it is too wide to be worth its room
        ],
    )
    def test_an_interval_of_shares_has_no_end_that_no_share_can_have(self, errors, words):
        statement = Statement("m", (0.0, 1.0), "{}", "reason", "2026-01-01", unit="%")
        shown = Finding(statement, "", tuple(errors), t_interval(errors, 0.95), 2, "2026-01-01")
        assert words in sentences.behind(shown).replace("\N{NO-BREAK SPACE}", " ")

    def test_no_line_breaks_before_a_percent_sign_or_behind_a_mark(self):
        kept = sentences.unbroken("✓ It is 5 %, in 3 steps, n = 12")
        assert kept.split(" ") == ["✓\xa0It", "is", "5\xa0%,", "in", "3", "steps,", "n\xa0=\xa012"]

    def test_a_scale_that_was_not_run_folds_what_another_scale_of_the_claim_shows(self):
        def folded(table: str) -> list[str]:
            rows = table.split('id="record-pe-locality"')[1].split("</tbody>")[0].split("<tr>")[1:]
            return ["".join(re.findall("<summary>(.*?)</summary>", each)) for each in rows]

        assert folded(pages.claims_table([])) == ["", "asked as at laptop scale", "asked as at laptop scale"]
        shown = on_images("positional-imagenet", "tiny-imagenet-50", local(0.5), scale="short", classes=50)
        short = "asked as at short scale"
        assert folded(pages.claims_table([shown])) == [short, "", short]

    def test_the_table_says_one_thread_and_what_the_letters_mean(self):
        table = pages.claims_table([record(GOOD, device="a device, 1 threads")])
        assert "a device, 1 thread, 2026" in table
        assert '<abbr title="S: seen in a reproduction of the paper">S</abbr>' in table
        assert "this chapter</a>" in pages.claims_table([], "08_locality") and "this chapter" not in table

    def test_a_rule_that_is_younger_than_the_record_is_said_to_be(self):
        assert "rule of 2026-11-21, after the record was made" in pages.verdict_box(record(GOOD))
        later = pages.verdict_box(record(GOOD, started="2026-12-01T00:00:00+00:00"))
        assert "rule of 2026-11-21" in later and "after the record" not in later

    def test_the_table_has_a_row_for_every_claim_and_shows_what_is_missing(self):
        table = pages.claims_table([record(GOOD)])
        assert all(f"<strong>{key}</strong>" in table for key in PAPERS)
        assert "Test accuracy is 99.6 % at the end; at least 99 % was needed every time." in table.replace(
            "\N{NO-BREAK SPACE}", " "
        )
        assert "— Patch association is … at the last step; at least 99 % was needed" in table.replace(
            "\N{NO-BREAK SPACE}", " "
        )
        assert "association_end; rule of 2026-11-24" in table
        assert table.count("not run at this scale") == sum(map(len, PAPERS.values())) - 1

    def test_what_lies_beyond_the_paper_stands_apart(self):
        """In both tables, and without a word on what the paper says of it."""
        for table in (pages.claims_table, pages.claims_overview):
            papers, own = table([]), table([], beyond=True)
            for key, claim in CLAIMS.items():
                assert (f'{key}"' in own, f'{key}"' in papers) == (claim.beyond, not claim.beyond)
        own = pages.claims_table([], beyond=True)
        assert "Beyond the paper: " in own and "The paper: " not in own and "[own]" not in own

    def test_a_chapters_table_has_its_claims_only_and_links_only_pages_that_are_there(self):
        table = pages.claims_table([], chapter="08_locality")
        assert "<strong>permuted</strong>" in table and "<strong>realistic</strong>" not in table
        assert 'id="record-permuted"' in table and 'href="08_locality.html#record-permuted"' in table
        assert 'href="01_dataset.html#verdict-structure"' in pages.claims_table([])

    def test_a_chapter_starts_with_the_verdicts_of_its_claims_at_the_scales_that_were_run(self):
        line = re.sub("<[^>]+>", "", pages.verdicts_line([record(GOOD)], "02_theory"))
        assert "; idealized reproduced at laptop scale; events not run at this scale." in line
        assert line.startswith("What was found: linear-fails not run at this scale;")
        asked = [name for each in CLAIMS["realistic"].statements_at("paper") for name in each.metrics]
        paper = record({name: [0.0, 0.0] for name in asked}, claim="realistic", scale="paper")
        line = re.sub("<[^>]+>", "", pages.verdicts_line([paper], "03_synthetic_training"))
        assert "at paper scale" in line and "not run" not in line and "laptop" not in line

    def test_the_overview_has_one_verdict_a_claim_and_scale(self):
        overview = pages.claims_overview([record(GOOD)])
        rows = {key: overview.split(f"#record-{key}")[1].split("</tr>")[0] for key in PAPERS}
        assert "reproduced" in rows["idealized"] and ">not run<" in rows["transfer"]
        for key, row in rows.items():
            assert row.count("<td>") == 3 and row.count("—") == 3 - len(PAPERS[key])

    def test_the_table_names_the_data_of_a_record(self):
        shown = on_images("positional-cifar10", "cifar10", SIMILAR)
        assert "cifar10, cpu, 2026-01-01" in pages.claims_table([shown])

    def test_the_origin_of_stored_figures_names_scale_repetitions_and_setting(self):
        shown = record(
            {}, claim="positional-svhn", parameters={"num_seeds": 3, "dataset": "svhn", "epochs": 9}
        )
        text = pages.origin(shown)
        assert "positional-svhn, laptop scale, n = 3: svhn, cpu, 2026-01-01, commit c (epochs 9)" in text
        assert "verdict-not-run" in pages.missing("no weights") and "no weights" in pages.missing(
            "no weights"
        )

    def test_the_footer_says_where_numbers_come_from(self):
        foot = pages.footer(record(GOOD, precision="bf16-mixed"))
        wanted = ("commit", "c (source digest d)", "seed = 0", "cpu, bf16-mixed", "torch 2", "2026-01-01")
        assert all(text in foot for text in wanted)

    def test_the_footer_tells_parameters_apart_in_which_records_differ(self):
        longer = record(GOOD, claim="realistic", parameters={"seed": 0, "steps": 600})
        foot = pages.footer(record(GOOD, parameters={"seed": 0, "steps": 120}), longer)
        assert "seed = 0, steps = 120 (idealized), 600 (realistic)" in foot


def planted_verdict(claim: Claim, statement: Statement):
    """The verdict of a claim that is this statement alone, on two repetitions that lie on a bound."""
    bound = next(bound for bound in statement.within if abs(bound) < inf)
    metrics = {name: [bound] * 2 for name in statement.metrics}
    alone = replace(
        claim,
        key="planted",
        statements=(replace(statement, scales=LAPTOP_SCALE),),
        data={},
        scales=LAPTOP_SCALE,
    )
    return one_verdict(alone, record(metrics, claim="planted"))


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
    made = {"seed": 0, "num_seeds": 1, "epochs": epochs, "learning_rate": 0.0005, "add_encoding": False}
    made |= {"dataset": "cifar10"}
    metrics = {"accuracy_content": [accuracy], "accuracy_positional": [0.5], "accuracy_gap": [accuracy - 0.5]}
    metrics |= {"locality_content": [0.3], "locality_positional": [0.4]}
    parameters = made | changes
    return record(
        metrics, claim="positional-cifar10", scale=scale, seed=parameters["seed"], parameters=parameters
    )


def test_by_epochs_keeps_rates_apart_and_takes_the_setting_with_most_repetitions_and_no_variant():
    runs = [
        _short(0.1, epochs=15, learning_rate=0.00025),
        _short(0.2, epochs=60, learning_rate=0.00025),
        _short(0.7, epochs=30),
        _short(0.1, epochs=15, batch_size=64),
        _short(0.5, epochs=15),
        _short(0.6, epochs=15, seed=1),
        _short(0.2, epochs=60, add_encoding=True),
        _short(0.2, epochs=60, eval_split="validation"),
        _short(0.2, epochs=60, scale="laptop"),
    ]
    found = by_epochs("positional-cifar10", runs)
    assert {rate: list(by_length) for rate, by_length in found.items()} == {
        0.0005: [15, 30],
        0.00025: [15, 60],
    }
    assert found[0.0005][15].metrics["accuracy_content"] == [0.5, 0.6]
    assert by_epochs("positional-cifar100", runs) == {}


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_learning_rates_the_presets_is_judged_whatever_the_others_repetitions_and_length(order):
    others = [_short(0.9, epochs=30, seed=seed, learning_rate=0.00025) for seed in range(4)]
    preset = [_short(0.5, epochs=15, seed=seed) for seed in range(3)]
    verdict = judge("positional-cifar10", [*others, *preset][::order], "short")
    assert {each.parameters["learning_rate"] for each in verdict.records} == {0.0005}


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_settings_with_as_many_repetitions_and_epochs_the_nearer_to_the_preset_is_judged(order):
    runs = [_short(0.5, epochs=15, batch_size=64), _short(0.5, epochs=15, batch_size=128)]
    verdict = judge("positional-cifar10", runs[::order], "short")
    assert [each.parameters["batch_size"] for each in verdict.records] == [128]


def test_the_panels_of_epochs_draw_both_models_and_their_difference_at_each_learning_rate():
    runs = [_short(0.7, epochs=30), _short(0.6, epochs=15), _short(0.4, epochs=15, learning_rate=0.00025)]
    figure = epoch_panels({"positional-cifar10": by_epochs("positional-cifar10", runs)})
    above, below, locality = figure.axes
    marks = {float(line.get_ydata()[0]) for line in above.lines if list(line.get_xdata()) == [300]}
    assert marks == {paper_figure("7")["cifar10"][model][2] / 100 for model in ("content", "positional")}
    assert locality.get_xlim()[1] > 300
    drawn = [bars[0].get_ydata().tolist() for bars in locality.containers]
    assert drawn == [[0.3, 0.3], [0.4, 0.4], [0.3], [0.4]]
    assert above.get_title() == "CIFAR-10" and below.get_ylabel() == "lead of content [share]"
    content, positional, lower, _ = above.containers
    assert content[0].get_xdata().tolist() == [15, 30]
    assert content[0].get_ydata().tolist() == pytest.approx([0.6, 0.7])
    assert positional[0].get_ydata().tolist() == pytest.approx([0.5, 0.5])
    assert lower[0].get_ydata().tolist() == [0.4] and lower.get_label() == "content, rate 0.00025"


def test_the_papers_medians_are_not_drawn_beside_other_images():
    run = replace(_short(0.7, epochs=300, dataset="svhn-1083"), claim="positional-svhn")
    above = epoch_panels({"positional-svhn": by_epochs("positional-svhn", [run])}).axes[0]
    assert above.get_title() == "svhn-1083" and len(above.containers) == 2
    assert all(len(line.get_xdata()) < 3 and line.get_label() != "the paper" for line in above.lines)


def test_an_interval_has_the_confidence_that_its_statement_names():
    # n = 4, mean 5, s = 2: 2.65 to 7.35 at 90 %, 1.82 to 8.18 at 95 %
    values = [5 - 3**0.5, 5 - 3**0.5, 5 + 3**0.5, 5 + 3**0.5]
    words = [finding(values, within=(2.0, 8.0), confidence=each) for each in (0.9, 0.95)]
    assert words == ["holds", "inconclusive"]


def test_the_opposite_test_must_be_small_in_every_repetition():
    rule = Statement("m", (-inf, 0.01), "p = {}", "reason", "2026-01-01", "every", opposite="q")
    claim = Claim("planted", "words", "S", "02_theory", "", (rule,), LAPTOP_SCALE)
    verdict = one_verdict(claim, record({"m": [0.4, 0.4], "q": [0.001, 0.5]}, claim="planted"))
    assert verdict.findings[0].word == "inconclusive"


def test_a_finding_is_as_old_as_the_oldest_of_its_records():
    runs = [
        record(GOOD, parameters={"seed": seed, "num_seeds": 2}, seed=seed, started=f"2026-12-0{seed + 1}")
        for seed in (0, 1)
    ]
    assert {each.made for each in judge("idealized", runs).findings} == {"2026-12-01"}


def test_the_strongest_evidence_is_of_one_data_set():
    runs = [
        on_images("pe-locality", "tiny-imagenet-50", local(0.5)),
        on_images("pe-locality", "svhn-1083", local(0.1), seed=1),
    ]
    assert strongest("pe-locality", runs).metrics["locality_content"] == [0.5] * 3


def test_of_a_repetition_made_both_ways_the_one_with_permuted_images_is_taken():
    base = {"seed": 0, "num_seeds": 1, "depth": 4}
    runs = [
        record(
            {"accuracy_content": [value]}, claim="positional-cifar10", parameters=base | {"permute": permute}
        )
        for value, permute in ((0.4, False), (0.5, True))
    ]
    for order in (1, -1):
        assert by_factor("positional-cifar10", runs[::order], "depth")[4].metrics["accuracy_content"] == [0.5]
