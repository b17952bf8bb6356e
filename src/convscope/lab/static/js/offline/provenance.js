/** Every term of one unit's value, in the shape in which the server answers. No DOM. */

import { borderSource } from '../layout.js';
import { activate, divisor, normalised, pooled, seenAlong, window } from './network.js';

/**
 * @typedef {import('../types.js').Provenance} Provenance
 * @typedef {import('../types.js').MapTerms} MapTerms
 * @typedef {import('./network.js').Layer} Layer
 * @typedef {Pick<Provenance, 'formula' | 'sum'> & Partial<Provenance>} Found
 */

/**
 * @param {Layer} layer
 * @param {Float32Array} values  the network's weights
 * @param {Float32Array} x  the layer's input
 * @param {Float32Array} output
 * @param {number[]} unit
 * @param {import('../types.js').Field | null} field
 * @returns {Provenance}
 */
export function provenance(layer, values, x, output, unit, field) {
  const found = explain(layer, values, x, unit);
  return {
    layer: layer.name,
    kind: layer.kind,
    unit,
    value: output[place(layer.shape, unit)],
    field,
    window: null,
    maps: [],
    bias: null,
    winner: null,
    terms: [],
    ...found,
  };
}

/**
 * @param {Layer} layer
 * @param {Float32Array} values
 * @param {Float32Array} x
 * @param {number[]} unit
 * @returns {Found}
 */
function explain(layer, values, x, unit) {
  const { operation } = layer;
  switch (operation.op) {
    case 'convolution':
      return convolution(operation, layer, values, x, unit);
    case 'pool':
      return pooling(operation, layer, values, x, unit);
    case 'linear':
      return linear(operation, values, x, unit[0]);
    case 'norm':
      return batchNorm(operation, values, unit[0], x[place(layer.shape, unit)]);
    case 'activation': {
      const input = x[place(layer.shape, unit)];
      const sum = activate(operation.kind)(input);
      const formula = `${written(operation.kind, input)} = ${short(sum)}`;
      return { formula, sum, terms: [{ name: 'input', value: input }] };
    }
    case 'rbf': {
      const codes = Array.from(values.subarray(operation.codes + unit[0] * x.length));
      const row = terms(
        -1,
        [Array.from(x)],
        null,
        [codes.slice(0, x.length)],
        (a, b) => -((a - b) ** 2),
      );
      const sum = row.sum ?? 0;
      return {
        formula: `−Σ of ${x.length} (x − code)² = ${short(sum)}`,
        sum,
        maps: [row],
        terms: [{ name: 'penalty', value: -sum }],
      };
    }
    default: {
      const value = x[unit[0]];
      return {
        formula: `input ${placeText(layer.input_shape, unit[0])} = ${short(value)}`,
        sum: value,
      };
    }
  }
}

/**
 * @param {import('./network.js').Convolution} operation
 * @param {Layer} layer
 * @param {Float32Array} values
 * @param {Float32Array} x
 * @param {number[]} unit
 * @returns {Found}
 */
function convolution(operation, layer, values, x, [map, row, column]) {
  const { rows, columns, seen, starts, mode, fill } = operation;
  const [, height, width] = layer.input_shape;
  const down = seenAlong(rows, row);
  const across = seenAlong(columns, column);
  const { padded } = window(operation, x, layer.input_shape, 0, row, column);
  const area = rows.kernel * columns.kernel;
  const maps = seen[map].map((from, i) => {
    const inputs = down.map((y) =>
      across.map((z) => {
        const [inY, inX] = [borderSource(mode, y, height), borderSource(mode, z, width)];
        return inY === null || inX === null ? fill : x[(from * height + inY) * width + inX];
      }),
    );
    const first = starts[map] + i * area;
    return terms(from, inputs, padded, matrix(values, first, rows.kernel, columns.kernel));
  });
  const bias = operation.bias === null ? null : values[operation.bias + map];
  const products = maps.reduce((sum, one) => sum + (one.sum ?? 0), 0);
  const count = `${maps.length}·${rows.kernel}·${columns.kernel} products`;
  return {
    formula: sumFormula(count, products, bias),
    sum: products + (bias ?? 0),
    maps,
    bias,
    window: view(operation, row, column),
  };
}

