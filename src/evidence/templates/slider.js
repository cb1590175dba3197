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
