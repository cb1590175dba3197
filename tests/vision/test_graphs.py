import pytest
import torch

from src.vision import graphs
from src.vision.augment import Augmentation
from src.vision.graphs import WARM_UP, CudaGraphs, Recorded
from src.vision.images import load_images
from src.vision.steps import Execution, Step
from src.vision.training import start_fabric
from tests.vision.test_steps import MEMBERS, PLAIN, SETTINGS, losses_of_steps, new_models


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
        with pytest.raises(RuntimeError, match=r"a step cannot be recorded .* compile=False runs it plainly"):
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