/**
 * @param {import('./network.js').Pooling} operation
 * @param {Layer} layer
 * @param {Float32Array} values
 * @param {Float32Array} x
 * @param {number[]} unit
 * @returns {Found}
 */
function pooling(operation, layer, values, x, [map, row, column]) {
  const { how } = operation;
  const { inputs, padded } = window(operation, x, layer.input_shape, map, row, column);
  const present = inputs.flat().filter((value) => value !== null);
  const count = divisor(operation, layer.input_shape, row, column);
  const sum = pooled(operation, values, map, present, count);
  const total = present.reduce((all, value) => all + value, 0);
  const seen = { sum, window: view(operation, row, column) };
  const weighted = (/** @type {(value: number | null) => number} */ weight) =>
    terms(
      map,
      inputs,
      padded,
      inputs.map((line) => line.map((value) => (value === null ? 0 : weight(value)))),
    );
  if (how === 'average') {
    return {
      ...seen,
      formula: `${short(total)} (Σ of ${present.length} inputs)/${count} = ${short(sum)}`,
      maps: [weighted(() => 1 / count)],
      terms: [
        { name: 'sum', value: total },
        { name: 'count', value: count },
      ],
    };
  }
  if (how === 'subsampling') {
    const [coefficient, bias] = [operation.weight, operation.bias].map(
      (at) => values[(at ?? 0) + map],
    );
    return {
      ...seen,
      formula: `${short(total)} (Σ of ${present.length} inputs) × ${short(coefficient)}${plus(bias)} = ${short(sum)}`,
      maps: [weighted(() => coefficient)],
      bias,
      terms: [
        { name: 'sum', value: total },
        { name: 'coefficient', value: coefficient },
        { name: 'bias', value: bias },
      ],
    };
  }
  const at = inputs.flat().indexOf(sum);
  const columns = inputs[0].length;
  const winner = /** @type {[number, number]} */ ([Math.floor(at / columns), at % columns]);
  const weights = inputs.map((line, i) =>
    line.map((_, j) => Number(i === winner[0] && j === winner[1])),
  );
  const listed = present.slice(0, 9).map(short).join(', ') + (present.length > 9 ? ', …' : '');
  return {
    ...seen,
    formula: `${how}(${listed}) = ${short(sum)}`,
    maps: [terms(map, inputs, padded, weights)],
    winner,
  };
}

/**
 * @param {import('./network.js').Linear} operation
 * @param {Float32Array} values
 * @param {Float32Array} x
 * @param {number} unit
 * @returns {Found}
 */
function linear(operation, values, x, unit) {
  const [rows, columns] = operation.maps ? operation.maps.slice(1) : [1, x.length];
  const area = rows * columns;
  const first = operation.weight + unit * x.length;
  const maps = Array.from({ length: x.length / area }, (_, map) =>
    terms(
      operation.maps ? map : -1,
      matrix(x, map * area, rows, columns),
      null,
      matrix(values, first + map * area, rows, columns),
    ),
  );
  const products = maps.reduce((sum, one) => sum + (one.sum ?? 0), 0);
  const bias = operation.bias === null ? null : values[operation.bias + unit];
  return {
    formula: sumFormula(`${x.length} products`, products, bias),
    sum: products + (bias ?? 0),
    maps,
    bias,
  };
}

/**
 * @param {import('./network.js').BatchNorm} operation
 * @param {Float32Array} values
 * @param {number} map
 * @param {number} x
 * @returns {Found}
 */
