"""A slider through training, for readers without Python: one self-contained piece of HTML."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class TrainingSlider:
    """What a notebook cell ends with: Jupyter and the book both show `html`."""

    num_steps: int
    curves: tuple[str, ...]
    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        return self.html


def training_slider(
    steps: ArrayLike,
    attention: ArrayLike | None,
    curves: Mapping[str, ArrayLike],
    *,
    sets: int | None = None,
    title: str = "Through training",
    label: str = "Attention",
) -> TrainingSlider:
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
    body = _BODY.format(
        steps=json.dumps(steps.tolist()),
        end=len(steps) - 1,
        title=escape(title),
        heat_map="" if attention is None else _heat_map(attention, len(steps), sets, label),
        curves="".join(_curve(name, steps, values) for name, values in curves.items()),
    )
    digest = hashlib.sha256(body.encode()).hexdigest()[:12]
    html = f'<div class="training-slider" id="training-slider-{digest}" {body}</div>\n{_STYLE}{_SCRIPT}'
    return TrainingSlider(len(steps), tuple(curves), html)


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


def _heat_map(attention: ArrayLike, num_steps: int, sets: int | None, label: str) -> str:
    attention = _checked_attention(attention, num_steps, sets)
    low, high = attention.min(), attention.max()
    levels = np.rint((attention - low) * (255 / (high - low or 1))).astype(np.uint8)
    colours = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)[:, :3]
    num_patches = attention.shape[-1]
    num_sets = num_patches // sets if sets else 1
    return _HEAT_MAP.format(
        size=num_patches,
        levels=_base64(levels),
        colours=_base64(colours),
        num_sets=num_sets,
        borders="".join(f"M{k} 0V{num_sets}M0 {k}H{num_sets}" for k in range(1, num_sets)),
        stops=",".join(to_hex(colour / 255) for colour in colours[::17]),
        low=f"{low:.3g}",
        high=f"{high:.3g}",
        label=escape(label),
        order=", patches ordered by set" if sets else "",
    )


def _curve(name: str, steps: np.ndarray, values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    x = 100 * (steps - steps[0]) / (steps[-1] - steps[0])
    y = 100 * (high - values) / (high - low) if high > low else np.full(len(values), 50.0)
    return _CURVE.format(
        name=escape(name),
        values=escape(json.dumps([f"{value:.4g}" for value in values])),
        points=" ".join(f"{a:.2f},{b:.2f}" for a, b in zip(x, y, strict=True)),
        zero=f'<path d="M0 {100 * high / (high - low):.2f}H100"/>' if low < 0 < high else "",
        low=f"{low:.3g}",
        high=f"{high:.3g}",
    )


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


# The digest of the body names the outer element, so the body starts inside its tag.
_BODY = """data-steps="{steps}">
<p class="ts-title">{title}</p>
<div class="ts-control">
<button type="button">Play</button>
<input type="range" min="0" max="{end}" value="0" autocomplete="off" aria-label="training step">
<output aria-live="off"></output>
</div>
<div class="ts-panels">{heat_map}
<div class="ts-curves">{curves}
</div>
</div>
"""

_HEAT_MAP = """
<figure class="ts-map">
<div class="ts-square">
<canvas width="{size}" height="{size}" role="img" aria-label="{label}" data-label="{label}"
 data-colours="{colours}" data-levels="{levels}"></canvas>
<svg viewBox="0 0 {num_sets} {num_sets}" aria-hidden="true"><path d="{borders}"/></svg>
</div>
<div class="ts-scale"><span>{low}</span>
<i style="background:linear-gradient(to right,{stops})"></i><span>{high}</span></div>
<figcaption>{label}: row <em>i</em> looks at column <em>j</em>{order}</figcaption>
</figure>"""

_CURVE = """
<figure class="ts-curve" data-values="{values}">
<figcaption>{name} <output aria-live="off"></output></figcaption>
<div class="ts-plot"><span>{high}</span><span>{low}</span><div>
<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img"
 aria-label="{name} over the steps, between {low} and {high}">{zero}<polyline points="{points}"/></svg>
