"""Algorithms against their definitions, the lists that are drawn, and what each kind of attention sees."""

import math
from statistics import median

import pytest
import torch

from src.common.seeding import child_generator
from src.synthetic.algorithms import TASKS, Shape, Transformers, draw_numbers, train


def stream(*name) -> torch.Generator:
    return child_generator(0, *name)


def nets(*, positional: bool, count: int = 2) -> Transformers:
    return Transformers(Shape(4, 2, 6, 2, positional), [stream("net", index) for index in range(count)])


def largest_sum(prefix: list[float]) -> float:
    ends = range(len(prefix) + 1)
    return max(sum(prefix[start:end]) for start in ends for end in ends if start < end)


SLOW = {"sum": sum, "min": min, "median": median, "subarray": largest_sum}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_its_definition_on_every_prefix(task):
    numbers = draw_numbers(40, 7, 2.0, generator=stream("numbers")).double()
    found = TASKS[task](numbers)
    for row, result in zip(numbers.tolist(), found.tolist(), strict=True):
        slow = sorted(row) if task == "sort" else [SLOW[task](row[: end + 1]) for end in range(len(row))]
        assert result == pytest.approx(slow, abs=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_ten_times_the_numbers_have_ten_times_the_answer(task):
    numbers = draw_numbers(20, 8, 2.0, generator=stream("numbers")).double()
    assert torch.allclose(TASKS[task](10 * numbers), 10 * TASKS[task](numbers))


def test_each_list_has_ends_of_its_own_within_reach():
    numbers = draw_numbers(4000, 50, 2.0, generator=stream("numbers"))
    assert numbers.abs().max() <= 2
    spread = numbers.amax(1) - numbers.amin(1)  # of two uniform ends, 4 / 3 in the mean, times 49 / 51
    assert spread.mean().item() == pytest.approx(4 / 3 * 49 / 51, abs=0.05)
    assert abs(numbers.mean().item()) < 0.05


def test_lists_outside_have_an_end_beyond_the_range_of_training():
    numbers = draw_numbers(2000, 400, 3.0, outside=2.0, generator=stream("numbers"))
    assert numbers.abs().max() <= 3
    assert (numbers.abs().amax(1) > 1.95).float().mean() > 0.97  # 400 numbers come near to their ends


def test_a_range_outside_must_reach_beyond():
    with pytest.raises(ValueError, match=r"outside = 2.0 is not in \[0, reach = 2.0\)"):
        draw_numbers(1, 3, 2.0, outside=2.0, generator=stream("numbers"))


def slowly(model: Transformers, net: int, numbers: torch.Tensor) -> list[float]:
    """One list through one network, token by token and head by head."""
    weights = {name: value[net] for name, value in model.state_dict().items()}

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"][0]

    tokens = len(numbers) + 1
    positions = torch.eye(tokens)
    x = torch.cat([numbers, torch.zeros(1)])[:, None]
    x = linear("encode", x if model.shape.positional else torch.cat([x, positions], 1))
    for layer in (f"layers.{index}" for index in range(model.shape.depth)):
        seen = positions if model.shape.positional else x
        query, key, value = (
            linear(f"{layer}.{name}", of).chunk(model.shape.heads, 1)
            for name, of in (("query", seen), ("key", seen), ("value", x))
        )
        heads = []
        for q, k, v in zip(query, key, value, strict=True):
            raised = [
                [math.exp(q[i] @ k[j] / math.sqrt(len(k[j]))) for j in range(tokens)] for i in range(tokens)
            ]
            heads.append(
                torch.stack(
                    [sum(w * each for w, each in zip(row, v, strict=True)) / sum(row) for row in raised]
                )
            )
        attended = linear(f"{layer}.out", torch.cat(heads, 1))
        x = linear(f"{layer}.last", linear(f"{layer}.hidden", torch.cat([x, attended], 1)).relu())
    return linear("decode", x)[:-1, 0].tolist()


@pytest.mark.parametrize("positional", [True, False])
@torch.no_grad()
def test_networks_side_by_side_are_each_the_slow_one(positional):
    model = nets(positional=positional)
    numbers = torch.stack([draw_numbers(3, 4, 2.0, generator=stream("numbers", net)) for net in range(2)])
    found = model(numbers)
    for net in range(2):
        for sample in range(3):
            slow = slowly(model, net, numbers[net, sample])
            assert found[net, sample].tolist() == pytest.approx(slow, abs=1e-5)


@torch.no_grad()
def test_without_biases_only_positional_attention_scales_with_its_input():
    numbers = draw_numbers(5, 4, 2.0, generator=stream("numbers")).expand(2, -1, -1)
    for positional in (True, False):
        model = nets(positional=positional)
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                value.zero_()
        scales = torch.allclose(model(10 * numbers), 10 * model(numbers), atol=1e-4)
        assert scales == positional


def test_each_network_learns_by_itself():
    numbers = torch.stack([draw_numbers(60, 4, 2.0, generator=stream("numbers", net)) for net in range(2)])
    targets = numbers.cumsum(2)
    options = {"steps": 100, "batch_size": 20, "learning_rate": 0.01}
    both = nets(positional=True)
    losses = train(both, numbers, targets, **options, generator=stream("order"))
    assert losses[-1] < 0.5 * losses[0]
    first = nets(positional=True, count=1)
    train(first, numbers[:1], targets[:1], **options, generator=stream("order"))
    assert torch.allclose(first(numbers[:1]), both(numbers)[:1], atol=1e-2)
