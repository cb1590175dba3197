for (const root of document.querySelectorAll(".patch-explorer:not([data-ready])")) {
  root.dataset.ready = "";
  const rows = Number(root.dataset.rows), columns = Number(root.dataset.columns), patches = rows * columns;
  const stages = JSON.parse(root.dataset.stages);
  const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const colours = bytes(root.dataset.colours);
  const [slider, stage, area, where] = ["input", "output", ".pe-models", ".pe-where"].map(each => root.querySelector(each));
  const models = [...root.querySelectorAll("section")].map(section => ({
    similarity: bytes(section.dataset.similarity), attention: bytes(section.dataset.attention),
    map: section.querySelector(".pe-similarity"), heads: [...section.querySelectorAll(".pe-head")],
    said: section.querySelector(".pe-said"),
  }));
  let chosen = Math.floor(rows / 2) * columns + Math.floor(columns / 2);
  const name = patch => `row ${Math.floor(patch / columns) + 1}, column ${patch % columns + 1}`;
  const paint = (canvas, levels, start) => {
    const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
    for (let k = 0; k < patches; k++) {
      const level = 3 * levels[start + k];
      image.data.set([colours[level], colours[level + 1], colours[level + 2], 255], 4 * k);
    }
    image.data.set([255, 60, 60, 255], 4 * chosen);
    context.putImageData(image, 0, 0);
  };
  const show = () => {
    const at = Number(slider.value);
    stage.textContent = stages[at];
    slider.setAttribute("aria-valuetext", stages[at]);
    for (const { similarity, attention, map, heads, said } of models) {
      const start = (at * patches + chosen) * patches;
      paint(map, similarity, start);
      heads.forEach((canvas, head) => paint(canvas, attention, (head * patches + chosen) * patches));
      let best = chosen ? 0 : 1;
      for (let k = 0; k < patches; k++) if (k !== chosen && similarity[start + k] > similarity[start + best]) best = k;
      said.textContent = `Most alike: ${name(best)}`;
      map.dataset.best = best;
    }
    where.textContent = `Patch in ${name(chosen)} (red).`;
  };
  const choose = patch => { chosen = patch; show(); };
  const point = event => {
    const canvas = event.target.closest("canvas");
    if (!canvas) return;
    const box = canvas.getBoundingClientRect();
    const place = (at, start, size, count) => Math.min(count - 1, Math.max(0, Math.floor((at - start) / size * count)));
    choose(place(event.clientY, box.top, box.height, rows) * columns + place(event.clientX, box.left, box.width, columns));
  };
  area.addEventListener("pointermove", point);
  area.addEventListener("pointerdown", point);
  area.addEventListener("keydown", event => {
    const row = Math.floor(chosen / columns), column = chosen % columns;
    const to = {
      ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
    }[event.key];
    if (!to) return;
    event.preventDefault();
    if (to[0] >= 0 && to[0] < rows && to[1] >= 0 && to[1] < columns) choose(to[0] * columns + to[1]);
  });
  slider.addEventListener("input", show);
  show();
}
