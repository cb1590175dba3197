import dataclasses
import io
import json
import logging
import math
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from src.vision import training
from src.vision.augment import normalize
from src.vision.given import given_transformer
from src.vision.identity import architecture
from src.vision.image_folders import FolderLimits
from src.vision.image_sets import ImageSet
from src.vision.images import load_images
from src.vision.permutation import Permuted
from src.vision.steps import parameter_groups
from src.vision.training import (
    NonFiniteLossError,
    evaluate,
    fit,
    learning_rate_at,
    start_fabric,
)
from src.vision.vit import VisionTransformer
from tests.trainings import MIXED, Interrupted, PatchNet, patch_net, settings

# --- what training does ---


def test_training_learns_and_keeps_a_history(digits, validation):
    model = patch_net()
    history = fit(model, digits, validation=validation, settings=settings(epochs=8))
    assert history.train_loss[-1] < 0.7 * history.train_loss[0]
    assert history.validation_accuracy[-1] > 0.8
    assert len(history) == 8 and history.resumed_seconds == 0
    assert all(
        len(each) for name, each in vars(history).items() if name not in ("resumed_seconds", "observations")
    )
    assert evaluate(model, validation).accuracy == history.validation_accuracy[-1]
    assert min(history.images_per_second) > 0 and history.learning_rate[-1] < 1e-3


def test_evaluate_agrees_with_its_definition(digits):
    model = patch_net()
    model.eval()
    logits = model(normalize(digits.images, digits.mean, digits.std))
    expected = nn.functional.cross_entropy(logits, digits.labels).item()
    model.train()
    for batch_size in (64, 77, 1000):
        result = evaluate(model, digits, batch_size=batch_size)
        assert result.loss == pytest.approx(expected, rel=1e-5) and result.n == 320
        assert result.accuracy == (logits.argmax(1) == digits.labels).sum().item() / 320
    assert model.training


def test_one_step_agrees_with_plain_adamw(digits):
    """One batch, no augmentation: the loop does what the formula says."""
    only = settings(epochs=1, batch_size=320, warmup_epochs=0.0, gradient_clip=0.5)
    model, reference = patch_net(), patch_net()
    fit(model, digits, settings=only)
    optimizer = torch.optim.AdamW(parameter_groups(reference, only.weight_decay), lr=only.learning_rate)
    logits = reference(normalize(digits.images, digits.mean, digits.std))
    nn.functional.cross_entropy(logits, digits.labels, label_smoothing=0.1).backward()
    nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
    optimizer.step()
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


def test_learning_rate_rises_then_falls_to_zero():
    rates = [learning_rate_at(step, 10, settings(epochs=5, warmup_epochs=2.0)) for step in range(50)]
    assert all(a < b for a, b in pairwise(rates[:21]))
    assert max(rates) == rates[20] == 3e-3
    assert all(a > b for a, b in pairwise(rates[20:]))
    assert rates[35] == pytest.approx(1.5e-3) and 0 < rates[-1] < 1e-5


def test_a_model_can_be_trained_on(digits):
    model = patch_net()
    first, second = (fit(model, digits, settings=settings(epochs=4)).train_loss for _ in range(2))
    assert second[0] < first[-1] + 0.05 < first[0]


def test_only_matrices_decay():
    decayed, kept = parameter_groups(patch_net(), 0.05)
    assert [parameter.ndim for parameter in decayed["params"]] == [4, 2]
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.05, 0.0)
    assert sorted(tuple(parameter.shape) for parameter in kept["params"])[0] == (1, 16, 16)  # pos_embed


