import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch.nn.functional import softplus

from src.synthetic import gradient
from src.synthetic.gradient import fastest_path, loss_and_gradient
from src.synthetic.model import PositionalAttentionModel


def task(runs=(), n=30, patches=6, dim=5, degree=3, dtype=torch.float64):
    """A model in the middle of its way, and a weighted sample whose last two members are padding.

    Margins stay below 20, from where on torch rounds the slope of softplus to 1.
    """
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    model = PositionalAttentionModel(patches, dim, degree, diagonal=0.7, dtype=dtype).with_parameters(
        normal(*runs, patches, patches), 0.15 / degree * normal(*runs, dim)
    )
    weight = torch.rand(*runs, n, generator=generator, dtype=dtype)
    weight[..., -2:] = 0
    return (
        model,
        normal(*runs, n, patches, dim),
        normal(*runs, n).sign(),
        weight / weight.sum(-1, keepdim=True),
    )


def by_autograd(model, patches, label, weight):
    """The slow reference: the forward pass of each run, differentiated by torch."""
    margin = label * model(patches)
    loss = (weight * softplus(-margin)).sum(-1)
    accuracy = (weight * (margin > 0)).sum(-1)
    grad_logits, grad_value = torch.autograd.grad(loss.sum(), [model.attention_logits, model.value_vector])
    return loss.detach(), accuracy, grad_value, grad_logits


def assert_close(ours, expected, tolerance):
    for one, other in zip(ours, expected, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() <= tolerance * max(1.0, other.abs().max())


@pytest.mark.parametrize("runs", [(), (1,), (4,)])
@pytest.mark.parametrize("degree", [3, 5, 7])
@pytest.mark.parametrize("path", ["plain", "blocked"])
def test_the_closed_form_is_autograds_for_one_run_and_many(monkeypatch, path, degree, runs):
    monkeypatch.setattr(gradient, "CACHE_BYTES", 3000)  # several blocks, the last one short
    model, patches, label, weight = task(runs, degree=degree)
    ours = loss_and_gradient(model, patches, label, weight=weight, path=path)
    assert_close(ours, by_autograd(model, patches, label, weight), 1e-12)


FUSED = """
import sys, torch
from src.synthetic.gradient import loss_and_gradient
cases = torch.load(sys.argv[1], weights_only=False)
torch.save([loss_and_gradient(*sample, weight=weight, path="fused") for *sample, weight in cases], sys.argv[1])
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="the kernel is written in Triton")
def test_the_fused_kernel_is_the_plain_path(tmp_path):
    """Run by Triton's interpreter, on the CPU; in a process of its own, since Triton looks for it when imported."""
    shapes = [((), 9, 6, 5, 3), ((3,), 5, 8, 16, 3), ((1,), 4, 16, 4, 5), ((2,), 1, 3, 1, 7)]
    cases = [
        task(runs, n + 2, patches, dim, degree, torch.float32) for runs, n, patches, dim, degree in shapes
    ]
    file = tmp_path / "cases.pt"
    torch.save(cases, file)
    subprocess.run(
        [sys.executable, "-c", FUSED, file], check=True, env={**os.environ, "TRITON_INTERPRET": "1"}
    )
    for (*sample, weight), ours in zip(cases, torch.load(file), strict=True):
        assert_close(ours, loss_and_gradient(*sample, weight=weight, path="plain"), 1e-5)


COMPILED = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from src.synthetic.fused import _kernel

for patches, dim in ((64, 64), (32, 64), (6, 5)):
    sides = {"BLOCK_D": 1 << (patches - 1).bit_length(), "BLOCK_DIM": 1 << (dim - 1).bit_length()}
    constants = {"D": patches, "DIM": dim, **sides, "HALF_DEGREE": 1}
    kinds = {"samples": "i32", "nu": "fp32", **dict.fromkeys(constants, "constexpr")}
    source = ASTSource(_kernel, {name: kinds.get(name, "*fp32") for name in _kernel.arg_names}, constants)
    made = compile(source, GPUTarget("cuda", 90, 32), {"num_warps": 8})
    print(patches, dim, len(made.asm["cubin"]) > 1000, ".local" in made.asm["ptx"])
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="the kernel is written in Triton")
def test_the_fused_kernel_compiles_for_a_gpu_and_stays_in_registers(tmp_path):
    """For compute capability 9.0, by Triton's compiler, which needs no GPU; the interpreter above accepts more."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], check=True, env=environment, capture_output=True, text=True
    )
    assert done.stdout.split("\n")[:-1] == ["64 64 True False", "32 64 True False", "6 5 True False"]


def test_by_default_every_sample_counts_alike_and_attention_may_be_left_out():
    model, patches, label, _ = task()
    weight = torch.full_like(label, 1 / len(label))
    expected = loss_and_gradient(model, patches, label, weight=weight, path="plain")
    assert_close(loss_and_gradient(model, patches, label), expected, 1e-12)
    *first, none = loss_and_gradient(model, patches, label, with_attention=False)
    assert_close(first, expected[:3], 1e-12)
    assert none is None


def test_the_cpu_goes_in_blocks():
    assert fastest_path(torch.zeros(3, 4, 5)) == "blocked"


def test_an_unknown_path_is_refused(unchecked):
    with pytest.raises(ValueError, match=r"path = 'plan': auto, .* is needed; the nearest: plain"):
        loss_and_gradient(*task()[:3], path="plan")
