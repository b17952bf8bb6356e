/**
 * From what a person draws or drops to the numbers that the network sees, as the server makes
 * them (`lab/images.py`, `lab/centring.py`, `data/preprocess.py`). No DOM.
 */

import { resize } from './resample.js';

/**
 * @typedef {import('./resample.js').Pixels} Pixels
 * @typedef {{channels: number, size: number[], padding: number[], fill: number,
 *   scale: number[], shift: number[]}} Preprocessing
 */

const BOX = 20;
const FIELD = 28;
const FAINT = 1 / 8;

/**
 * @param {Pixels} pixels
 * @param {Preprocessing} how
 * @param {{centre: boolean, invert: boolean}} wishes
 * @returns {Uint8Array}  channels × height × width of the preprocessing's size
 */
export function prepare(pixels, how, { centre, invert }) {
  let seen = pixels;
  if (invert) seen = { ...seen, data: seen.data.map((level) => 255 - level) };
  if (how.channels === 1) seen = grey(seen);
  if (centre && how.channels === 1) seen = centreDrawing(seen);
  const [height, width] = how.size;
  return planes(resize(seen, height, width), how.channels);
}

/**
 * The network's input: the border around, each level times scale plus shift, in float32.
 *
 * @param {Uint8Array} levels  channels × height × width
 * @param {Preprocessing} how
 */
export function normalise(levels, how) {
  const [height, width] = how.size;
  const [left, right, top, bottom] = how.padding;
  const [rows, columns] = [top + height + bottom, left + width + right];
  const result = new Float32Array(how.channels * rows * columns);
  for (let c = 0; c < how.channels; c += 1) {
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const [y, x] = [row - top, column - left];
        const inside = y >= 0 && y < height && x >= 0 && x < width;
        const level = inside ? levels[(c * height + y) * width + x] : how.fill;
        result[(c * rows + row) * columns + column] =
          Math.fround(level * how.scale[c]) + how.shift[c];
      }
    }
  }
  return result;
}

/** ITU-R 601 luma in Pillow's whole numbers. @param {Pixels} pixels @returns {Pixels} */
export function grey(pixels) {
  const { data, height, width, channels } = pixels;
  if (channels === 1) return pixels;
  const result = Uint8Array.from({ length: height * width }, (_, i) => {
    const [r, g, b] = data.subarray(3 * i, 3 * i + 3);
    return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
  });
  return { data: result, height, width, channels: 1 };
}

/**
 * @param {Pixels} pixels
 * @param {number} channels
 */
function planes({ data, height, width, channels: given }, channels) {
  const area = height * width;
  const result = new Uint8Array(channels * area);
  for (let c = 0; c < channels; c += 1) {
    for (let i = 0; i < area; i += 1) result[c * area + i] = data[i * given + (c % given)];
  }
  return result;
}

/**
 * A drawing as MNIST has its digits: 20 pixels long, its centre of mass in the middle of 28.
 *
 * @param {Pixels} drawing  one channel, bright ink on black
 * @returns {Pixels}
 */
export function centreDrawing(drawing) {
  const field = { data: new Uint8Array(FIELD * FIELD), height: FIELD, width: FIELD, channels: 1 };
  const ink = boundingBox(drawing);
  if (!ink) return field;
  const scaled = scaleInk(ink);
  const [y, x] = centreOfMass(scaled);
  const [top, left] = [FIELD / 2 - Math.floor(y), FIELD / 2 - Math.floor(x)];
  for (let row = 0; row < scaled.height; row += 1) {
    for (let column = 0; column < scaled.width; column += 1) {
      const [to, at] = [top + row, left + column];
      if (to < 0 || to >= FIELD || at < 0 || at >= FIELD) continue;
      field.data[to * FIELD + at] = scaled.data[row * scaled.width + column];
    }
  }
  return field;
}

/** @param {Pixels} drawing @returns {Pixels | null} */
function boundingBox({ data, height, width }) {
  const least = data.reduce((most, level) => Math.max(most, level), 0) * FAINT;
  let [top, bottom, left, right] = [height, -1, width, -1];
  data.forEach((level, i) => {
    if (level <= least) return;
    const [row, column] = [Math.floor(i / width), i % width];
    [top, bottom] = [Math.min(top, row), Math.max(bottom, row)];
    [left, right] = [Math.min(left, column), Math.max(right, column)];
  });
  if (bottom < 0) return null;
  const size = { height: bottom - top + 1, width: right - left + 1 };
  const ink = new Uint8Array(size.height * size.width);
  for (let row = 0; row < size.height; row += 1) {
    const from = (top + row) * width + left;
    ink.set(data.subarray(from, from + size.width), row * size.width);
  }
  return { data: ink, ...size, channels: 1 };
}

/** @param {Pixels} ink */
function scaleInk(ink) {
  const factor = BOX / Math.max(ink.height, ink.width);
  const [height, width] = [ink.height, ink.width].map((side) =>
    Math.max(1, roundHalfToEven(side * factor)),
  );
  const shrinks = height <= ink.height && width <= ink.width;
  return resize(ink, height, width, shrinks ? 'box' : 'bilinear');
}

/** As Python rounds. @param {number} value */
function roundHalfToEven(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 ? low + 1 : low;
}

/** Row and column, where pixel 0 reaches from 0 to 1. @param {Pixels} ink */
function centreOfMass({ data, width }) {
  let [total, rows, columns] = [0, 0, 0];
  data.forEach((level, i) => {
    total += level;
    rows += level * (Math.floor(i / width) + 0.5);
    columns += level * ((i % width) + 0.5);
  });
  return [rows / total, columns / total];
}
