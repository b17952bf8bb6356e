/**
 * A small network computed in the browser: what each layer makes of a picture. Sums are taken in
 * double precision and rounded to float32 once a value. No DOM.
 *
 * @typedef {{kernel: number, stride: number, dilation: number, before: number, after: number}} Axis
 *
 * @typedef {{op: 'convolution', rows: Axis, columns: Axis, seen: number[][], starts: number[],
 *   weight: number, bias: number | null, mode: string, fill: number}} Convolution
 * @typedef {{op: 'pool', how: 'max' | 'min' | 'average' | 'subsampling', rows: Axis, columns: Axis,
 *   counts: boolean, weight: number | null, bias: number | null}} Pooling
 * @typedef {{op: 'linear', weight: number, bias: number | null, maps: number[] | null}} Linear
 * @typedef {{op: 'norm', mean: number, variance: number, weight: number | null,
 *   bias: number | null, eps: number}} BatchNorm
 * @typedef {{op: 'activation', kind: string}} Activation
 * @typedef {{op: 'rbf', codes: number}} Rbf
 * @typedef {{op: 'flatten'}} Flatten
 * @typedef {Convolution | Pooling | Linear | BatchNorm | Activation | Rbf | Flatten} Operation
 *   Weights are places in the network's `values`.
 *
 * @typedef {{name: string, kind: string, shape: number[], input_shape: number[],
 *   operation: Operation}} Layer
 * @typedef {{layers: Layer[], values: Float32Array}} Network
 */

import { borderSource } from '../layout.js';

/** @type {Record<string, (x: number) => number>} */
const ACTIVATIONS = {
  identity: (x) => x,
  tanh: Math.tanh,
  'scaled-tanh': (x) => 1.7159 * Math.tanh((x * 2) / 3),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  relu: (x) => Math.max(0, x),
  'leaky-relu': (x) => (x < 0 ? 0.01 * x : x),
  elu: (x) => (x < 0 ? Math.expm1(x) : x),
  gelu: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
  silu: (x) => x / (1 + Math.exp(-x)),
};

/**
 * The output of every layer, in order.
 *
 * @param {Network} network
 * @param {Float32Array} input
 * @returns {Float32Array[]}
 */
export function run({ layers, values }, input) {
  /** @type {Float32Array[]} */
  const outputs = [];
  for (const layer of layers) outputs.push(apply(layer, values, outputs.at(-1) ?? input));
  return outputs;
}

/**
 * @param {Layer} layer
 * @param {Float32Array} values
 * @param {Float32Array} x
 * @returns {Float32Array}
 */
function apply({ operation, shape, input_shape }, values, x) {
  switch (operation.op) {
    case 'convolution':
      return convolve(operation, values, x, shape, input_shape);
    case 'pool':
      return pool(operation, values, x, shape, input_shape);
    case 'linear':
      return Float32Array.from({ length: shape[0] }, (_, unit) => {
        let sum = operation.bias === null ? 0 : values[operation.bias + unit];
        const start = operation.weight + unit * x.length;
        for (let i = 0; i < x.length; i += 1) sum += x[i] * values[start + i];
        return sum;
      });
    case 'norm': {
      const area = x.length / shape[0];
      return x.map((value, i) => normalised(operation, values, Math.floor(i / area), value));
    }
    case 'activation':
      return x.map(activate(operation.kind));
    case 'rbf':
      return Float32Array.from({ length: shape[0] }, (_, unit) => {
        let penalty = 0;
        x.forEach((value, i) => {
          penalty += (value - values[operation.codes + unit * x.length + i]) ** 2;
        });
        return -penalty;
      });
    default:
      return x;
  }
}

/** @param {string} kind */
export const activate = (kind) => ACTIVATIONS[kind];

/**
 * @param {BatchNorm} operation
 * @param {Float32Array} values
 * @param {number} map
 * @param {number} x
 */
export function normalised({ mean, variance, weight, bias, eps }, values, map, x) {
  const scale = weight === null ? 1 : values[weight + map];
  const shift = bias === null ? 0 : values[bias + map];
  return ((x - values[mean + map]) / Math.sqrt(values[variance + map] + eps)) * scale + shift;
}

/**
 * The places that a window sees along one axis; some may lie outside the input.
 *
 * @param {Axis} axis
 * @param {number} place
 */
export const seenAlong = (axis, place) =>
  Array.from(
    { length: axis.kernel },
    (_, i) => place * axis.stride - axis.before + i * axis.dilation,
  );

