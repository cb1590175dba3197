"""A slider through training, for readers without Python: one self-contained piece of HTML."""

import json
from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from numpy.typing import ArrayLike

from src.evidence.html import Html, base64_text, widget


def training_slider(
    steps: ArrayLike,
    attention: ArrayLike | None,
    curves: Mapping[str, ArrayLike],
    *,
    sets: int | None = None,
    title: str = "Through training",
    label: str = "Attention",
) -> Html:
    """A slider through a training run: the attention matrix and the curves at the chosen step.

    The same arguments give the same text, byte for byte, so that an executed notebook has clean diffs.

    Parameters
    ----------
    steps : (t,) increasing integers, the recorded steps.
    attention : (t, D, D), patches ordered by set; or None, and the curves stand alone.
    curves : name -> (t,); each is drawn on its own scale.
    sets : set size C; thin lines then part the sets of the heat map.
    title : the heading.
    label : what the heat map shows, for its caption and for screen readers.

    Raises
    ------
    ValueError : for a shape that does not fit `steps`, a set size that does not divide D, numbers not finite.

    Notes
    -----
    The picture has 256 levels between the smallest and the largest value of the *whole* run, so that a colour
    means the same at every step.
    """
    steps = _checked_steps(steps)
    curves = {name: _checked(f"curves[{name!r}]", values, (len(steps),)) for name, values in curves.items()}
    if attention is None and not curves:
        raise ValueError("attention is None and curves is empty: give at least one of them")
    return widget(
        "slider",
        "training-slider",
        steps=json.dumps(steps.tolist()),
        end=len(steps) - 1,
        title=title,
        label=label,
        map=None if attention is None else _heat_map(attention, len(steps), sets),
        curves=[_curve(name, steps, values) for name, values in curves.items()],
    )


def _checked_steps(steps: ArrayLike) -> np.ndarray:
    steps = np.asarray(steps)
    if steps.ndim != 1 or len(steps) < 2 or not np.issubdtype(steps.dtype, np.integer):
        raise ValueError(f"steps has shape {steps.shape} and dtype {steps.dtype}: needs (t,) integers, t > 1")
    if np.any(np.diff(steps) <= 0):
        raise ValueError(f"steps is {steps.tolist()}: needs increasing integers")
    return steps


def _checked(name: str, values: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.shape != shape:
        raise ValueError(f"{name} has shape {values.shape}: needs {shape}, one entry a step")
    broken = np.argwhere(~np.isfinite(values))
    if len(broken):
        raise ValueError(f"{name} is not finite at entry {broken[0, 0]}: cut the run before it")
    return values


def _checked_attention(attention: ArrayLike, num_steps: int, sets: int | None) -> np.ndarray:
    shape = np.shape(attention)
    if len(shape) != 3 or shape[1] != shape[2]:
        raise ValueError(f"attention has shape {shape}: needs (t, D, D) with t = {num_steps}")
    if sets is not None and (sets < 1 or shape[1] % sets):
        raise ValueError(f"sets is {sets}: needs a set size that divides the number of patches, {shape[1]}")
    return _checked("attention", attention, (num_steps, *shape[1:]))


def _heat_map(attention: ArrayLike, num_steps: int, sets: int | None) -> dict[str, object]:
    attention = _checked_attention(attention, num_steps, sets)
    low, high = attention.min(), attention.max()
    levels = np.rint((attention - low) * (255 / (high - low or 1))).astype(np.uint8)
    colours = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)[:, :3]
    num_patches = attention.shape[-1]
    num_sets = num_patches // sets if sets else 1
    return {
        "size": num_patches,
        "levels": base64_text(levels),
        "colours": base64_text(colours),
        "num_sets": num_sets,
        "borders": "".join(f"M{k} 0V{num_sets}M0 {k}H{num_sets}" for k in range(1, num_sets)),
        "stops": ",".join(to_hex(colour / 255) for colour in colours[::17]),
        "low": f"{low:.3g}",
        "high": f"{high:.3g}",
        "order": ", patches ordered by set" if sets else "",
    }


def _curve(name: str, steps: np.ndarray, values: np.ndarray) -> dict[str, object]:
    low, high = values.min(), values.max()
    x = 100 * (steps - steps[0]) / (steps[-1] - steps[0])
    y = 100 * (high - values) / (high - low) if high > low else np.full(len(values), 50.0)
    return {
        "name": name,
        "numbers": json.dumps([f"{value:.4g}" for value in values]),
        "points": " ".join(f"{a:.2f},{b:.2f}" for a, b in zip(x, y, strict=True)),
        "zero": 100 * high / (high - low) if low < 0 < high else None,
        "low": f"{low:.3g}",
        "high": f"{high:.3g}",
    }
