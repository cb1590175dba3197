"use strict";
/* Makes a playground of every <div class="playground">. Without attributes it has all controls, and takes its settings
 * from the page's address. With `data-fields="q diagonal"` it has these alone, starts at `data-settings="D=32&q=0.4"`,
 * and its link opens `data-page`.
 */
(() => {
  const FIELDS = {
    q: "q, chance of a distractor", diagonal: "diagonal of A, held", D: "D, patches", C: "C, patches in a set",
    N: "N, samples", steps: "steps",
  };
  const MORE = {
    d: "d, patch dimension", p: "p, degree", nu: "ν, linear coefficient", lr_value: "step size of v",
    lr_attention: "step size of A, per entry", init_scale: "scale of v and A at the start", seed: "seed",
  };
  const SLIDERS = { q: [0, 1], diagonal: [-2, 5] };
  const CHECKS = { fresh: "new samples each step", idealized: "idealized: three numbers" };
  const NUMBERS = {
    step: "step", loss: "loss", accuracy: "accuracy, training", test: "accuracy, unseen", linear: "linear rule, accuracy",
    association: "association", alignment: "alignment", alpha: "α", gamma: "γ", rho: "ρ",
    own: "rows on own set", other: "rows on another",
  };
  const CURVES = ["test", "association", "alignment"];
  const VIRIDIS = ["440154", "443983", "31688e", "21918c", "35b779", "90d743", "fde725"]
    .map((hex) => [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16)));
  const each = (object, html) => Object.entries(object).map(([key, value]) => html(key, value)).join("");

  const field = (key, label) => `<div data-field="${key}"><label>${label} <input name="pg-${key}" inputmode="decimal"
    autocomplete="off"></label>${key in SLIDERS ? `<input type="range" data-slides="${key}" min="${SLIDERS[key][0]}"
    max="${SLIDERS[key][1]}" step="0.01" aria-label="${key}">` : ""}</div>`;
  const page = `
<form><div class="pg-fields">${each(FIELDS, field)}</div>
<details><summary>more settings</summary><div class="pg-fields">${each(MORE, field)}</div></details>
<div class="pg-row">${each(CHECKS, (key, label) =>
    `<label><input type="checkbox" name="pg-${key}" value="1"> ${label}</label>`)}
<label><input type="checkbox" data-hold> hold the diagonal at 0</label></div>
<p class="pg-error" role="alert"></p>
<div class="pg-row"><button class="pg-run">Run</button><button type="button" data-do="step">One step</button>
<button type="button" data-do="reset">Reset</button><span class="pg-status" role="status"></span></div>
<dl class="pg-numbers">${each(NUMBERS, (key, label) =>
    `<div><dt>${label}</dt><dd data-number="${key}"></dd></div>`)}</dl>
<div class="pg-panels">
<figure><figcaption>Attention: row <i>i</i> looks at column <i>j</i></figcaption>
<div class="pg-square"><canvas role="img"></canvas><svg aria-hidden="true"><path/></svg></div>
<div class="pg-scale">0 <i></i> <span></span></div>
<label>patches ordered by <select data-order><option>set<option>position</select></label></figure>
<figure class="pg-sets"><figcaption>The hidden sets, on the grid</figcaption>
<div class="pg-grid" role="group" aria-label="Grid of patches"></div>
<label>partition <select name="pg-partition"><option>${Descent.PARTITIONS.join("<option>")}</select></label>
<p>To draw a set, drag from one of its patches over others; with keys, arrows move, space begins and ends.</p>
</figure>
<figure><figcaption>Loss</figcaption><div class="pg-plot" data-plot="loss"></div></figure>
<figure><figcaption>${[...CURVES, "linear"].map((key) =>
    `<span class="pg-${key}">${NUMBERS[key]}</span> `).join("")}</figcaption>
<div class="pg-plot" data-plot="shares"></div></figure></div></form>
<a class="pg-link">A link to these settings</a>`;

  function playground(root) {
    root.innerHTML = page;
    const find = (selector) => root.querySelector(selector), form = find("form"), error = find(".pg-error");
    const shown = root.dataset.fields?.split(" ");
    const calm = matchMedia("(prefers-reduced-motion: reduce)"); // then pictures change once a second
    let settings, latest, rows, membership, id = 0, waiting = false;
    const post = connectDescent(show);
    const grid = patchGrid(find(".pg-grid"), (drawn) => {
      membership = drawn;
      restart({ partition: "drawn", sets: "" });
    });
    root.classList.toggle("pg-small", Boolean(shown));
    for (const box of root.querySelectorAll("[data-field]")) box.hidden = shown && !shown.includes(box.dataset.field);

    /** Start anew from the form; where it is refused, the run before it stays. */
    function restart(more = {}) {
      const fields = [...new FormData(form)].map(([name, value]) => [name.slice(3), value]);
      const given = { ...Object.fromEntries(fields), ...more };
      if (given.partition === "drawn") given.sets = [...membership].map((set) => Descent.LETTERS[set]).join("");
      attempt(given, latest.running);
    }

    function attempt(given, running) {
      try {
        begin(Descent.checkSettings(given), running);
        error.textContent = "";
      } catch (refused) {
        error.textContent = refused.message;
      }
      for (const input of root.querySelectorAll("input[name]")) {
        input.setAttribute("aria-invalid", error.textContent.startsWith(`${input.name.slice(3)} `));
      }
    }

    function begin(checked, running) {
      settings = checked;
      rows = [];
      latest = { running, step: 0 };
      membership = Descent.makePartition(settings);
      fill();
      grid.show(membership);
      const link = `#${new URLSearchParams(settings)}`;
      find(".pg-link").href = (root.dataset.page ?? "") + link;
      if (!shown) history.replaceState(null, "", link);
      post({ id: ++id, settings });
      if (running) post({ until: settings.steps });
    }

    function fill() {
      for (const input of form.querySelectorAll("[name]")) {
        const value = settings[input.name.slice(3)];
        if (input.type === "checkbox") input.checked = value;
        else input.value = value;
      }
      for (const range of root.querySelectorAll("[data-slides]")) range.value = settings[range.dataset.slides];
      find("[data-hold]").checked = settings.diagonal === 0;
    }

    function show(report) {
      if (report.id !== id) return;
      latest = report;
      rows.push(...report.rows);
      if (waiting) return;
      waiting = true;
      setTimeout(requestAnimationFrame, calm.matches && report.running ? 1000 : 0, draw);
    }

    function draw() {
      waiting = false;
      if (latest.id !== id) return;
      const { step, state, running, finite } = latest;
      const values = { step, linear: 1 - Descent.linearRuleError(settings.D, settings.C, settings.q), ...state };
      for (const key in NUMBERS) find(`[data-number=${key}]`).textContent = short(values[key]);
      find(".pg-run").textContent = running ? "Pause" : "Run";
      root.dataset.state = running ? "running" : "stopped";
      const { lr_value, lr_attention } = settings, at = `lr_value = ${lr_value} and lr_attention = ${lr_attention}`;
      find(".pg-status").textContent = finite ? root.dataset.state
        : `the loss became ${state.loss} at step ${step} with ${at}; smaller steps are needed, say a third`;
      drawMatrix(find("figure"), state.attention, membership, find("[data-order]").value === "set");
      const points = [...rows, { step, ...state }], end = Math.max(settings.steps, step);
      drawCurves(find("[data-plot=loss]"), points, ["loss"], end, Math.max(...points.map((row) => row.loss)));
      drawCurves(find("[data-plot=shares]"), points, CURVES, end, 1, values.linear);
    }

    const fromLink = (link) => attempt(Object.fromEntries(new URLSearchParams(link)), false);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const { running, step } = latest; // a run that has ended goes on for as many steps again
      post({ until: running ? 0 : (Math.floor(step / settings.steps) + 1) * settings.steps });
    });
    form.addEventListener("change", ({ target }) => {
      if (target.dataset.order !== undefined) return draw();
      if (target.dataset.hold !== undefined) return restart({ diagonal: target.checked ? 0 : 1 });
      if (target.name) restart();
    });
    form.addEventListener("input", ({ target }) => {
      if (target.dataset.slides) restart({ [target.dataset.slides]: target.value });
    });
    root.addEventListener("click", ({ target }) => {
      if (target.dataset.do === "step") post({ until: latest.step + 1 });
      if (target.dataset.do === "reset") begin(settings, false);
    });
    const address = () => (location.hash.includes("=") ? location.hash.slice(1) : "");
    fromLink(shown ? root.dataset.settings ?? "" : address());
    if (!settings) begin(Descent.checkSettings({}), false); // a refused link: its error stays to be read
    if (!shown) addEventListener("hashchange", () => address() && fromLink(address()));
  }

  const short = (value) => (!Number.isFinite(value) ? "–" : String(Number(value.toPrecision(4))));

  function drawMatrix(figure, attention, membership, bySet) {
    const D = membership.length, canvas = figure.querySelector("canvas"), top = Math.max(...attention);
    const order = [...membership.keys()];
    if (bySet) order.sort((i, j) => membership[i] - membership[j] || i - j);
    canvas.width = canvas.height = D;
    const context = canvas.getContext("2d"), image = context.createImageData(D, D);
    for (let at = 0; at < D * D; at++) {
      const level = (6 * attention[order[Math.floor(at / D)] * D + order[at % D]]) / top;
      const low = Math.min(5, Math.floor(level)), part = level - low;
      for (let k = 0; k < 3; k++) image.data[4 * at + k] = (1 - part) * VIRIDIS[low][k] + part * VIRIDIS[low + 1][k];
      image.data[4 * at + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    canvas.setAttribute("aria-label", `Attention matrix, ${D} by ${D}, between 0 and ${short(top)}`);
    figure.querySelector("span").textContent = short(top);
    const C = membership.filter((set) => set === 0).length;
    let borders = "";
    for (let k = C; bySet && k < D; k += C) borders += `M${k} 0V${D}M0 ${k}H${D}`;
    figure.querySelector("svg").setAttribute("viewBox", `0 0 ${D} ${D}`);
    figure.querySelector("path").setAttribute("d", borders);
  }

  /** Curves over log(step + 1), from 0 to `top`; `mark` is a level to compare with. */
  function drawCurves(plot, points, names, end, top, mark) {
    const x = (step) => (100 * Math.log1p(step)) / Math.log1p(end);
    const y = (value) => 100 * (1 - Math.min(Math.max(value, 0), top) / top);
    const seen = points.filter((point) => Number.isFinite(point.loss));
    const ticks = [1, 10, 100, 1000, 10000].filter((step) => step <= end);
    const lines = names.map((name) => `<polyline class="pg-${name}" points="${
      seen.map((point) => `${x(point.step).toFixed(2)},${y(point[name]).toFixed(2)}`).join(" ")}"/>`);
    plot.innerHTML = `<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="${
      names.map((name) => `${name} ${short(points.at(-1)[name])}`).join(", ")} at step ${points.at(-1).step}">
      <path d="${ticks.map((step) => `M${x(step)} 0V100`).join("")}"/>
      ${mark ? `<path class="pg-mark" d="M0 ${y(mark)}H100"/>` : ""}${lines.join("")}</svg>
      <b>${short(top)}</b><b>0</b>${ticks.map((step) => `<small style="left:${x(step)}%">${step}</small>`).join("")}`;
  }

  /** The grid of patches. A set is drawn by a stroke; a patch that it takes is exchanged for another. */
  function patchGrid(element, drawn) {
    let membership, stroke = null, before; // stroke: the patches painted so far
    const cells = () => [...element.children];
    function show(given) {
      membership = Uint8Array.from(given);
      const width = Descent.gridShape(membership.length)[1];
      element.style.setProperty("--columns", width);
      if (element.children.length !== membership.length) {
        element.replaceChildren(...Array.from(membership, () => document.createElement("button")));
      }
      cells().forEach((cell, i) => {
        cell.type = "button";
        cell.textContent = membership[i] + 1;
        cell.style.setProperty("--hue", (membership[i] * 137.5) % 360);
        cell.tabIndex = i ? -1 : 0;
        cell.setAttribute("aria-label", `patch ${i}, set ${cell.textContent}`);
        cell.setAttribute("aria-pressed", Boolean(stroke?.includes(i)));
      });
    }
    function paint(patch) {
      if (!stroke || patch < 0 || patch === stroke.at(-1)) return;
      const set = membership[stroke[0] ?? patch];
      if (membership[patch] !== set) { // for one that the stroke has not touched
        const spare = membership.findIndex((s, i) => s === set && !stroke.includes(i));
        if (spare < 0) return;
        membership[spare] = membership[patch];
        membership[patch] = set;
      }
      if (!stroke.includes(patch)) stroke.push(patch);
      show(membership);
    }
    function end() {
      if (!stroke) return;
      stroke = null;
      show(membership);
      if (membership.some((set, i) => set !== before[i])) drawn(membership);
    }
    const begin = (patch) => { [stroke, before] = [[], membership.slice()]; paint(patch); };
    element.addEventListener("pointerdown", ({ target }) => target !== element && begin(cells().indexOf(target)));
    element.addEventListener("pointermove", ({ clientX, clientY }) =>
      paint(cells().indexOf(document.elementFromPoint(clientX, clientY))));
    for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, end);
    element.addEventListener("keydown", (event) => {
      const at = cells().indexOf(event.target), width = Descent.gridShape(membership.length)[1];
      const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width }[event.key];
      if (event.key === " ") stroke ? end() : begin(at);
      else if (event.key === "Escape") end();
      else if (!by) return;
      event.preventDefault();
      const next = cells()[at + (by ?? 0)];
      next?.focus();
      if (by && next) paint(at + by);
    });
    return { show };
  }

  document.querySelectorAll(".playground:not([data-state])").forEach(playground);
})();
