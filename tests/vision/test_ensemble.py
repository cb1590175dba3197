import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from src.vision.augment import Augmentation
from src.vision.permutation import Permuted
from src.vision.training import NonFiniteLossError, evaluate, fit, fit_ensemble
from src.vision.vit import VisionTransformer
from tests.trainings import SEEDS, Interrupted, settings, small_vit

AUGMENTED = Augmentation(crop_padding=1, policy="randaugment", mixup=0.2, cutmix=1.0)


def new_models() -> list[VisionTransformer]:
    return [small_vit(seed) for seed in SEEDS]


def norm(epoch: int, model: torch.nn.Module) -> float:
    assert not model.training
    return model.get_parameter("head.weight").norm().item()


@pytest.mark.parametrize("compile", [False, "auto"])
def test_a_member_is_the_run_of_its_seed_alone(digits, validation, compile):
    options = {"validation": validation, "callback": norm}
    models, plan = new_models(), settings(compile=compile, augmentation=AUGMENTED)
    histories = fit_ensemble(models, digits, seeds=SEEDS, settings=plan, **options)
    for seed, model, history in zip(SEEDS, models, histories, strict=True):
        alone = fit(
            other := small_vit(seed), digits, settings=settings(seed=seed, augmentation=AUGMENTED), **options
        )
        for name in ("train_loss", "validation_loss", "validation_accuracy", "learning_rate"):
            assert getattr(history, name) == pytest.approx(getattr(alone, name), abs=1e-4)
        assert history.observations == pytest.approx(alone.observations, abs=1e-3)
        assert evaluate(model, validation).loss == pytest.approx(evaluate(other, validation).loss, abs=1e-4)
    assert len({tuple(history.train_loss) for history in histories}) == len(SEEDS)
    assert min(map(min, (history.images_per_second for history in histories))) > 0


def test_members_may_see_their_patches_in_different_orders(digits):
    orders = [
        torch.arange(16),
        *(torch.randperm(16, generator=torch.Generator().manual_seed(s)) for s in (0, 1)),
    ]
    models = [Permuted(small_vit(0), order, 2) for order in orders]
    histories = fit_ensemble(models, digits, seeds=[0, 0, 0], settings=settings())
    plain = fit(small_vit(0), digits, settings=settings(seed=0))
    assert histories[0].train_loss == pytest.approx(plain.train_loss, abs=1e-4)
    for order, history in zip(orders[1:], histories[1:], strict=True):
        alone = fit(Permuted(small_vit(0), order, 2), digits, settings=settings(seed=0))
        assert history.train_loss == pytest.approx(alone.train_loss, abs=1e-4)
        assert abs(history.train_loss[0] - plain.train_loss[0]) > 1e-4


def test_a_resumed_ensemble_is_the_uninterrupted_one(digits, tmp_path):
    def interrupt(epoch: int, model: torch.nn.Module) -> float:
        if epoch == 2:
            raise Interrupted
        return norm(epoch, model)

    path = tmp_path / "ensemble.pt"
    options = {"seeds": SEEDS, "settings": settings(augmentation=AUGMENTED)}
    whole = fit_ensemble(whole_models := new_models(), digits, callback=norm, **options)
    with pytest.raises(Interrupted):
        fit_ensemble(new_models(), digits, checkpoint=path, callback=interrupt, **options)
    resumed = fit_ensemble(models := new_models(), digits, checkpoint=path, callback=norm, **options)
    for ours, theirs, model, other in zip(resumed, whole, models, whole_models, strict=True):
        assert ours.train_loss == theirs.train_loss and ours.observations == theirs.observations
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    with pytest.raises(ValueError, match=r"written with seed=\[4, 7, 11\], now \[4, 7, 12\]"):
        fit_ensemble(new_models(), digits, checkpoint=path, **options | {"seeds": [4, 7, 12]})
    with pytest.raises(ValueError, match=r"written with model 1: .*, now None"):
        fit(small_vit(4), digits, checkpoint=path, settings=settings(seed=4, augmentation=AUGMENTED))


