from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from src.common import graphs
from src.common.graphs import WARM_UP, CudaGraphs, Recorded
from src.synthetic import realistic
from src.synthetic.model import PositionalAttentionModel
from src.synthetic.realistic import Run
from src.vision.augment import Augmentation
from src.vision.images import load_images
from src.vision.steps import Execution, Step
from src.vision.training import start_fabric
from tests.steps import MEMBERS, PLAIN, SETTINGS, losses_of_steps, new_models


class OnTheCpu:
    """In the place of `CudaGraphs`: recording keeps the function and its inputs, replaying runs it on them."""

    def __init__(self):
        self.runs = self.records = 0

    def run(self, function):
        self.runs += 1
        return function()

    def record(self, function):
        self.records += 1
        return function


def test_a_function_is_recorded_once_and_reads_every_later_input():
    recorder = OnTheCpu()
    double = Recorded(lambda *, x, y: 2 * x + y, recorder)
    for value in range(WARM_UP + 4):
        x, y = torch.full((3,), float(value)), torch.full((3,), 10.0 * value)
        assert torch.equal(double(x=x, y=y), 2 * x + y)
    assert (recorder.runs, recorder.records) == (WARM_UP, 1)


@pytest.mark.parametrize("together", [False, True])
def test_a_recorded_step_needs_nothing_but_its_inputs(together, monkeypatch):
    """Fixed buffers in the place of each batch, draws and learning rate: the same losses."""
    monkeypatch.setattr("src.vision.steps.CudaGraphs", OnTheCpu)
    data, fabric = load_images("digits", limit=320), start_fabric(SETTINGS)
    augmentation = Augmentation(1, mixup=0.3, cutmix=1.0)
    plain, recorded = (
        losses_of_steps(Step(new_models("positional"), data, SETTINGS, fabric, how), data, augmentation)
        for how in (PLAIN, Execution(False, together, True))
    )
    assert plain.shape == (6, MEMBERS) and WARM_UP + 1 < 6
    torch.testing.assert_close(recorded, plain, atol=1e-5, rtol=0)


def descents(device: str = "cpu", path: str = "auto") -> list[realistic.Trajectory]:
    """Two on one sample, of which the second diverges."""
    generator = torch.Generator().manual_seed(0)
    patches, label = torch.randn(40, 6, 5, generator=generator), torch.randn(40, generator=generator).sign()
    runs = []
    for rate in (1e-3, 1e3):
        model = PositionalAttentionModel(6, 5, init_scale=0.1, generator=generator).to(device)
        runs.append(Run(model, patches.to(device), label.to(device), rate, 1.0))
    return realistic.many_descents(runs, steps=25, record_every=4, path=path)


def assert_same_way(ours: list[realistic.Trajectory], theirs: list[realistic.Trajectory]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert one.step == other.step and one.divergence == other.divergence
        for name in ("loss", "attention_logits", "value_vector"):
            torch.testing.assert_close(getattr(one, name)[:-1], getattr(other, name)[:-1])


def test_recorded_descents_go_the_way_of_plain_ones(monkeypatch):
    plain, recorder = descents(), OnTheCpu()
    assert plain[1].divergence and not plain[0].divergence
    monkeypatch.setattr(realistic, "worth_recording", lambda device, steps: True)
    monkeypatch.setattr(realistic, "CudaGraphs", lambda: recorder)
    assert_same_way(descents(), plain)
    assert recorder.records == 1
    assert_same_way(descents(path="plain"), plain)
    assert recorder.records == 1


class OnlyOnTheDevice(TorchDispatchMode):
    """Refuses what a recording cannot hold: reading a number off the device, or a tensor of another one."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, result)) if isinstance(each, torch.Tensor)]
        assert {each.device.type for each in tensors} <= {"meta"}, f"{func} leaves the device"
        return result


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("kind", ["content", "positional", "positional_permuted", "convnet"])
@pytest.mark.parametrize(
    "augmentation", [Augmentation(1), Augmentation(0, resized_crop=0.3, mixup=0.3, cutmix=1.0)]
)
def test_a_step_never_waits_for_the_device(kind, members, augmentation, monkeypatch):
    """On the "meta" device, whose tensors have no values: what would read one fails. AdamW is left to torch."""
    data = load_images("digits", limit=32)
    models = [model.to("meta") for model in new_models(kind, members)]
    monkeypatch.setattr(torch.optim, "AdamW", lambda groups, **options: torch.optim.SGD(groups, lr=0.0))
    fabric = SimpleNamespace(
        device=torch.device("meta"), setup_module=lambda model: model, setup_optimizers=lambda optimizer: optimizer,
        backward=torch.Tensor.backward, autocast=nullcontext,
    )  # fmt: skip
    step = Step(models, data, SETTINGS, fabric, Execution(False, members > 1, False))
    rows = torch.arange(4 * members)
    draws = augmentation.draw((4 * members,), torch.Generator())
    inputs = {"images": data.images[rows], "labels": data.labels[rows], **draws}
    inputs = {name: tensor.to("meta") for name, tensor in inputs.items()}
    step._run(**inputs)  # constants move to the device
    with OnlyOnTheDevice():
        assert step._run(**inputs).shape == (members,)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestCuda:
    def test_recording_does_not_run(self):
        total = torch.zeros((), device="cuda")
        add = Recorded(lambda *, x: total.add_(x), CudaGraphs())
        for value in range(1, WARM_UP + 4):
            add(x=torch.tensor(float(value), device="cuda"))
        assert total.item() == sum(range(1, WARM_UP + 4))

    def test_what_waits_for_the_device_is_named(self, monkeypatch):
        monkeypatch.setattr(graphs, "WARM_UP", 0)
        with pytest.raises(RuntimeError, match=r"a step cannot be recorded .* compile=False"):
            Recorded(lambda *, x: torch.full((1,), x.item()), CudaGraphs())(x=torch.ones((), device="cuda"))

    @pytest.mark.parametrize("together", [False, True])
    def test_recorded_steps_are_the_plain_ones(self, together):
        import dataclasses

        settings = dataclasses.replace(SETTINGS, accelerator="cuda")
        fabric, losses = start_fabric(settings), []
        data = load_images("digits", limit=320).to(fabric.device)
        for how in (PLAIN, Execution(False, together, True)):
            models = [model.to(fabric.device) for model in new_models("positional")]
            step = Step(models, data, settings, fabric, how)
            losses.append(losses_of_steps(step, data, Augmentation(1, False)))
        torch.testing.assert_close(*losses, atol=1e-4, rtol=0)

    def test_recorded_descents_are_the_plain_ones(self, monkeypatch):
        plain = descents("cuda")
        monkeypatch.setattr(realistic, "RECORD_FROM", 1)
        assert_same_way(descents("cuda"), plain)
