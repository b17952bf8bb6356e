/** Where things stand: columns of the flow, pages, windows of the benches. No DOM. */

import { isVector } from './frame.js';

/**
 * @typedef {{vector: boolean, count: number, rows: number, columns: number, size: number,
 *   gap: number, width: number, height: number}} Column
 */

const GAP = 4;
const MOST_MAPS = 24;
/** Sides of the largest maps, in pixels: where all columns fit, and where one must scroll. */
const LARGEST = 84;
const SMALLEST = 44;
const SCROLLED = 48;

/**
 * The columns of the flow, one a layer: maps shrink with their layer, all columns fit `height`,
 * and all together fit `width` if that is possible with maps one can still see.
 *
 * @param {{shape: number[]}[]} layers
 * @param {number} width
 * @param {number} height
 * @param {number} between  from column to column
 * @param {number} least  width that a column's heading needs
 * @returns {Column[]}
 */
export function flowColumns(layers, width, height, between, least) {
  const widest = Math.max(1, ...layers.map(({ shape }) => (isVector(shape) ? 1 : shape[1])));
  const at = (/** @type {number} */ largest) => {
    const maps = layers.map(({ shape }) =>
      isVector(shape) ? null : column(shape, largest, height, Math.sqrt(shape[1] / widest)),
    );
    // Units stand no taller than the maps: on a narrow screen these would float in a void.
    const tallest = Math.max(...maps.map((one) => one?.height ?? 0)) || height;
    return maps.map((one, i) => one ?? column(layers[i].shape, largest, tallest, 1));
  };
  for (let largest = LARGEST; largest >= SMALLEST; largest -= 2) {
    const columns = at(largest);
    const total = columns.reduce((sum, one) => sum + Math.max(least, one.width), 0);
    if (total + between * (layers.length - 1) <= width) return columns;
  }
  return at(SCROLLED);
}

/**
 * @param {number[]} shape
 * @param {number} largest
 * @param {number} height
 * @param {number} shrink
 * @returns {Column}
 */
function column(shape, largest, height, shrink) {
  if (isVector(shape)) {
    const count = shape[0];
    let size = count <= 16 ? Math.min(24, Math.floor(height / count)) : largest > 50 ? 9 : 8;
    if (count > 1000) size = 3;
    const rows = Math.min(count, Math.max(1, Math.floor(height / size)));
    const even = Math.ceil(count / Math.ceil(count / rows));
    const across = Math.ceil(count / even);
    const gap = 0;
    return {
      vector: true,
      count,
      rows: even,
      columns: across,
      size,
      gap,
      width: across * size,
      height: even * size,
    };
  }
  const size = Math.round(Math.max(26, largest * shrink));
  const most = Math.max(1, Math.floor((height + GAP) / (size + GAP)));
  const count = Math.min(shape[0], MOST_MAPS, 2 * most);
  const across = Math.max(Math.ceil(count / most), count >= 12 ? 2 : 1);
  const rows = Math.ceil(count / across);
  return {
    vector: false,
    count,
    rows,
    columns: across,
    size,
    gap: GAP,
    width: across * (size + GAP) - GAP,
    height: rows * (size + GAP) - GAP,
  };
}

/**
 * The maps of a layer from the strongest (largest mean magnitude) to the weakest.
 *
 * @param {Float32Array} values
 * @param {number} maps
 * @returns {number[]}
 */
export function strongest(values, maps) {
  const area = values.length / maps;
  const strength = Array.from({ length: maps }, (_, map) => {
    let sum = 0;
    for (let i = map * area; i < (map + 1) * area; i += 1) sum += Math.abs(values[i]);
    return sum;
  });
  return strength.map((_, map) => map).sort((a, b) => strength[b] - strength[a] || a - b);
}

/**
 * Rows and columns that show a vector as a block about twice as wide as high.
 *
 * @param {number} count
 * @returns {{rows: number, columns: number}}
 */
export function vectorBlock(count) {
  if (count <= 16) return { rows: 1, columns: count };
  const wide = Math.ceil(Math.sqrt(count * 2.2));
  for (let columns = wide; columns > wide * 0.6; columns -= 1) {
    if (count % columns === 0) return { rows: count / columns, columns };
  }
  return { rows: Math.ceil(count / wide), columns: wide };
}

/**
 * The stretch of input that window number `place` covers: [first, last + 1), unclipped.
 *
 * @param {number} place
 * @param {number} kernel
 * @param {number} stride
 * @param {number} before  padding in front
 * @returns {[number, number]}
 */
export function windowSpan(place, kernel, stride, before) {
  const first = place * stride - before;
  return [first, first + kernel];
}

/**
 * Which input element a padded one repeats; null for zeros.
 *
 * @param {string} mode
 * @param {number} place  counted from the first input element; negative in the border
 * @param {number} size
 * @returns {number | null}
 */
export function borderSource(mode, place, size) {
  if (place >= 0 && place < size) return place;
  if (mode === 'replicate') return place < 0 ? 0 : size - 1;
  if (mode === 'circular') return ((place % size) + size) % size;
  if (mode === 'reflect') return place < 0 ? -place : 2 * (size - 1) - place;
  return null;
}

/**
 * A part of a matrix, moved inside it if it sticks out.
 *
 * @param {number[][]} values
 * @param {{top: number, left: number, size: number}} crop
 * @returns {{top: number, left: number, rows: number, columns: number}}
 */
export function clampCrop(values, { top, left, size }) {
  const rows = Math.min(size, values.length);
  const columns = Math.min(size, values[0]?.length ?? 0);
  const inside = (/** @type {number} */ place, /** @type {number} */ room) =>
    Math.max(0, Math.min(Math.floor(place) || 0, room));
  return {
    top: inside(top, values.length - rows),
    left: inside(left, (values[0]?.length ?? 0) - columns),
    rows,
    columns,
  };
}

/**
 * The matrix one step to the right; the first column is repeated.
 *
 * @param {number[][]} values
 * @param {number} steps
 */
export function shiftRight(values, steps) {
  return values.map((row) => row.map((_, column) => row[Math.max(0, column - steps)]));
}

/**
 * How far two matrices of one size are apart: ‖a − b‖ / ‖a‖.
 *
 * @param {number[][]} a
 * @param {number[][]} b
 */
export function relativeChange(a, b) {
  let difference = 0;
  let size = 0;
  a.forEach((row, r) =>
    row.forEach((value, c) => {
      difference += (value - (b[r]?.[c] ?? 0)) ** 2;
      size += value ** 2;
    }),
  );
  return size ? Math.sqrt(difference / size) : 0;
}

/**
 * The part of a receptive field that lies on the picture.
 *
 * @param {import('./types.js').Field} field
 * @param {{height: number, width: number}} size
 * @returns {import('./types.js').Field}
 */
export function onPicture(field, { height, width }) {
  const top = Math.max(0, field.top);
  const left = Math.max(0, field.left);
  return {
    top,
    left,
    height: Math.min(height, field.top + field.height) - top,
    width: Math.min(width, field.left + field.width) - left,
  };
}
