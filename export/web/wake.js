// A bundle (.wake) in JavaScript: read it, compute log-mel frames, and run a graph step by step in ONNX Runtime Web.
// What it computes is described in export/README.md, "Running a bundle elsewhere".

const ABOUT = "bundle.json";
const INPUT = "log_mel";
const OUTPUT = "score";

/** Read a bundle from its bytes (ArrayBuffer): what it says of itself, and a function that gives one of its files (Uint8Array). */
export async function openBundle(buffer) {
  const entries = zipEntries(buffer);
  if (!entries.has(ABOUT)) throw new Error(`This is not a bundle: it has no ${ABOUT}.`);
  const file = async (name) => {
    if (!entries.has(name)) throw new Error(`The bundle has no file ${name}.`);
    return unpack(buffer, entries.get(name));
  };
  return { about: JSON.parse(new TextDecoder().decode(await file(ABOUT))), file };
}

/** Read the arrays of an .npz file (Uint8Array): {name: {shape, values}}. */
export async function readArrays(bytes) {
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const arrays = {};
  for (const [name, entry] of zipEntries(buffer)) arrays[name.replace(/\.npy$/, "")] = readArray(await unpack(buffer, entry));
  return arrays;
}

/** Log-mel frames of a stream: `feed` takes float samples in [-1, 1] at 16 kHz and gives the frames that they complete. */
export class LogMel {
  constructor(features) {
    this.features = features;
    this.window = new Float64Array(features.dft);
    const pad = Math.floor((features.dft - features.window) / 2);
    for (let n = 0; n < features.window; n++) {
      this.window[pad + n] = 32768 * (0.5 - 0.5 * Math.cos((2 * Math.PI * n) / features.window));
    }
    this.filters = melFilters(features);
    this.floor = 10 ** (features.floor_db / 10);
    this.held = new Float32Array(0);
  }

  feed(samples) {
    const held = new Float32Array(this.held.length + samples.length);
    held.set(this.held);
    held.set(samples, this.held.length);
    const { dft, hop } = this.features;
    const frames = [];
    let start = 0;
    for (; start + dft <= held.length; start += hop) frames.push(this.frame(held.subarray(start, start + dft)));
    this.held = held.slice(start);
    return frames;
  }

  frame(samples) {
    const power = powerSpectrum(samples.map((value, n) => value * this.window[n]));
    return this.filters.map((filter) => {
      let energy = 0;
      filter.forEach((weight, bin) => (energy += weight * power[bin]));
      return Math.log10(Math.max(energy, this.floor)) + 2;
    });
  }
}

/** Scores of a stream by one graph of a bundle; `ort` is ONNX Runtime Web. */
export class Scorer {
  static async open(bundle, graph, ort) {
    const { features, graphs } = bundle.about;
    if (features.kind !== "log_mel") throw new Error(`The bundle takes features of kind ${features.kind}; this example computes log_mel.`);
    if (graphs[graph]?.runtime !== "onnx") throw new Error(`${graph} is not an ONNX graph of this bundle.`);
    const session = await ort.InferenceSession.create(await bundle.file(graph), { executionProviders: ["wasm"] });
    const scorer = new Scorer(bundle.about, graph, session, ort);
    await scorer.reset();
    return scorer;
  }

  constructor(about, graph, session, ort) {
    Object.assign(this, { about, session, ort });
    this.channelsLast = about.graphs[graph].layout === "NHWC";
    this.bytes = about.graphs[graph].precision === "int8";
  }

  /** Begin a new stream, preceded by silence. */
  async reset() {
    const { features, chunk, states } = this.about;
    this.logMel = new LogMel(features);
    this.frames = [];
    this.states = {};
    for (const { name, shape } of states) this.states[name] = this.zeros(name, shape);
    const silence = new Array(features.bands).fill(features.floor_db / 10 + 2);
    for (let step = 0; step < chunk.silent_steps; step++) await this.step(new Array(chunk.frames).fill(silence));
  }

  /** Take the next samples (float, 16 kHz mono); give a row of scores, one of each word, for every step that they complete. */
  async feed(samples) {
    const { frames } = this.about.chunk;
    this.frames.push(...this.logMel.feed(samples));
    const scores = [];
    while (this.frames.length >= frames) scores.push(await this.step(this.frames.splice(0, frames)));
    return scores;
  }

  async step(frames) {
    const { chunk, features, states } = this.about;
    const shape = this.layout([1, 1, chunk.frames, features.bands]);
    const results = await this.session.run({ [INPUT]: new this.ort.Tensor("float32", Float32Array.from(frames.flat()), shape), ...this.states });
    for (const { name, output } of states) this.states[name] = results[output];
    return Array.from(results[OUTPUT].data);
  }

  zeros(name, shape) {
    const values = shape.reduce((product, size) => product * size, 1);
    // Of an int8 graph all states are bytes but the first one, which holds features.
    const kinds = this.bytes && name !== this.about.states[0].name ? ["uint8", Uint8Array] : ["float32", Float32Array];
    return new this.ort.Tensor(kinds[0], new kinds[1](values), this.layout(shape));
  }

  layout(shape) {
    return this.channelsLast && shape.length === 4 ? [shape[0], shape[2], shape[3], shape[1]] : shape;
  }
}

