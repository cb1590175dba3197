"""Claim `events`: does alpha grow, then gamma, then alpha again? It depends on the ratio of the two steps."""

from math import log10

import numpy as np

from src.common.device import pick_device
from src.common.seeding import child_generator
from src.experiments.measured import Measured, columns
from src.experiments.settings import EventsSettings
from src.synthetic.flow import Flow, critical_ratio, idealized_flow
from src.synthetic.idealized import IdealizedModel, sample_counts

SHOWN = 200  # points of a drawn path


def run(settings: EventsSettings) -> Measured:
    """Source: Events I to III, in public slides' words. Cost: about 20 s a seed.

    Expected: alpha shrinks after association below the critical ratio and grows above it, to the same end; the
    critical ratio is predicted within a factor of 3.
    """
    shape = (settings.num_patches, settings.set_size)
    model = IdealizedModel(*shape, settings.degree, settings.linear_coefficient, settings.diagonal)
    pick_device(settings.device)  # refuses what is not at hand; the flow is SciPy's, on the CPU
    rows, growths, paths = [], [], []
    for index in range(settings.num_seeds):
        generator = child_generator(settings.seed, "events", index)
        sample = sample_counts(*shape, settings.distractor_prob, settings.flow_inputs, generator=generator)
        flows = [idealized_flow(model, sample, ratio) for ratio in settings.step_ratios]
        own = idealized_flow(model, sample, settings.lr_attention / settings.lr_value)
        growth = np.array([flow.alpha_growth for flow in flows])
        rows.append(
            {
                **_events(own),
                "critical_ratio_log10": _crossing(np.log10(settings.step_ratios), growth),
                "critical_ratio_log10_predicted": log10(max(critical_ratio(model, sample), 1e-9)),
            }
        )
        growths.append(growth)
        paths.append([*flows, own])
    arrays = {"step_ratios": settings.step_ratios, "alpha_growth": np.stack(growths), **_drawn(paths[0])}
    return Measured(columns(rows), arrays)


def _events(flow: Flow) -> dict[str, float]:
    """The three events of one path, each a number: nan where the rows never associate.

    gap_before_alpha : Event I, the share of the gap at association that is there at half of alpha at association.
    gamma_lead : Event II, gamma minus |rho| at association. alpha_growth : Event III.
    """
    associated = flow.association
    if associated is None:
        return dict.fromkeys(("gap_before_alpha", "gamma_lead", "alpha_growth"), np.nan)
    gap = flow.gamma - flow.rho
    half = (flow.alpha >= flow.alpha[associated] / 2).argmax()
    return {
        "gap_before_alpha": gap[half] / gap[associated],
        "gamma_lead": flow.gamma[associated] - abs(flow.rho[associated]),
        "alpha_growth": flow.alpha_growth,
    }


def _crossing(ratio: np.ndarray, growth: np.ndarray) -> float:
    """Where the growth first passes 0 for good, between two ratios of the map; nan where it has one sign throughout."""
    below = np.flatnonzero(~(growth > 0))
    if not len(below) or below[-1] == len(growth) - 1:
        return np.nan
    low = below[-1]
    step = growth[low + 1] - growth[low]
    return ratio[low] - growth[low] / step * (ratio[low + 1] - ratio[low])


def _drawn(flows: list[Flow]) -> dict[str, np.ndarray]:
    """alpha, gamma and rho of the first repetition at common times: a path for each ratio, and the own ratio's last."""
    time = np.geomspace(flows[0].time[-1] / 1e5, flows[0].time[-1], SHOWN)
    curves = {
        name: [np.interp(time, f.time, getattr(f, name)) for f in flows] for name in ("alpha", "gamma", "rho")
    }
    return {"time": time, **{name: np.stack(values) for name, values in curves.items()}}