def test_the_same_seed_gives_the_same_run_and_leaves_the_random_stream_alone(digits):
    runs = [
        fit(patch_net(dropout=0.2), digits, settings=settings(seed=seed)).train_loss for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]
    state = torch.random.get_rng_state()
    fit(patch_net(), digits, settings=settings(epochs=1))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_folder_streamed_from_disk_trains_like_one_in_memory(tmp_path):
    everything = dataclasses.replace(MIXED, policy="randaugment")
    from PIL import Image

    for label, name in enumerate(("dark", "light")):
        (tmp_path / name).mkdir()
        for i in range(20):
            Image.new("RGB", (8, 8), (100 * label + i,) * 3).save(tmp_path / name / f"{i}.png")
    losses = []
    for budget in (2**20, 0):
        data = load_images(
            "imagefolder", tmp_path, image_size=8, folder_limits=FolderLimits(memory_budget=budget)
        )
        changed = settings(epochs=2, batch_size=8, augmentation=everything)
        losses.append(fit(patch_net(num_classes=2), data, settings=changed).train_loss)
    assert losses[0] == losses[1]


def test_the_callback_sees_every_epoch_and_its_values_are_kept(digits):
    def norm(epoch: int, model: nn.Module) -> dict[str, float]:
        assert not model.training
        return {"epoch": epoch, "norm": model.pos_embed.norm().item()}

    history = fit(patch_net(), digits, settings=settings(), callback=norm)
    assert [seen["epoch"] for seen in history.observations.values()] == [0, 1, 2, 3]
    assert history.observations[0]["norm"] == 0 < history.observations[3]["norm"]


# --- checkpoints ---


def observe(epoch: int, model: nn.Module) -> torch.Tensor:
    return model.head.bias.detach().clone()


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(digits, validation, tmp_path):
    policy = dataclasses.replace(MIXED, policy="randaugment")
    options = {"validation": validation, "settings": settings(epochs=4, augmentation=policy)}
    whole_model, resumed_model = patch_net(dropout=0.1), patch_net(dropout=0.1)
    whole = fit(whole_model, digits, callback=observe, **options)

    def interrupt(epoch: int, model: nn.Module) -> torch.Tensor:
        if epoch == 3:
            raise Interrupted
        return observe(epoch, model)

    path = tmp_path / "new" / "run.pt"
    with pytest.raises(Interrupted):
        fit(patch_net(dropout=0.1), digits, checkpoint=path, callback=interrupt, **options)
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]
    resumed = fit(resumed_model, digits, checkpoint=path, callback=observe, **options)
    for name in ("train_loss", "validation_loss", "validation_accuracy", "learning_rate"):
        assert getattr(resumed, name) == getattr(whole, name)
    assert all(torch.equal(resumed.observations[epoch], whole.observations[epoch]) for epoch in range(5))
    for ours, theirs in zip(resumed_model.parameters(), whole_model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    # A finished run is read back, not trained again.
    again = fit(finished := patch_net(dropout=0.1), digits, checkpoint=path, **options)
    assert again.train_loss == whole.train_loss and again.seconds == resumed.seconds
    assert torch.equal(finished.head.weight, whole_model.head.weight)


def test_a_truncated_or_foreign_checkpoint_is_named(digits, tmp_path):
    path = tmp_path / "run.pt"
    fit(patch_net(), digits, settings=settings(), checkpoint=path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"{path}: not a whole checkpoint"):
        fit(patch_net(), digits, settings=settings(), checkpoint=path)
    torch.save({"some": "other file"}, path)
    with pytest.raises(ValueError, match=f"{path}: not a whole checkpoint"):
        fit(patch_net(), digits, settings=settings(), checkpoint=path)
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"run.pt: written with epochs=3, now 5"):
        fit(patch_net(), digits, settings=settings(epochs=5), checkpoint=path)
    with pytest.raises(ValueError, match=r"run.pt: written with augmentation.crop_padding=0, now 1"):
        fit(patch_net(), digits, settings=settings(augmentation=MIXED), checkpoint=path)


def test_a_flipped_bit_is_found(digits, tmp_path):
    path, draw = tmp_path / "run.pt", torch.Generator().manual_seed(0)
    fit(patch_net(), digits, settings=settings(), checkpoint=path)
    whole = path.read_bytes()
    for place in torch.randint(8 * len(whole), (30,), generator=draw).tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="not a whole checkpoint"):
            fit(patch_net(), digits, settings=settings(), checkpoint=path)


