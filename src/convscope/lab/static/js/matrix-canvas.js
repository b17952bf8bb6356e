/** A matrix painted on a canvas: one pixel a value, enlarged by CSS without smoothing. */

import { pixelsOf } from './colours.js';
import { h } from './dom.js';

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Uint8ClampedArray<ArrayBuffer>} pixels
 * @param {number} rows
 * @param {number} columns
 */
export function paintPixels(canvas, pixels, rows, columns) {
  if (canvas.width !== columns) canvas.width = columns;
  if (canvas.height !== rows) canvas.height = rows;
  canvas.getContext('2d')?.putImageData(new ImageData(pixels, columns, rows), 0, 0);
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {ArrayLike<number>} values
 * @param {number} rows
 * @param {number} columns
 * @param {import('./colours.js').Scale} scale
 */
export function paint(canvas, values, rows, columns, scale) {
  const whole = rows * columns;
  let data = values;
  if (values.length < whole) {
    const filled = new Float32Array(whole);
    filled.set(/** @type {Float32Array} */ (values));
    data = filled;
  }
  const pixels = pixelsOf(data, scale);
  for (let i = values.length; i < whole; i += 1) pixels[i * 4 + 3] = 0;
  paintPixels(canvas, pixels, rows, columns);
}

/** A canvas for a matrix. @param {Record<string, any>} [props] */
export function matrixCanvas(props = {}) {
  return h('canvas', { class: 'pixels', 'aria-hidden': 'true', ...props });
}

/**
 * A frame over a canvas that shows a matrix, in percent of it: a window, a receptive field.
 *
 * @param {import('./types.js').Field} field
 * @param {{height: number, width: number}} size
 * @param {string} kind  class name: `window`, `field`, `cursor`
 */
export function frameOver(field, size, kind) {
  const frame = h('span', { class: `frame ${kind}`, 'aria-hidden': 'true' });
  const share = (/** @type {number} */ part, /** @type {number} */ whole) =>
    `${(100 * part) / whole}%`;
  frame.style.top = share(field.top, size.height);
  frame.style.left = share(field.left, size.width);
  frame.style.height = share(field.height, size.height);
  frame.style.width = share(field.width, size.width);
  return frame;
}
