/**
 * The server's answers, worked out in the page: what stands in for `../api.js` in a snapshot.
 * All data lie in the page's own file.
 */

import { run as compute } from './network.js';
import { normalise, prepare } from './picture.js';
import { provenance } from './provenance.js';

/**
 * @typedef {Omit<import('../types.js').Sample, 'class_index'> & {class_index: number | null, pixels: string,
 *   png: string}} StoredSample
 * @typedef {{info: import('../types.js').RunInfo,
 *   fields: Record<string, {rows: [number, number][], columns: [number, number][]} | null>,
 *   layers: import('./network.js').Layer[], weights: string,
 *   preprocessing: import('./picture.js').Preprocessing, samples: StoredSample[]}} Snapshot
 * @typedef {{key: string, input: Float32Array, outputs: Float32Array[]}} Seen
 * @typedef {{tensors: import('../types.js').Activation[]}} TensorHeader
 */

export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** @type {Snapshot} */
const snapshot = JSON.parse(document.getElementById('snapshot')?.textContent ?? '{}');
const network = {
  layers: snapshot.layers,
  values: new Float32Array(fromBase64(snapshot.weights).buffer),
};
let pictures = 0;
/** @type {Seen | null} */
let last = null;

/** @param {string} text */
function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

export async function getRuns() {
  const { info } = snapshot;
  const accuracy = /** @type {number | undefined} */ (info.results?.accuracy) ?? null;
  const run = { ...info, model: info.model.name, data: '', status: 'complete', created: '' };
  return { runs: [{ ...run, test_accuracy: accuracy }], current: info.id };
}

export const getRun = async () => snapshot.info;

/**
 * @param {string} _id
 * @param {import('../api.js').Picture} picture
 * @param {{centre: string, invert: string}} how
 * @returns {Promise<import('../types.js').Forward>}
 */
export async function forward(_id, picture, how) {
  const { levels, truth } = await levelsOf(picture, how);
  const started = performance.now();
  const input = normalise(levels, snapshot.preprocessing);
  const outputs = compute(network, input);
  pictures += 1;
  last = { key: `picture ${pictures}`, input, outputs };
  const milliseconds = performance.now() - started;
  const { channels, height, width } = snapshot.info.input;
  const parts = [input, ...outputs];
  const values = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  const offsets = parts.map((part, i) => {
    const offset = parts.slice(0, i).reduce((sum, one) => sum + one.length, 0);
    values.set(part, offset);
    return offset;
  });
  return {
    header: {
      image: last.key,
      input: { shape: [channels, height, width], offset: 0 },
      layers: network.layers.map(({ name, shape }, i) => ({
        name,
        shape,
        offset: offsets[i + 1],
        ...limits(outputs[i]),
      })),
      ...guess(Array.from(/** @type {Float32Array} */ (outputs.at(-1)))),
      truth: truth === null ? null : snapshot.info.classes[truth],
      truth_index: truth,
      milliseconds,
    },
    values,
  };
}

/**
 * @param {import('../api.js').Picture} picture
 * @param {{centre: string, invert: string}} how
 */
async function levelsOf({ pixels, file, sample }, how) {
  if (sample) {
    const stored = snapshot.samples.find((one) => `${one.split}:${one.index}` === sample);
    if (!stored) throw new ApiError('This picture is not in the snapshot: choose another.', 404);
    return { levels: fromBase64(stored.pixels), truth: stored.class_index };
  }
  const seen = pixels ?? (await decode(/** @type {Blob} */ (file)));
  const wishes = { centre: how.centre === '1', invert: how.invert === '1' };
  return { levels: prepare(seen, snapshot.preprocessing, wishes), truth: null };
}

/** @param {Blob} file */
async function decode(file) {
  const picture = await createImageBitmap(file);
  const { height, width } = picture;
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return { data: new Uint8Array(data.filter((_, i) => i % 4 < 3)), height, width, channels: 3 };
}

/** @param {Float32Array} values */
function limits(values) {
  let [min, max] = [Infinity, -Infinity];
  for (const value of values) [min, max] = [Math.min(min, value), Math.max(max, value)];
  return { min, max };
}

/** @param {number[]} scores */
function guess(scores) {
  const most = Math.max(...scores);
  const shares = scores.map((score) => Math.exp(score - most));
  const total = shares.reduce((sum, share) => sum + share, 0);
  const probabilities = shares.map((share) => share / total);
  const top = scores
    .map((score, index) => ({ score, index }))
    .sort((a, b) => b.score - a.score)
    .slice(0, 5)
    .map(({ index }) => ({
      class: snapshot.info.classes[index],
      index,
      probability: probabilities[index],
    }));
  return { scores, probabilities, top };
}

/** @param {string} layer */
function placeOf(layer) {
  const place = network.layers.findIndex(({ name }) => name === layer);
  if (place < 0) throw new ApiError(`There is no layer ${layer}.`, 404);
  return place;
}

/** @param {string} image */
function seen(image) {
  if (last?.key !== image) throw new ApiError('Draw or choose the picture again.', 404);
  return last;
}

/**
 * @param {string} _id
 * @param {string} layer
 * @param {{image: string, from: number, count: number}} what
 * @returns {Promise<{header: TensorHeader, values: Float32Array}>}
 */
export async function layerMaps(_id, layer, { image, from, count }) {
  const place = placeOf(layer);
  const [maps, ...rest] = network.layers[place].shape;
  const size = rest.reduce((product, one) => product * one, 1);
  const values = seen(image).outputs[place].slice(from * size, (from + count) * size);
  const shape = [Math.min(count, maps - from), ...rest];
  return { header: { tensors: [{ name: layer, shape, offset: 0, ...limits(values) }] }, values };
}

/**
 * @param {string} _id
 * @param {{image: string, layer: string, unit: string}} what
 * @returns {Promise<import('../types.js').Provenance>}
 */
export async function unit(_id, { image, layer, unit: text }) {
  const place = placeOf(layer);
  const { input, outputs } = seen(image);
  const where = text.split(',').map(Number);
  return provenance(
    network.layers[place],
    network.values,
    outputs[place - 1] ?? input,
    outputs[place],
    where,
    fieldOf(layer, where),
  );
}

/**
 * @param {string} layer
 * @param {number[]} unit
 */
function fieldOf(layer, unit) {
  const fields = snapshot.fields[layer];
  if (!fields) return null;
  const [row, column] = unit.length === 3 ? unit.slice(1) : [0, 0];
  const [top, height] = fields.rows[row];
  const [left, width] = fields.columns[column];
  return { top, left, height, width };
}

export async function samples() {
  return { samples: snapshot.samples, splits: {} };
}

/**
 * @param {string} _id
 * @param {string} split
 * @param {number} index
 */
export function imageAddress(_id, split, index) {
  const found = snapshot.samples.find((one) => one.split === split && one.index === index);
  return `data:image/png;base64,${found?.png ?? ''}`;
}

/**
 * @template T
 * @param {() => Promise<T>} ask
 */
export const patient = (ask) => ask();