def vit(attention: str = "positional", num_heads: int = 2, **options) -> VisionTransformer:
    return VisionTransformer(8, 2, 10, 12, 1, num_heads, 12, attention, **options)


def relabelled(data: ImageSet) -> ImageSet:
    return dataclasses.replace(data, labels=data.labels.flip(0))


def repainted(data: ImageSet) -> ImageSet:
    return dataclasses.replace(data, images=255 - data.images)


def reordered(data: ImageSet) -> ImageSet:
    return dataclasses.replace(data, images=data.images.flip(0), labels=data.labels.flip(0))


@pytest.mark.parametrize(
    ("model", "change", "named"),
    [
        (vit(num_heads=3), None, "model 0: blocks.0.attn.num_heads=2, now 3"),
        (vit(add_encoding=True), None, "model 0: add_encoding=False, now True"),
        (vit("content"), None, "model 0: attention='positional', now 'content'"),
        (vit(), relabelled, "training data="),
        (vit(), repainted, "training data="),
        (vit(), reordered, "training data="),
    ],
)
def test_a_checkpoint_of_equal_shapes_but_another_model_or_other_data_is_refused(
    digits, tmp_path, model, change, named
):
    path, plan = tmp_path / "run.pt", settings(epochs=1)
    fit(vit(), digits, settings=plan, checkpoint=path)
    written = path.read_bytes()
    data = change(digits) if change else digits
    with pytest.raises(ValueError, match=f"run.pt: written with {named}") as caught:
        fit(model, data, settings=plan, checkpoint=path)
    assert str(caught.value).endswith("the same value is needed to resume")
    assert path.read_bytes() == written


def test_a_checkpoint_of_another_order_of_patches_is_refused(digits, tmp_path):
    path, plan = tmp_path / "run.pt", settings(epochs=1)
    fit(Permuted(vit(), torch.arange(16), 2), digits, settings=plan, checkpoint=path)
    with pytest.raises(ValueError, match="written with model 0: permutation="):
        fit(Permuted(vit(), torch.arange(16).flip(0), 2), digits, settings=plan, checkpoint=path)


def test_seconds_add_up_and_another_source_is_told(digits, tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    first = fit(patch_net(), digits, settings=settings(), checkpoint=path)
    monkeypatch.setattr("src.vision.training._source", lambda: "another")
    resumed = fit(patch_net(), digits, settings=settings(), checkpoint=path)
    assert resumed.seconds == first.seconds
    assert resumed.sources == [*first.sources, "another"]


def test_a_checkpoint_and_its_name_are_flushed_to_the_disk(digits, tmp_path, monkeypatch):
    flushed, flush = [], os.fsync

    def told(opened):
        flushed.append(os.fstat(opened).st_ino)
        flush(opened)

    monkeypatch.setattr(os, "fsync", told)
    fit(patch_net(), digits, settings=settings(epochs=1), checkpoint=tmp_path / "run.pt")
    assert flushed[-2:] == [(tmp_path / "run.pt").stat().st_ino, tmp_path.stat().st_ino]


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(digits, tmp_path):
    path = tmp_path / "run.pt"
    with pytest.raises(ValueError, match=r"the state holds .*Fraction.*, which a checkpoint cannot keep"):
        fit(patch_net(), digits, settings=settings(), checkpoint=path, callback=fraction_in_the_end)
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]
    content = path.read_bytes().partition(b"\n")[2]
    histories = torch.load(io.BytesIO(content), weights_only=True)["histories"]
    assert len(histories[0]["train_loss"]) == 2


def fraction_in_the_end(epoch: int, model: nn.Module):
    from fractions import Fraction

    return Fraction(1, 2) if epoch == 3 else None


