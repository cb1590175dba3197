"""Many independent descents at once against one after the other."""

from copy import deepcopy
from dataclasses import replace

import torch
from harness import Promise, arguments, compare, curve, finish

from src.common.seeding import child_generator
from src.structure import Partition
from src.synthetic.distribution import SpatialDistribution, random_feature
from src.synthetic.model import PositionalAttentionModel
from src.synthetic.realistic import Run, many_descents

RUNS, PATCHES, SET_SIZE, DIM, STEPS = 64, 32, 4, 64, 10
SIZES = (10, 30, 100, 300)
TOLERANCE = 1e-3  # float32, after STEPS iterations, relative to the largest entry
ALONE, TOGETHER = f"{RUNS} descents, one after the other", f"{RUNS} descents at once"
PROMISE = Promise(
    "many_descents",
    f"{RUNS} independent descents at once (own partitions, features, and N in {SIZES}; D = {PATCHES}, d = {DIM}, "
    f"{STEPS} iterations, float32) against one after the other.",
    at_least={"cpu": 1.0, "cuda": 10.0},
)


def make_run(index: int, device: torch.device) -> Run:
    """Run `index`: its own partition, feature, sample and start, and one of the sample sizes."""
    generator = child_generator(0, "many descents", index, device=device)
    partition = Partition.random(PATCHES, SET_SIZE, generator=generator)
    distribution = SpatialDistribution(partition, random_feature(DIM, generator=generator), 0.4)
    sample = distribution.sample(SIZES[index % len(SIZES)], generator=generator)
    model = PositionalAttentionModel(PATCHES, DIM, generator=generator)
    return Run(model, sample.patches, sample.label, 1e-3, 50.0)


def at_once(runs: list[Run]):
    return lambda: many_descents(fresh(runs), steps=STEPS, record_every=STEPS)


def one_by_one(runs: list[Run]):
    return lambda: [many_descents([run], steps=STEPS, record_every=STEPS)[0] for run in fresh(runs)]


def fresh(runs: list[Run]) -> list[Run]:
    """The same runs with copies of their models, so that each call begins where the others began."""
    return [replace(run, model=deepcopy(run.model)) for run in runs]


def agreement(runs: list[Run]) -> str:
    """Both ways from the same start to the same end."""
    worst = 0.0
    for ours, theirs in zip(at_once(runs)(), one_by_one(runs)(), strict=True):
        for name in ("loss", "attention_logits", "value_vector"):
            a, b = getattr(ours, name), getattr(theirs, name)
            worst = max(worst, ((a - b).abs().max() / b.abs().max()).item())
    if not worst <= TOLERANCE:
        raise SystemExit(f"the two ways end {worst:.1e} apart; at most {TOLERANCE:.0e} was expected")
    return f"Losses and states of every run agree within {worst:.0e} of their largest entry."


def main() -> None:
    chosen = arguments(__doc__)
    runs = [make_run(index, chosen.device) for index in range(RUNS)]
    agreed = agreement(runs)
    calls = {ALONE: one_by_one(runs), TOGETHER: at_once(runs)}
    work = dict.fromkeys(calls, RUNS * STEPS)
    rows = compare(calls, repeats=chosen.repeats, device=chosen.device, work=work, unit="iterations")
    curves = [
        curve(
            f"{name} over the number of runs",
            "runs",
            [(count, way(runs[:count])) for count in (4, 16, 64)],
            device=chosen.device,
        )
        for name, way in (("one after the other", one_by_one), ("at once", at_once))
    ]
    finish(PROMISE, rows, chosen, reference=ALONE, contender=TOGETHER, curves=curves, agreement=agreed)


if __name__ == "__main__":
    main()
