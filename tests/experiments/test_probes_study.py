"""What `spatial-probes` measures: each value is its model's, and a permutation is undone wherever it is known."""

import pytest
import torch
from torch import nn

from src.experiments import images, probes
from src.experiments.images import Trained
from src.experiments.study_settings import ProbesSettings
from src.vision.permutation import Permuted

SMALL = ProbesSettings(
    num_seeds=2, embed_dim=8, mlp_dim=8, depth=1, epochs=1, train_limit=64, probe_images=20
)


def looked(settings):
    return [
        probes._look(settings, images.load(settings, split), split)
        for split in ("train", settings.eval_split)
    ]


@pytest.fixture(scope="module")
def found():
    return probes.run(SMALL)


def test_the_metrics_are_the_last_layers_and_the_first_stage_is_untrained(found):
    for name in ("content", "positional_permuted"):
        kind = name.partition("_")[0]
        untrained = images.new_models(SMALL, kind, 10)[name]
        for index, member in enumerate(untrained):
            values = probes.probe(member, *looked(SMALL))
            assert found.metrics[f"directed_before_{name}"][index] == pytest.approx(values["directed"])
            for key in ("lds", "readback", "share"):
                assert torch.allclose(found.arrays[f"{key}_before_{name}"][index], values[key], atol=1e-6)
                assert found.metrics[f"{key}_before_{name}"][index] == pytest.approx(values[key][-1].item())


def test_encodings_that_move_with_the_patches_are_probed_alike():
    (plain, *_), (permuted, *_) = images.new_models(SMALL, "content", 10).values()
    order = permuted.model.permutation
    assert isinstance(plain.model, Permuted) and not torch.equal(order, plain.model.permutation)
    with torch.no_grad():
        permuted.network.pos_embed[:, 1:] = plain.network.pos_embed[:, 1:][:, order]
    one, other = (probes.probe(each, *looked(SMALL)) for each in (plain, permuted))
    for key, value in one.items():
        assert torch.allclose(torch.as_tensor(value), torch.as_tensor(other[key]), atol=1e-4), key


def test_the_same_number_of_patches_is_dropped_in_each_image_and_others_in_each_split():
    fit, measured = looked(SMALL)
    for each in (fit, measured):
        assert each.dropped.shape == (20, 64) and (each.dropped.sum(1) == 48).all()
    assert not torch.equal(fit.dropped, measured.dropped)


def test_positional_tokens_have_no_encodings_to_drop_and_plain_patches_alone_can_be_probed():
    alone = probes.run(SMALL.changed(permute=False, num_seeds=1))
    assert "dropped_after_content" in alone.metrics and "dropped_after_positional" not in alone.metrics
    assert not [name for name in alone.metrics if "permuted" in name]


def test_places_that_are_dropped_in_no_image_are_refused_before_the_training(monkeypatch):
    monkeypatch.setattr(probes, "train_together", None)  # it would be called
    told = (
        r"^drop_share = 0.02: each place in one of probe_images = 20 images is needed; \d+ of 64 are in none$"
    )
    with pytest.raises(ValueError, match=told):
        probes.run(SMALL.changed(drop_share=0.02, num_seeds=1, permute=False))


def test_gains_are_after_less_before_climbs_last_less_first_and_leads_content_less_positional():
    def values(*layers: float):
        return {key: torch.tensor(layers) for key in ("lds", "share", "common")}

    last = {"content": 0.9, "positional": 0.4}
    found = {kind: {"before": [values(0.5, 0.2)], "after": [values(0.3, end)]} for kind, end in last.items()}
    metrics = probes._metrics({kind: [Trained(nn.Identity(), 0)] for kind in last}, found)
    assert metrics["lds_gain_content"] == metrics["share_gain_content"] == pytest.approx([0.7])
    assert metrics["lds_climb_positional"] == pytest.approx([0.1])
    assert metrics["share_lead"] == metrics["common_lead"] == pytest.approx([0.5])


def test_readouts_are_fitted_on_the_first_images_and_asked_on_the_second(monkeypatch):
    seen = []
    monkeypatch.setattr(probes, "monotonicity", lambda *_: (0.0, 0.0))
    monkeypatch.setattr(
        probes, "position_accuracy", lambda train, test, kept: seen.append((train, test)) or 0.0
    )
    (member,) = images.new_models(SMALL.changed(permute=False, num_seeds=1), "content", 10)["content"]
    fit, measured = (probes._look(SMALL, images.load(SMALL, split), split) for split in ("train", "test"))
    probes.probe(member, fit, measured)
    with torch.no_grad():
        first = [probes.tokens_by_layer(member.model, each.images)[0] for each in (fit, measured)]
    assert all(torch.equal(one, other) for one, other in zip(seen[0], first, strict=True))