/**
 * @param {Convolution} operation
 * @param {Float32Array} values
 * @param {Float32Array} x
 * @param {number[]} shape
 * @param {number[]} inputShape
 */
function convolve(operation, values, x, shape, inputShape) {
  const { rows, columns, seen, starts, bias, mode, fill } = operation;
  const [maps, height, width] = shape;
  const [, inHeight, inWidth] = inputShape;
  const result = new Float32Array(maps * height * width);
  const down = Array.from({ length: height }, (_, row) =>
    seenAlong(rows, row).map((place) => borderSource(mode, place, inHeight)),
  );
  const across = Array.from({ length: width }, (_, column) =>
    seenAlong(columns, column).map((place) => borderSource(mode, place, inWidth)),
  );
  for (let map = 0; map < maps; map += 1) {
    for (let row = 0; row < height; row += 1) {
      for (let column = 0; column < width; column += 1) {
        let sum = bias === null ? 0 : values[bias + map];
        let at = starts[map];
        for (const from of seen[map]) {
          for (const y of down[row]) {
            for (const z of across[column]) {
              const inside = y !== null && z !== null;
              sum += values[at] * (inside ? x[(from * inHeight + y) * inWidth + z] : fill);
              at += 1;
            }
          }
        }
        result[(map * height + row) * width + column] = sum;
      }
    }
  }
  return result;
}

/**
 * @param {Pooling} operation
 * @param {Float32Array} values
 * @param {Float32Array} x
 * @param {number[]} shape
 * @param {number[]} inputShape
 */
function pool(operation, values, x, shape, inputShape) {
  const [maps, height, width] = shape;
  const result = new Float32Array(maps * height * width);
  for (let map = 0; map < maps; map += 1) {
    for (let row = 0; row < height; row += 1) {
      for (let column = 0; column < width; column += 1) {
        const inputs = window(operation, x, inputShape, map, row, column).inputs.flat();
        const present = inputs.filter((value) => value !== null);
        const count = divisor(operation, inputShape, row, column);
        result[(map * height + row) * width + column] = pooled(
          operation,
          values,
          map,
          present,
          count,
        );
      }
    }
  }
  return result;
}

/**
 * @param {Pooling} operation
 * @param {Float32Array} values
 * @param {number} map
 * @param {number[]} inputs
 * @param {number} count
 */
export function pooled({ how, weight, bias }, values, map, inputs, count) {
  if (how === 'max') return Math.max(...inputs);
  if (how === 'min') return Math.min(...inputs);
  const total = inputs.reduce((sum, value) => sum + value, 0);
  if (how === 'average') return total / count;
  return total * values[(weight ?? 0) + map] + values[(bias ?? 0) + map];
}

/**
 * By how many a mean divides: padding may count, what lies beyond it never does.
 *
 * @param {Pooling} operation
 * @param {number[]} inputShape
 * @param {number} row
 * @param {number} column
 */
export function divisor({ rows, columns, counts }, [, height, width], row, column) {
  const along = (
    /** @type {Axis} */ axis,
    /** @type {number} */ place,
    /** @type {number} */ size,
  ) =>
    seenAlong(axis, place).filter((at) => (counts ? at < size + axis.after : at >= 0 && at < size))
      .length;
  return along(rows, row, height) * along(columns, column, width);
}

/**
 * What a window of one map sees; null is padding without a value.
 *
 * @param {{rows: Axis, columns: Axis}} axes
 * @param {Float32Array} x
 * @param {number[]} inputShape
 * @param {number} map
 * @param {number} row
 * @param {number} column
 */
export function window({ rows, columns }, x, [, height, width], map, row, column) {
  const down = seenAlong(rows, row);
  const across = seenAlong(columns, column);
  const outside = (/** @type {number} */ place, /** @type {number} */ size) =>
    place < 0 || place >= size;
  const padded = down.map((y) => across.map((at) => outside(y, height) || outside(at, width)));
  const inputs = down.map((y, i) =>
    across.map((at, j) => (padded[i][j] ? null : x[(map * height + y) * width + at])),
  );
  return { inputs, padded };
}

/** The error function, by a series of positive terms. @param {number} x */
export function erf(x) {
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  let term = size;
  let sum = 0;
  for (let n = 1; term > sum * 1e-17; n += 1) {
    sum += term;
    term *= (2 * size * size) / (2 * n + 1);
  }
  return Math.sign(x) * Math.min(1, (2 / Math.sqrt(Math.PI)) * Math.exp(-size * size) * sum);
}