def test_a_member_that_fails_is_named_and_the_others_go_on(digits, validation, tmp_path):
    def break_one(epoch: int, model: torch.nn.Module) -> None:
        if epoch == 1 and model is models[1]:
            model.head.weight.fill_(math.nan)

    models, path = new_models(), tmp_path / "ensemble.pt"
    options = {"seeds": SEEDS, "settings": settings(), "validation": validation, "checkpoint": path}
    with pytest.warns(
        RuntimeWarning, match=r"member 1 \(seed 7\): the loss is nan at step 1 of 5 in epoch 2"
    ):
        histories = fit_ensemble(models, digits, callback=break_one, **options)
    whole = fit_ensemble(new_models(), digits, seeds=SEEDS, settings=settings(), validation=validation)
    assert [len(history) for history in histories] == [3, 1, 3]
    assert len(histories[1].validation_loss) == 1
    for member in (0, 2):
        assert histories[member].train_loss == whole[member].train_loss
    # A run that is read back knows who failed, and trains nobody on.
    again = fit_ensemble(new_models(), digits, **options)
    assert [len(history) for history in again] == [3, 1, 3]


def test_where_nobody_is_left_the_ensemble_stops(digits):
    def break_all(epoch: int, model: torch.nn.Module) -> None:
        if epoch == 2:
            model.head.weight.fill_(math.nan)

    with (
        pytest.raises(NonFiniteLossError, match="loss is nan at step 1 of 5 in epoch 3") as caught,
        pytest.warns(RuntimeWarning, match="member 0"),
    ):
        fit_ensemble(new_models(), digits, seeds=SEEDS, settings=settings(), callback=break_all)
    assert len(caught.value.history) == 2


def test_members_must_fit_each_other(digits):
    def fails(message: str, models: list, seeds: list[int] = SEEDS, **changes):
        with pytest.raises(ValueError, match=message) as caught:
            fit_ensemble(models, digits, seeds=seeds, settings=settings(**changes))
        assert "\n" not in str(caught.value)

    fails("seeds has length 2; one for each of 3 models", new_models(), SEEDS[:2])
    fails("seeds has length 0; one for each of 0 models, at least 1", [], [])
    model = small_vit(0)
    fails("models holds one model twice", [model, model], [0, 1])
    fails(
        r"models\[1\] has attention=content, models\[0\] positional", [model, small_vit(0, "content")], [0, 1]
    )
    wider = VisionTransformer(8, 2, 10, 16, 1, 2, 12, "positional")
    fails(r"models\[1\] has .*16.*, models\[0\] .*12.*; the same is needed", [model, wider], [0, 1])
    deeper = VisionTransformer(8, 2, 10, 12, 2, 2, 12, "positional")
    fails(r"models\[1\] has blocks.1.*, models\[0\] None", [model, deeper], [0, 1])
    fails("devices x num_nodes is 2; an ensemble is trained by one process: 1", new_models(), devices=2)


COMPILED = """
import json, sys
from src.vision.images import load_images
from src.vision.training import fit_ensemble
from tests.trainings import SEEDS, settings, small_vit
seeds, losses = SEEDS[: int(sys.argv[1])], []
for compile in (False, True):
    models, plan = [small_vit(seed) for seed in seeds], settings(epochs=1, compile=compile)
    histories = fit_ensemble(models, load_images("digits", limit=320), seeds=seeds, settings=plan)
    losses.append([history.train_loss[0] for history in histories])
print(json.dumps(losses))
"""


@pytest.mark.parametrize("members", [1, pytest.param(2, marks=pytest.mark.many)])
def test_compiled_training_is_the_plain_one(members):
    """One model as it is, two stacked; in a process without checks of shapes, which the compiler cannot trace."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, str(members)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    plain, compiled = json.loads(done.stdout.splitlines()[-1])
    assert compiled == pytest.approx(plain, abs=1e-4)
    assert len(compiled) == members