# --- what goes wrong ---


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_history(digits):
    def break_the_model(epoch: int, model: nn.Module) -> None:
        if epoch == 2:
            model.head.weight.fill_(math.nan)

    with pytest.raises(
        NonFiniteLossError, match=r"loss is nan at step 1 of 5 in epoch 3, learning rate 0\.00"
    ) as caught:
        fit(patch_net(), digits, settings=settings(), callback=break_the_model)
    assert len(caught.value.history) == 2 and all(map(math.isfinite, caught.value.history.train_loss))


def test_a_last_step_that_breaks_the_model_is_no_result(digits):
    wild = {"learning_rate": 3e38, "weight_decay": 1e3, "warmup_epochs": 0.0}
    one_step = settings(epochs=1, batch_size=320, **wild)
    with pytest.raises(NonFiniteLossError, match="loss is nan at step 1 of 1 in epoch 1"):
        fit(patch_net(), digits, settings=one_step)


def test_what_is_not_learned_makes_another_architecture():
    learned, kept = patch_net(), patch_net()
    kept.head.weight.requires_grad_(False)
    before, after = architecture(learned), architecture(kept)
    assert after == before | {"head.weight is learned": False}


def test_data_model_and_settings_must_fit(digits):
    with pytest.raises(
        ValueError, match="batch_size = 500: at most 320, the number of training images, is needed"
    ):
        fit(patch_net(), digits, settings=settings(batch_size=500))
    with pytest.raises(
        ValueError, match=r"batch_size = 63: a multiple of 2 \(1 .*\) is needed; the nearest: 62"
    ):
        fit(patch_net(), digits, settings=settings(batch_size=63, augmentation=MIXED))
    with pytest.raises(ValueError, match=r"model gives \(64, 7\); \(64, 10\), a logit for each class"):
        fit(patch_net(num_classes=7), digits, settings=settings())
    empty = ImageSet(digits.images[:0], digits.labels[:0], digits.classes)
    with pytest.raises(ValueError, match="data holds no images"):
        evaluate(patch_net(), empty)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"epochs": 0}, "epochs = 0: a number >= 1 is needed"),
        ({"learning_rate": math.nan}, "learning_rate = nan: a number >= 0 is needed"),
        ({"label_smoothing": 1.0}, "label_smoothing = 1.0: a number below 1 is needed"),
        ({"betas": (0.9, 1.0)}, r"betas = \(0.9, 1.0\): each at least 0 and below 1 is needed"),
        ({"gradient_clip": 0.0}, "gradient_clip = 0.0: a number above 0"),
        ({"precision": "bf16"}, "precision = 'bf16': .* the nearest: bf16-mixed"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**changes)


def test_progress_goes_to_stderr_only_when_asked(digits, capsys):
    fit(patch_net(), digits, settings=settings())
    assert capsys.readouterr() == ("", "")
    fit(patch_net(), digits, settings=settings(progress=True))
    shown = capsys.readouterr()
    assert shown.out == "" and "epoch 3/3, step 5/5, loss" in shown.err and "0:00 left" in shown.err


def test_bfloat16_reaches_the_accuracy_of_float32_within_the_spread_of_seeds(validation):
    """Digits, 3 seeds, 8 epochs: the means differ by no more than float32's standard deviation, or one image."""
    train = load_images("digits")
    accuracy, loss = {}, {}
    for precision in ("32-true", "bf16-mixed"):
        histories = []
        for seed in range(3):
            torch.manual_seed(seed)
            changed = settings(epochs=8, precision=precision, seed=seed)
            histories.append(fit(PatchNet(), train, validation=validation, settings=changed))
        accuracy[precision] = torch.tensor([history.validation_accuracy[-1] for history in histories])
        loss[precision] = [history.train_loss[-1] for history in histories]
    exact, rounded = accuracy.values()
    assert exact.mean() > 0.9 and loss["32-true"] != loss["bf16-mixed"]
    assert (exact.mean() - rounded.mean()).abs() <= max(exact.std().item(), 1 / len(validation))


# --- several processes ---

