"use strict";
/* Runs a descent away from the page. A page that is a file may not start a worker from another file: the worker is made
 * of two functions' text. Where that is refused too, the same code runs in the page, in short turns.
 */

/** Answers {id, settings}, a new descent, and {until}, a step to go to, with reports of where it stands. */
function serveDescent(Descent, report, turn) {
  let start, id, descent, until, rows, nextRow, timer;

  /** A row of the curves: at each of the first 100 steps, then at steps that grow by 1 %. */
  function record() {
    if (descent.step < nextRow) return;
    const { loss, test, association, alignment } = descent.state();
    rows.push({ step: descent.step, loss, test, association, alignment });
    nextRow = Math.max(descent.step + 1, Math.ceil(descent.step * 1.01));
  }

  function tick() {
    if (start) {
      id = start.id;
      descent = Descent.start(start.settings);
      [start, rows, nextRow] = [null, [], 0];
      record();
    }
    const end = performance.now() + turn;
    while (descent.step < until && descent.finite() && performance.now() < end) {
      descent.advance();
      record();
    }
    const running = descent.step < until && descent.finite();
    report({ id, step: descent.step, finite: descent.finite(), running, rows, state: descent.state() });
    rows = [];
    if (running) timer = setTimeout(tick, 0);
  }

  return (message) => {
    clearTimeout(timer); // of many starts in a row, the last counts
    if (message.settings) start = message;
    until = message.until ?? 0;
    timer = setTimeout(tick, 0);
  };
}

/** Takes messages for `serveDescent`, in a worker if there can be one. */
function connectDescent(report) {
  const sent = []; // since the last start, in case the worker fails
  let post;
  const inPage = () => {
    const handle = serveDescent(Descent, report, 12);
    post = handle;
    sent.forEach(post);
  };
  try {
    const text = `"use strict";
      const handle = (${serveDescent})((${descentLibrary})(), (told) => postMessage(told), 50);
      onmessage = ({ data }) => handle(data);`;
    const worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
    worker.onmessage = ({ data }) => report(data);
    worker.onerror = () => { worker.terminate(); inPage(); };
    post = (message) => worker.postMessage(message);
  } catch {
    inPage();
  }
  return (message) => {
    if (message.settings) sent.length = 0;
    sent.push(message);
    post(message);
  };
}