/** Play the golden audio of a bundle to a graph; give the largest difference to the scores that it carries, and what is allowed. */
export async function compare(bundle, graph, ort, chunk = 1280) {
  const golden = await readArrays(await bundle.file("golden.npz"));
  const samples = Float32Array.from(golden.audio.values, (value) => value / 32768);
  const scorer = await Scorer.open(bundle, graph, ort);
  const scores = [];
  for (let start = 0; start < samples.length; start += chunk) scores.push(...(await scorer.feed(samples.subarray(start, start + chunk))));
  const found = scores.flat();
  const expected = golden.scores.values;
  if (found.length !== expected.length) throw new Error(`${graph} gave ${found.length} scores where ${expected.length} are expected.`);
  let difference = 0;
  found.forEach((score, index) => (difference = Math.max(difference, Math.abs(score - expected[index]))));
  const tolerance = bundle.about.graphs[graph].tolerance;
  return { graph, scores: found, expected: Array.from(expected), difference, tolerance, ok: difference <= tolerance };
}

// --- log-mel ---

function hzToMel(hertz) {
  return hertz < 1000 ? (hertz * 3) / 200 : 15 + (Math.log(hertz / 1000) * 27) / Math.log(6.4);
}

function melToHz(mel) {
  return mel < 15 ? (mel * 200) / 3 : 1000 * Math.exp(((mel - 15) * Math.log(6.4)) / 27);
}

/** Triangular filters of area one (Slaney), a Map from bin to weight for each band. */
function melFilters({ sample_rate, dft, bands, low_hz, high_hz }) {
  const [low, high] = [hzToMel(low_hz), hzToMel(high_hz)];
  const edges = Array.from({ length: bands + 2 }, (_, band) => melToHz(low + ((high - low) * band) / (bands + 1)));
  return Array.from({ length: bands }, (_, band) => {
    const [left, centre, right] = edges.slice(band, band + 3);
    const filter = new Map();
    for (let bin = 0; bin <= dft / 2; bin++) {
      const hertz = (bin * sample_rate) / dft;
      const weight = Math.min((hertz - left) / (centre - left), (right - hertz) / (right - centre));
      if (weight > 0) filter.set(bin, (weight * 2) / (right - left));
    }
    return filter;
  });
}

/** Squared magnitudes of the bins 0 to n / 2 of n real values; n is a power of two. */
function powerSpectrum(values) {
  const n = values.length;
  if (n & (n - 1)) throw new Error(`This example computes DFTs of a power of two samples; the bundle wants ${n}.`);
  const real = new Float64Array(n);
  const imaginary = new Float64Array(n);
  const bits = Math.log2(n);
  for (let i = 0; i < n; i++) {
    let reversed = 0;
    for (let bit = 0; bit < bits; bit++) reversed |= ((i >> bit) & 1) << (bits - 1 - bit);
    real[reversed] = values[i];
  }
  for (let size = 2; size <= n; size *= 2) {
    for (let start = 0; start < n; start += size) {
      for (let k = 0; k < size / 2; k++) {
        const angle = (-2 * Math.PI * k) / size;
        const [even, odd] = [start + k, start + k + size / 2];
        const r = Math.cos(angle) * real[odd] - Math.sin(angle) * imaginary[odd];
        const i = Math.cos(angle) * imaginary[odd] + Math.sin(angle) * real[odd];
        [real[odd], imaginary[odd]] = [real[even] - r, imaginary[even] - i];
        [real[even], imaginary[even]] = [real[even] + r, imaginary[even] + i];
      }
    }
  }
  return Array.from({ length: n / 2 + 1 }, (_, bin) => real[bin] ** 2 + imaginary[bin] ** 2);
}

// --- zip and npy ---

function zipEntries(buffer) {
  const view = new DataView(buffer);
  let end = buffer.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw new Error("This is not a zip file, or it was cut short.");
  const entries = new Map();
  let at = view.getUint32(end + 16, true);
  for (let count = view.getUint16(end + 10, true); count > 0; count--) {
    const length = view.getUint16(at + 28, true);
    const name = new TextDecoder().decode(new Uint8Array(buffer, at + 46, length));
    entries.set(name, { method: view.getUint16(at + 10, true), packed: view.getUint32(at + 20, true), header: view.getUint32(at + 42, true) });
    at += 46 + length + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return entries;
}

async function unpack(buffer, { method, packed, header }) {
  const view = new DataView(buffer);
  const start = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true);
  const bytes = new Uint8Array(buffer, start, packed);
  if (method === 0) return bytes.slice();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function readArray(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint16(8, true); // of the header, in format 1.0, which numpy writes
  const header = new TextDecoder().decode(bytes.subarray(10, 10 + length));
  const kinds = { "<i2": Int16Array, "<f4": Float32Array, "<i8": BigInt64Array };
  const kind = kinds[header.match(/'descr': '([^']+)'/)[1]];
  if (!kind) throw new Error(`This example reads int16, float32 and int64 arrays; found ${header}.`);
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((size) => size.trim()).map(Number);
  return { shape, values: new kind(bytes.buffer.slice(bytes.byteOffset + 10 + length, bytes.byteOffset + bytes.byteLength)) };
}