function batchNorm(operation, values, map, x) {
  const [mean, variance] = [values[operation.mean + map], values[operation.variance + map]];
  const scale = operation.weight === null ? 1 : values[operation.weight + map];
  const shift = operation.bias === null ? 0 : values[operation.bias + map];
  const sum = normalised(operation, values, map, x);
  const { eps } = operation;
  return {
    formula: `(${short(x)}${plus(-mean)})/√(${short(variance)} + ${short(eps)}) × ${short(scale)}${plus(shift)} = ${short(sum)}`,
    sum,
    bias: shift,
    terms: [
      { name: 'input', value: x },
      { name: 'mean', value: mean },
      { name: 'variance', value: variance },
      { name: 'epsilon', value: eps },
      { name: 'scale', value: scale },
      { name: 'shift', value: shift },
    ],
  };
}

/**
 * One map's inputs, weights and products; padding without a value gives nothing.
 *
 * @param {number} map
 * @param {(number | null)[][]} inputs
 * @param {boolean[][] | null} padded
 * @param {number[][]} weights
 * @param {(x: number, w: number) => number} [product]
 * @returns {MapTerms}
 */
function terms(map, inputs, padded, weights, product = (x, w) => x * w) {
  const products = inputs.map((row, i) =>
    row.map((x, j) => (x === null ? 0 : product(x, weights[i][j]))),
  );
  return {
    map,
    inputs,
    padded: padded ?? inputs.map((row) => row.map(() => false)),
    weights,
    products,
    sum: products.flat().reduce((sum, one) => sum + one, 0),
  };
}

/**
 * @param {{rows: import('./network.js').Axis, columns: import('./network.js').Axis}} axes
 * @param {number} row
 * @param {number} column
 */
function view({ rows, columns }, row, column) {
  const length = (/** @type {import('./network.js').Axis} */ axis) =>
    (axis.kernel - 1) * axis.dilation + 1;
  return {
    top: row * rows.stride - rows.before,
    left: column * columns.stride - columns.before,
    rows: length(rows),
    columns: length(columns),
    dilation: /** @type {[number, number]} */ ([rows.dilation, columns.dilation]),
  };
}

/**
 * @param {Float32Array} values
 * @param {number} first
 * @param {number} rows
 * @param {number} columns
 */
const matrix = (values, first, rows, columns) =>
  Array.from({ length: rows }, (_, row) =>
    Array.from(values.subarray(first + row * columns, first + (row + 1) * columns)),
  );

/**
 * @param {number[]} shape
 * @param {number[]} unit
 */
export const place = (shape, unit) =>
  unit.reduce((sum, index, axis) => sum * shape[axis] + index, 0);

/**
 * @param {number[]} shape
 * @param {number} index
 */
function placeText(shape, index) {
  let rest = index;
  const parts = [...shape].reverse().map((size) => {
    const part = rest % size;
    rest = Math.floor(rest / size);
    return part;
  });
  return parts.reverse().join(', ');
}

/**
 * @param {string} count
 * @param {number} products
 * @param {number | null} bias
 */
function sumFormula(count, products, bias) {
  if (bias === null) return `Σ of ${count} = ${short(products)}`;
  return `${short(products)} (Σ of ${count})${plus(bias)} (bias) = ${short(products + bias)}`;
}

/**
 * @param {string} kind
 * @param {number} x
 */
function written(kind, x) {
  if (kind === 'scaled-tanh') return `1.7159·tanh(2/3·${short(x)})`;
  return kind === 'relu' ? `max(0, ${short(x)})` : `${kind}(${short(x)})`;
}

/** Four figures that count, as Python's `.4g`. @param {number} value */
export function short(value) {
  if (value === 0) return '0';
  const [digits, power] = value.toExponential(3).split('e');
  const exponent = Number(power);
  const small = exponent < -4 || exponent >= 4;
  const text = small
    ? `${String(Number(digits))}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
    : String(Number(value.toPrecision(4)));
  return text.replaceAll('-', '−');
}

/** @param {number} value */
const plus = (value) => (value < 0 ? ` − ${short(-value)}` : ` + ${short(value)}`);