TWO_PROCESSES = """
import json, sys, torch
from src.vision.images import load_images
from src.vision.training import evaluate, fit, start_fabric
from tests.trainings import MIXED, patch_net, settings
torch.set_num_threads(1)
fabric = start_fabric(settings())
validation = load_images("digits", split="validation")
history = fit(patch_net(), load_images("digits", limit=320), validation=validation,
              settings=settings(augmentation=MIXED), checkpoint=sys.argv[1], fabric=fabric)
if fabric.is_global_zero:
    print(json.dumps([fabric.world_size, history.train_loss, history.validation_loss, history.validation_accuracy]))
"""


def test_two_processes_give_the_loss_curve_of_one(digits, validation, tmp_path):
    script, repository = tmp_path / "train.py", Path(__file__).parents[2]
    script.write_text(TWO_PROCESSES)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = os.environ | {
        "PYTHONPATH": str(repository),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [*launcher, str(script), str(tmp_path / "run.pt")],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    processes, *two = json.loads(done.stdout.splitlines()[-1])
    one = fit(patch_net(), digits, validation=validation, settings=settings(augmentation=MIXED))
    assert processes == 2
    for ours, theirs in zip(two, (one.train_loss, one.validation_loss, one.validation_accuracy), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
    # Its checkpoint is one that a single process resumes.
    options = {"validation": validation, "checkpoint": tmp_path / "run.pt"}
    resumed = fit(patch_net(), digits, settings=settings(devices=1, augmentation=MIXED), **options)
    assert resumed.train_loss == two[0]


def test_fabric_starts_in_silence():
    from lightning_utilities.core import rank_zero

    start_fabric(settings(precision="bf16-mixed"))
    assert not rank_zero.log.isEnabledFor(logging.INFO)


def test_five_steps_agree_with_plain_adamw_its_decay_its_betas_and_the_clipping(digits):
    plan = settings(epochs=5, batch_size=320, warmup_epochs=0.0, weight_decay=1.0, betas=(0.5, 0.7))
    plan = settings(**{**vars(plan), "gradient_clip": 0.5, "learning_rate": 0.02})
    model, reference = patch_net(), patch_net()
    fit(model, digits, settings=plan)
    optimizer = torch.optim.AdamW(parameter_groups(reference, plan.weight_decay), betas=plan.betas)
    inputs = normalize(digits.images, digits.mean, digits.std)
    for step in range(5):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, 1, plan)
        optimizer.zero_grad()
        nn.functional.cross_entropy(reference(inputs), digits.labels, label_smoothing=0.1).backward()
        nn.utils.clip_grad_norm_(reference.parameters(), plan.gradient_clip)
        optimizer.step()
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_every_epoch_has_an_order_and_draws_of_its_own(digits):
    plan = settings(augmentation=MIXED)
    run = training._start([patch_net()], [3], digits, plan, start_fabric(plan))
    (rows, draws), (others, drawn) = (training._plan(run, epoch) for epoch in (0, 1))
    assert not torch.equal(rows, others)
    assert draws and not any(torch.equal(draws[name], drawn[name]) for name in draws)


def test_evaluation_is_without_dropout_and_training_with_it_whoever_looks_on(digits):
    model = patch_net(dropout=0.5)
    assert evaluate(model, digits) == evaluate(patch_net(), digits) and model.training
    losses = [
        fit(patch_net(dropout=0.5), digits, settings=settings(), callback=callback).train_loss
        for callback in (None, lambda *_: 0)
    ]
    assert losses[0] == losses[1]


def test_weights_alone_decay_not_the_cls_token_nor_what_says_where_to_look():
    for name in ("content", "mask", "free"):
        model = given_transformer(name, 8, 2, 5, 12, 2, 2, 20, generator=None)
        decayed = {id(each) for each in parameter_groups(model, 0.1)[0]["params"]}
        names = {each.rpartition(".")[2] for each, value in model.named_parameters() if id(value) in decayed}
        assert names == {"weight"}
