/** The kernels of a first layer: purple below zero, green above, or in colour where they see it. */

import { rangeOf, scaleFor } from './colours.js';
import { h } from './dom.js';
import { legend } from './legend.js';
import { matrixCanvas, paint, paintPixels } from './matrix-canvas.js';
import { theme } from './theme.js';

const MOST = 96;

/**
 * @param {string} title
 * @param {number[]} shape  out × in × rows × columns
 * @param {Float32Array} values
 * @returns {Node[]}
 */
export function filterPictures(title, shape, values) {
  const [out, channels, rows, columns] = shape;
  const area = rows * columns;
  const scale = scaleFor('weights', ...rangeOf(values), theme());
  const canvases = Array.from({ length: Math.min(out, MOST) }, (_, filter) => {
    const canvas = matrixCanvas({ class: 'pixels filter' });
    const kernel = values.subarray(filter * area * channels, (filter + 1) * area * channels);
    if (channels === 3) paintPixels(canvas, colourPixels(kernel, area), rows, columns);
    else paint(canvas, kernel.subarray(0, area), rows, columns, scale);
    return canvas;
  });
  return [
    h('h3', { text: title }),
    h(
      'div',
      { class: 'filters', role: 'img', 'aria-label': `${title}: ${canvases.length} kernels` },
      ...canvases,
    ),
    h(
      'div',
      {},
      channels === 3
        ? h('p', { class: 'note', text: 'As colours: grey is 0.' })
        : legend(scale, 'weights'),
    ),
  ];
}

/**
 * @param {Float32Array} kernel
 * @param {number} area
 */
function colourPixels(kernel, area) {
  const [low, high] = rangeOf(kernel);
  const reach = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const pixels = new Uint8ClampedArray(area * 4).fill(255);
  kernel.forEach((value, i) => {
    pixels[(i % area) * 4 + Math.floor(i / area)] = 127.5 + (127.5 * value) / reach;
  });
  return pixels;
}
