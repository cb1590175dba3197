"use strict";
/* The mathematics of the playground, part by part as in src/synthetic and src/structure.py, and tested against them.
 * n samples, D patches of dimension d, sets of C; arrays are flat, the last index fastest; data are float32, sums and
 * parameters float64. One function holds it all, so that a worker can be made of its text.
 */
function descentLibrary() {
  // ---- Settings, by the paper's letters or the package's names; a link has the same keys.
  const NUMBERS = { // the default, the least, the most
    D: [16, 2, 64, "integer"], // num_patches
    C: [4, 2, 64, "integer"], // set_size
    d: [16, 1, 256, "integer"], // patch_dim
    q: [0.6, 0, 1], // distractor_prob
    N: [1000, 1, 100000, "integer"], // num_samples
    p: [3, 3, 9, "integer"], // degree
    nu: [0.03, 0, 10], // linear_coefficient
    diagonal: [1, -20, 20],
    lr_value: [0.001, 0, 1e6],
    lr_attention: [50, 0, 1e6],
    init_scale: [0.001, 0, 10], // of v and A
    steps: [200, 1, 100000, "integer"],
    seed: [0, 0, 4294967295, "integer"],
    fresh: [0, 0, 1, "integer"], // 1: new samples each step
    idealized: [0, 0, 1, "integer"], // 1: the idealized process
  };
  const PARTITIONS = ["random", "blocks", "drawn"];
  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"; // of the sets
  const MOST_NUMBERS = 2e7; // in a sample's patches: 80 MB

  /** Settings from texts or numbers, defaults for what is missing. A refusal is one line, as in the package. */
  function checkSettings(given) {
    const known = [...Object.keys(NUMBERS), "partition", "sets"], settings = {};
    for (const key of Object.keys(given)) {
      if (!known.includes(key)) throw new Error(`${key} is no setting: one of ${known.join(", ")} is needed`);
    }
    for (const [key, rule] of Object.entries(NUMBERS)) settings[key] = checkNumber(key, given[key], rule);
    const { D, C, d, N, p } = settings, { partition = "blocks", sets = "" } = given;
    if (D % C) throw new Error(`C = ${C} does not divide D = ${D}; the nearest that does: ${nearestDivisor(D, C)}`);
    if (p % 2 === 0) throw new Error(`p = ${p}: an odd integer >= 3 is needed; the nearest: ${p + 1}`);
    if (N * D * d > MOST_NUMBERS) {
      const most = Math.floor(MOST_NUMBERS / (D * d));
      throw new Error(`N = ${N}: N D d <= ${MOST_NUMBERS} is needed in a page; the nearest: ${most}`);
    }
    if (!PARTITIONS.includes(partition)) {
      throw new Error(`partition = ${partition}: one of ${PARTITIONS.join(", ")} is needed`);
    }
    return { ...settings, partition, ...(partition === "drawn" && { sets: checkSets(sets, D, C) }) };
  }

  function checkNumber(key, given, [start, low, high, integer]) {
    if (given === undefined) return start;
    const value = String(given).trim() === "" ? NaN : Number(given);
    const nearest = Number.isNaN(value) ? start : Math.min(Math.max(integer ? Math.round(value) : value, low), high);
    if (value === nearest) return value;
    const kind = integer ? "an integer" : "a number";
    throw new Error(`${key} = ${given}: ${kind} in [${low}, ${high}] is needed; the nearest: ${nearest}`);
  }

  function checkSets(sets, D, C) {
    const each = LETTERS.slice(0, D / C);
    if (sets.length === D && [...each].every((letter) => sets.split(letter).length === C + 1)) return sets;
    throw new Error(`sets = ${sets}: ${D} letters are needed, ${C} times each of ${each}`);
  }

  /** The divisor of `number`, at least 2, closest to `wanted`. */
  function nearestDivisor(number, wanted) {
    let best = number;
    for (let k = number; k > 1; k--) if (number % k === 0 && Math.abs(k - wanted) <= Math.abs(best - wanted)) best = k;
    return best;
  }

  // ---- Random numbers: the same seed, the same run.
  /** Stream `name` of `seed`: sfc32 (Doty-Humphrey, 128 bits), seeded by FNV-1a of the text seed/name. */
  function generator(seed, name) {
    let hash = 2166136261;
    for (const letter of `${seed}/${name}`) hash = Math.imul(hash ^ letter.charCodeAt(0), 16777619);
    let [a, b, c, count, spare] = [hash, 0x9e3779b9, 0x243f6a88, 1, null];
    /** Uniform on [0, 1), 32 bits. */
    function uniform() {
      const out = (a + b + count) | 0;
      count = (count + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + out) | 0;
      return (out >>> 0) / 4294967296;
    }
    /** Standard normal, by Box and Muller: two at a time. */
    function normal() {
      const kept = spare;
      spare = null;
      if (kept !== null) return kept;
      const radius = Math.sqrt(-2 * Math.log(1 - uniform())), angle = 2 * Math.PI * uniform();
      spare = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    }
    for (let k = 0; k < 15; k++) uniform();
    return { uniform, normal, below: (n) => Math.floor(n * uniform()) };
  }

  // ---- Structure (src/structure.py). A partition is its membership: (D,), the set of each patch.
  /** Height and width of a grid of D patches, as square as it goes. */
  function gridShape(D) {
    let height = Math.floor(Math.sqrt(D));
    while (D % height) height--;
    return [height, D / height];
  }

  function makePartition({ D, C, partition, sets, seed }) {
    const membership = new Uint8Array(D), [height, width] = gridShape(D);
    if (partition === "drawn") return membership.map((_, i) => LETTERS.indexOf(sets[i]));
    if (partition === "random") return shuffled(membership.map((_, i) => i / C), generator(seed, "partition"));
    const sides = [...Array(C + 1).keys()].filter((r) => C % r === 0 && height % r === 0 && width % (C / r) === 0);
    const rows = sides.sort((r, s) => Math.abs(r - C / r) - Math.abs(s - C / s))[0]; // the squarest blocks
    const columns = C / rows;
    return membership.map((_, i) =>
      Math.floor(i / width / rows) * (width / columns) + Math.floor((i % width) / columns));
  }

  function shuffled(list, random) {
    for (let i = list.length - 1; i > 0; i--) {
      const j = random.below(i + 1);
      [list[i], list[j]] = [list[j], list[i]];
    }
    return list;
  }

  /** Share of each row's C largest entries in the row's own set, the diagonal counted first; ties shared out. */
  function patchAssociation(attentionLogits, membership, C) {
    const D = membership.length;
    let sum = 0;
    for (let i = 0; i < D; i++) {
      const others = [...membership.keys()].filter((j) => j !== i);
      const row = attentionLogits.subarray(i * D, i * D + D);
      const least = [...others].sort((j, k) => row[k] - row[j])[C - 2];
      const inside = (list) => list.filter((j) => membership[j] === membership[i]).length;
      const above = others.filter((j) => row[j] > row[least]), tied = others.filter((j) => row[j] === row[least]);
      sum += (1 + inside(above) + ((C - 1 - above.length) * inside(tied)) / tied.length) / C;
    }
    return sum / D;
  }

  // ---- The distribution (src/synthetic/distribution.py).
  /** Uniform on the unit sphere of R^d. */
  function randomFeature(d, random) {
    const feature = Float64Array.from({ length: d }, () => random.normal());
    const norm = Math.hypot(...feature);
    return feature.map((x) => x / norm);
  }

  /** Patches (n, D, d), label (n,). One set carries label * feature; elsewhere a sign with chance q. */
  function drawSample(n, { membership, C, q, feature }, random) {
    const D = membership.length, d = feature.length, std = 1 / Math.sqrt(d);
    const patches = new Float32Array(n * D * d), label = new Float32Array(n), noise = new Float64Array(d);
    for (let s = 0, at = 0; s < n; s++) {
      label[s] = random.uniform() < 0.5 ? -1 : 1;
      const informativeSet = random.below(D / C);
      for (let j = 0; j < D; j++, at += d) {
        const chance = random.uniform();
        const distractor = chance < q / 2 ? 1 : chance >= 1 - q / 2 ? -1 : 0;
        const coefficient = membership[j] === informativeSet ? label[s] : distractor;
        let along = 0; // noise orthogonal to the feature; with d = 1 none
        for (let k = 0; k < d; k++) along += (noise[k] = d > 1 ? random.normal() : 0) * feature[k];
        for (let k = 0; k < d; k++) patches[at + k] = coefficient * feature[k] + std * (noise[k] - along * feature[k]);
      }
    }
    return { patches, label };
  }

  /** Exact error of the sign of the sum over all patches, a tie settled by a coin (src/synthetic/baselines.py). */
  function linearRuleError(D, C, q) {
    let mass = [1]; // of the sum of k distractors, from -k to k
    for (let k = 1; k <= D - C; k++) {
      const at = (i) => mass[i] ?? 0;
      mass = Array.from({ length: 2 * k + 1 }, (_, i) => (1 - q) * at(i - 1) + (q / 2) * (at(i) + at(i - 2)));
    }
    const tie = D - C - C; // where the distractors' sum is -C
    return mass.reduce((sum, m, i) => sum + (i < tie ? m : i === tie ? m / 2 : 0), 0);
  }

  // ---- The model (src/synthetic/model.py): F(X) = sum_i sigma(D sum_j S_ij <v, X_j>), sigma(x) = x^p + nu x.
  /** A and v from N(0, init_scale^2), the diagonal held. */
  function makeModel({ D, d, p, nu, diagonal, init_scale }, random) {
    const draw = (length) => Float64Array.from({ length }, () => init_scale * random.normal());
    return { D, d, p, nu, diagonal, attentionLogits: draw(D * D), valueVector: draw(d) };
  }

  /** softmax of the rows of A, its diagonal held. */
  function softmaxRows({ D, diagonal, attentionLogits }) {
    const attention = new Float64Array(D * D);
    for (let i = 0; i < D; i++) {
      attentionLogits[i * D + i] = diagonal;
      const row = attentionLogits.subarray(i * D, i * D + D), peak = Math.max(...row);
      let total = 0;
      for (let j = 0; j < D; j++) total += attention[i * D + j] = Math.exp(row[j] - peak);
      for (let j = 0; j < D; j++) attention[i * D + j] /= total;
    }
    return attention;
  }

  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));

  // ---- The gradient (src/synthetic/gradient.py).
  /** Loss, accuracy and gradients along v and A.
   *
   * With u = X v, z = D u S^T and F = sum_i sigma(z_i), per sample: dF/du = D S^T sigma'(z), dF/dv = X^T dF/du,
   * dF/dS = D sigma'(z) u^T; and through the softmax of a row, dF/dA_i = S_i * (dF/dS_i - <dF/dS_i, S_i>).
   * The loss log(1 + exp(-y F)) has slope -y sigmoid(-y F).
   */
  function lossAndGradient(model, { patches, label }, withGradient = true) {
    const { D, d, p, nu, valueVector } = model, n = label.length;
    const attention = softmaxRows(model), scaled = attention.map((weight) => D * weight);
    const gradValue = new Float64Array(d), gradSoftmax = new Float64Array(D * D);
    const u = new Float64Array(D), slope = new Float64Array(D);
    let loss = 0, accuracy = 0;
    for (let s = 0; s < n; s++) {
      const first = s * D * d;
      let output = 0;
      for (let j = 0, at = first; j < D; j++) {
        let sum = 0;
        for (let k = 0; k < d; k++, at++) sum += patches[at] * valueVector[k];
        u[j] = sum;
      }
      for (let i = 0; i < D; i++) {
        let z = 0, even = 1; // even becomes z^(p - 1)
        for (let j = 0, row = i * D; j < D; j++) z += scaled[row + j] * u[j];
        for (let k = 1; k < p; k += 2) even *= z * z;
        output += (even + nu) * z;
        slope[i] = p * even + nu;
      }
      const margin = label[s] * output;
      loss += softplus(-margin) / n;
      if (margin > 0) accuracy += 1 / n;
      if (!withGradient) continue;
      const share = (-label[s] * sigmoid(-margin)) / n;
      for (let j = 0, at = first; j < D; j++) {
        let upstream = 0; // the loss's slope along u_j
        for (let i = 0, here = j; i < D; i++, here += D) {
          upstream += scaled[here] * slope[i];
          gradSoftmax[here] += share * D * slope[i] * u[j];
        }
        upstream *= share;
        for (let k = 0; k < d; k++, at++) gradValue[k] += upstream * patches[at];
      }
    }
    const gradAttention = new Float64Array(D * D);
    for (let i = 0; i < D; i++) {
      let mean = 0;
      for (let j = 0; j < D; j++) mean += gradSoftmax[i * D + j] * attention[i * D + j];
      for (let j = 0; j < D; j++) {
        if (j !== i) gradAttention[i * D + j] = attention[i * D + j] * (gradSoftmax[i * D + j] - mean);
      }
    }
    return { loss, accuracy, gradValue, gradAttention };
  }

  /** One step of plain gradient descent, in place; lr_attention is per entry of A. */
  function update(model, { gradValue, gradAttention }, { lr_value, lr_attention }) {
    gradValue.forEach((slope, k) => { model.valueVector[k] -= lr_value * slope; });
    gradAttention.forEach((slope, k) => { model.attentionLogits[k] -= lr_attention * slope; });
  }

  // ---- The idealized process (src/synthetic/idealized.py): only alpha, gamma and rho move.
  /** (S_own, S_in, S_out): a softmax row's weight on itself, on one set mate, on one patch elsewhere. */
  function attentionWeights({ D, C, diagonal }, gamma, rho) {
    const peak = Math.max(diagonal, gamma, rho);
    const weights = [diagonal, gamma, rho].map((logit) => Math.exp(logit - peak));
    const total = weights[0] + (C - 1) * weights[1] + (D - C) * weights[2];
    return weights.map((weight) => weight / total);
  }

  /** Loss, accuracy and the slopes along alpha, gamma, rho; `coefficients` (n, D) are <w*, X_j> in {-1, 0, 1}.
   *
   * A patch with coefficient c in a set with sum s, where all sums add up to t, has the preactivation alpha O,
   * O = D (S_own c + S_in (s - c) + S_out (t - s)).
   */
  function idealizedGradient(model, [alpha, gamma, rho], { coefficients, label }, membership) {
    const { D, C, p, nu } = model, n = label.length;
    const [own, inside, outside] = attentionWeights(model, gamma, rho);
    const slopes = [0, 0, 0], setSum = new Float64Array(D / C);
    let loss = 0, accuracy = 0;
    for (let s = 0; s < n; s++) {
      const along = [0, 0, 0];
      let output = 0, total = 0;
      setSum.fill(0);
      for (let j = 0; j < D; j++) {
        setSum[membership[j]] += coefficients[s * D + j];
        total += coefficients[s * D + j];
      }
      for (let j = 0; j < D; j++) {
        const c = coefficients[s * D + j], mates = setSum[membership[j]] - c, others = total - setSum[membership[j]];
        const o = D * (own * c + inside * mates + outside * others), z = alpha * o;
        const even = z ** (p - 1), slope = p * even + nu;
        output += (even + nu) * z;
        along[0] += slope * o;
        along[1] += slope * alpha * inside * (D * mates - (C - 1) * o);
        along[2] += slope * alpha * outside * (D * others - (D - C) * o);
      }
      const margin = label[s] * output, share = (-label[s] * sigmoid(-margin)) / n;
      loss += softplus(-margin) / n;
      if (margin > 1e-12) accuracy += 1 / n; // ties are common here, and errors: not for rounding to settle
      along.forEach((slope, k) => { slopes[k] += share * slope; });
    }
    return { loss, accuracy, slopes };
  }

  /** The realistic process: every entry free, the empirical risk. */
  function realistic(settings, membership) {
    const { C, d, q, N, seed, fresh } = settings, training = generator(seed, "training");
    const feature = randomFeature(d, generator(seed, "feature")), distribution = { membership, C, q, feature };
    const model = makeModel(settings, generator(seed, "initialization"));
    const unseen = drawSample(Math.min(N, 2000), distribution, generator(seed, "test"));
    let sample;
    return {
      evaluate() {
        if (fresh || !sample) sample = drawSample(N, distribution, training);
        return lossAndGradient(model, sample);
      },
      move: (now) => update(model, now, settings),
      view() {
        const alpha = feature.reduce((sum, w, k) => sum + w * model.valueVector[k], 0);
        const test = lossAndGradient(model, unseen, false).accuracy;
        return { alpha, alignment: alpha / Math.hypot(...model.valueVector), test, logits: model.attentionLogits };
      },
    };
  }

  /** The idealized process: the population risk, estimated on N fresh draws a step. */
  function idealized(settings, membership) {
    const { D, C, q, N, seed, lr_value, lr_attention } = settings, random = generator(seed, "idealized");
    const rates = [lr_value, lr_attention / (D * (C - 1)), lr_attention / Math.max(D * (D - C), 1)];
    const numbers = [settings.init_scale, 0, 0];
    return {
      evaluate() {
        const { patches, label } = drawSample(N, { membership, C, q, feature: [1] }, random);
        return idealizedGradient(settings, numbers, { coefficients: patches, label }, membership);
      },
      move: ({ slopes }) => rates.forEach((rate, k) => { numbers[k] -= rate * slopes[k]; }),
      view({ accuracy }) {
        const same = (at) => membership[Math.floor(at / D)] === membership[at % D];
        const logits = new Float64Array(D * D).map((_, at) => numbers[same(at) ? 1 : 2]);
        return { alpha: numbers[0], alignment: Math.sign(numbers[0]), test: accuracy, logits };
      },
    };
  }

  /** Either, at step 0. `state` is what the page shows; `test`, the accuracy on inputs that training never sees. */
  function start(settings) {
    const membership = makePartition(settings);
    const process = (settings.idealized ? idealized : realistic)(settings, membership);
    let now = process.evaluate(); // at the parameters of `step`
    return {
      membership, step: 0,
      finite: () => Number.isFinite(now.loss),
      advance() {
        process.move(now);
        now = process.evaluate();
        this.step++;
      },
      state() {
        const { logits, ...seen } = process.view(now);
        const attention = softmaxRows({ ...settings, attentionLogits: logits });
        const measured = measures(logits, attention, membership, settings.C);
        return { loss: now.loss, accuracy: now.accuracy, attention, ...seen, ...measured };
      },
    };
  }

  /** Association, mean logits inside a set and across, rows with over half their attention on own or another set. */
  function measures(attentionLogits, attention, membership, C) {
    const D = membership.length;
    let [gamma, rho, own, other] = [0, 0, 0, 0];
    for (let i = 0; i < D; i++) {
      const mass = new Float64Array(D / C);
      for (let j = 0; j < D; j++) {
        mass[membership[j]] += attention[i * D + j];
        if (membership[j] !== membership[i]) rho += attentionLogits[i * D + j] / (D * (D - C));
        else if (j !== i) gamma += attentionLogits[i * D + j] / (D * (C - 1));
      }
      const most = mass.findIndex((share) => share > 0.5);
      if (most === membership[i]) own++;
      else if (most >= 0) other++;
    }
    return { association: patchAssociation(attentionLogits, membership, C), gamma, rho, own, other };
  }

  return {
    PARTITIONS, LETTERS, checkSettings, generator, gridShape, makePartition, patchAssociation, randomFeature,
    drawSample, linearRuleError, lossAndGradient, update, idealizedGradient, start,
  };
}

const Descent = descentLibrary();
if (typeof module !== "undefined") module.exports = Descent;