<i></i></div></div>
</figure>"""

_STYLE = """<style>
.training-slider { --ts-line: var(--pst-color-primary, var(--jp-brand-color1, #3b82c4)); max-width: 48rem;
  margin: 1rem 0; font-variant-numeric: tabular-nums }
.training-slider .ts-title { margin: 0 0 .5rem; font-weight: 600 }
.training-slider .ts-control { display: flex; align-items: center; gap: .75rem }
.training-slider button { min-width: 4.5em; padding: .3em .6em; font: inherit; font-size: .9em;
  color: inherit; cursor: pointer; background: none; border: 1px solid currentColor; border-radius: .3em }
.training-slider input { flex: 1; min-width: 0; accent-color: var(--ts-line) }
.training-slider :focus-visible { outline: 2px solid var(--ts-line); outline-offset: 2px }
.training-slider .ts-control output { min-width: 5.5em; text-align: right; white-space: nowrap }
.training-slider .ts-panels { display: flex; flex-wrap: wrap; gap: 1rem 2rem; margin-top: .8rem }
.training-slider .ts-panels > * { flex: 1 1 16rem; min-width: 0 }
.training-slider .ts-curves { display: grid; gap: .8rem 2rem; align-content: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 1fr)) }
.training-slider figure { margin: 0; padding: 0 }
.training-slider figcaption { margin: 0; padding: 0; color: inherit; font: inherit; font-size: .85em;
  text-align: left }
.training-slider .ts-square { position: relative; aspect-ratio: 1 }
.training-slider .ts-square > * { position: absolute; inset: 0; width: 100%; height: 100% }
.training-slider canvas { image-rendering: pixelated }
.training-slider svg { display: block; overflow: visible; fill: none; stroke-width: 1.5 }
.training-slider svg * { vector-effect: non-scaling-stroke }
.training-slider .ts-square path { stroke: #fff; stroke-opacity: .4; stroke-width: 1 }
.training-slider .ts-scale { display: flex; align-items: center; gap: .5em; margin: .4rem 0;
  font-size: .75em }
.training-slider .ts-scale i { flex: 1; height: .7em }
.training-slider .ts-curve output { float: right; font-weight: 600 }
.training-slider .ts-plot { position: relative; height: 4.6em; padding: .8em .4em .4em 4em; font-size: .8em }
.training-slider .ts-plot > span { position: absolute; left: 0; top: .3em; width: 3.6em; text-align: right;
  font-size: .9em; opacity: .8 }
.training-slider .ts-plot > span + span { top: auto; bottom: 0 }
.training-slider .ts-plot > div { position: relative; height: 100%; border-left: 1px solid #7f7f7f99 }
.training-slider .ts-plot svg { width: 100%; height: 100% }
.training-slider .ts-plot polyline { stroke: var(--ts-line) }
.training-slider .ts-plot path { stroke: #7f7f7f; stroke-width: 1; stroke-dasharray: 3 3 }
.training-slider .ts-plot i { position: absolute; width: .7em; height: .7em; margin: -.35em;
  border-radius: 50%; background: var(--ts-line) }
</style>
"""

_SCRIPT = """<script>
for (const root of document.querySelectorAll(".training-slider:not([data-ready])")) {
  root.dataset.ready = "";
  const steps = JSON.parse(root.dataset.steps), last = steps.length - 1;
  const [play, slider, said, canvas] =
    ["button", "input", "output", "canvas"].map(tag => root.querySelector(tag));
  const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const levels = canvas && bytes(canvas.dataset.levels), colours = canvas && bytes(canvas.dataset.colours);
  const curves = [...root.querySelectorAll(".ts-curve")].map(figure => ({
    values: JSON.parse(figure.dataset.values), text: figure.querySelector("output"),
    points: figure.querySelector("polyline").points, dot: figure.querySelector("i"),
  }));
  const draw = t => {
    const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
    const size = canvas.width * canvas.height;
    for (let k = 0; k < size; k++) {
      const level = 3 * levels[t * size + k];
      image.data.set([colours[level], colours[level + 1], colours[level + 2], 255], 4 * k);
    }
    context.putImageData(image, 0, 0);
    canvas.setAttribute("aria-label", `${canvas.dataset.label} at step ${steps[t]}`);
  };
  const show = () => {
    const t = Number(slider.value);
    said.textContent = `step ${steps[t]}`;
    slider.setAttribute("aria-valuetext", `step ${steps[t]} of ${steps[last]}`);
    if (canvas) draw(t);
    for (const { values, text, points, dot } of curves) {
      text.textContent = values[t];
      dot.style.left = `${points.getItem(t).x}%`;
      dot.style.top = `${points.getItem(t).y}%`;
    }
  };
  let clock = null;
  const stop = () => { clearInterval(clock); clock = null; play.textContent = "Play"; };
  const tick = () => {
    if (!root.isConnected || Number(slider.value) >= last) return stop();
    slider.value = Number(slider.value) + 1;
    show();
  };
  play.addEventListener("click", () => {
    if (clock) return stop();
    if (Number(slider.value) >= last) slider.value = 0;
    show();
    play.textContent = "Pause";
    clock = setInterval(tick, Math.max(50, 6000 / steps.length));
  });
  slider.addEventListener("input", show);
  show();
}
</script>
"""
