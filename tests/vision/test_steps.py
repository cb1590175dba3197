import dataclasses

import pytest
import torch

from src.vision.augment import Augmentation
from src.vision.steps import Execution, Step, execution, stack
from src.vision.training import start_fabric
from tests.steps import BATCH, MEMBERS, PLAIN, SETTINGS, TOGETHER, losses_of_steps, new_models


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("kind", ["content", "positional", "positional_permuted", "convnet"])
@pytest.mark.parametrize("augmentation", [Augmentation(1, False), Augmentation(1, mixup=0.3, cutmix=1.0)])
def test_models_together_take_the_steps_of_each_alone(digits, kind, precision, augmentation):
    settings = dataclasses.replace(SETTINGS, precision=precision)
    # In bfloat16 every attention matrix is rounded to 8 bits: about 1 % of a loss of 2.5 after six steps.
    fabric, tolerance = start_fabric(settings), 1e-5 if precision == "32-true" else 3e-2
    runs = []
    for how in (PLAIN, TOGETHER):
        step = Step(models := new_models(kind), digits, settings, fabric, how)
        runs.append((losses_of_steps(step, digits, augmentation), models))
        step.release()
    (expected, ours), (together, theirs) = runs
    torch.testing.assert_close(together, expected, atol=tolerance, rtol=0)
    for one, other in zip(ours, theirs, strict=True):
        for name, value in one.state_dict().items():
            if name.endswith("qkv.bias"):
                continue  # no logit depends on the bias of the keys, and AdamW makes steps of rounding errors
            torch.testing.assert_close(other.state_dict()[name], value, atol=50 * tolerance, rtol=0)


def test_a_member_is_what_it_would_be_alone(digits):
    """The plain step of several models is the step of one, bit for bit, on each one's part of the batch."""
    fabric, models = start_fabric(SETTINGS), new_models("content")
    step = Step(models, digits, SETTINGS, fabric, PLAIN)
    rows = torch.randperm(len(digits))[: MEMBERS * BATCH]
    images, labels = digits.images[rows], digits.labels[rows]
    losses = [step(images, labels, {}, 1e-3).clone() for _ in range(3)]
    for member, alone in enumerate(new_models("content")):
        single = Step([alone], digits, SETTINGS, fabric, PLAIN)
        own = slice(member * BATCH, (member + 1) * BATCH)
        for together in losses:
            assert torch.equal(single(images[own], labels[own], {}, 1e-3)[0], together[member])


@pytest.mark.parametrize("how", [PLAIN, TOGETHER])
def test_a_member_that_breaks_does_not_touch_the_others(digits, how):
    runs = []
    for broken in (False, True):
        models = new_models("positional")
        if broken:
            torch.nn.init.constant_(models[1].head.weight, torch.nan)
        step = Step(models, digits, SETTINGS, start_fabric(SETTINGS), how)
        runs.append(losses_of_steps(step, digits, Augmentation(1, False)))
    assert runs[1][:, 1].isnan().all()
    assert torch.equal(runs[0][:, [0, 2]], runs[1][:, [0, 2]])


def test_stacked_models_are_views_and_keep_their_weights():
    models = new_models("positional_permuted")
    before = [{name: value.clone() for name, value in model.state_dict().items()} for model in models]
    stacked = stack(models)
    for index, (model, state) in enumerate(zip(models, before, strict=True)):
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            assert value.data_ptr() == stacked[name][index].data_ptr()
            assert name.endswith("permutation") or torch.equal(value, state[name])
    assert not torch.equal(stacked["permutation"][0], stacked["permutation"][1])
    models[1].load_state_dict(before[0])
    assert torch.equal(stacked["model.pos_embed"][1], stacked["model.pos_embed"][0])


def test_the_device_decides_how_steps_run():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    for models in (1, 5):
        assert execution("auto", cpu, models, 1) == execution(False, cuda, models, 1) == PLAIN
        assert execution("auto", cuda, models, 1) == Execution(False, models > 1, True)
        assert execution(True, cuda, models, 1) == Execution(True, models > 1, True)
        assert execution(True, cpu, models, 1) == Execution(True, models > 1, False)
    assert execution("auto", cuda, 1, 8) == PLAIN


def test_a_compiled_step_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    refusal = r"compile = True: a C\+\+ compiler \(no-such-compiler is not at hand\) is needed$"
    with pytest.raises(ValueError, match=refusal):
        execution(True, torch.device("cpu"), 1, 1)
