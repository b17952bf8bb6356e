/** The map that a window lies on, small, with the window framed. */

import * as api from './api.js';
import { inputPixels, scaleFor } from './colours.js';
import { h } from './dom.js';
import { isVector, mapOf } from './frame.js';
import { frameOver, matrixCanvas, paint, paintPixels } from './matrix-canvas.js';
import { activation, info, session } from './session.js';
import { theme } from './theme.js';

/**
 * @param {import('./types.js').Provenance} found
 * @param {import('./types.js').MapTerms} terms
 * @param {import('./types.js').Layer | null} before
 */
export function sourceMap(found, terms, before) {
  const shape = before?.shape ?? session.result?.header.input.shape;
  if (!shape || !found.window || terms.map < 0 || isVector(shape)) return null;
  const [, height, width] = shape;
  const canvas = matrixCanvas();
  if (before) paintMap(canvas, before, terms.map);
  else paintChannel(canvas, terms.map);
  const { top, left, rows, columns } = found.window;
  const frame = frameOver({ top, left, height: rows, width: columns }, { height, width }, 'field');
  const box = h(
    'span',
    { class: 'source-map', 'aria-hidden': 'true' },
    canvas,
    h('span', { class: 'frames' }, frame),
  );
  box.style.aspectRatio = `${width} / ${height}`;
  return box;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number} channel
 */
function paintChannel(canvas, channel) {
  const { result } = session;
  if (!result) return;
  const map = mapOf(result.values, result.header.input, channel);
  paintPixels(canvas, inputPixels(map.data, 1, theme()), map.rows, map.columns);
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {import('./types.js').Layer} layer
 * @param {number} map
 */
async function paintMap(canvas, layer, map) {
  const { result } = session;
  const entry = activation(layer.name);
  if (!result || !entry) return;
  const scale = scaleFor('activations', entry.min, entry.max, theme());
  const place = entry.maps ? entry.maps.indexOf(map) : map;
  if (place >= 0) {
    const { data, rows, columns } = mapOf(result.values, entry, place);
    paint(canvas, data, rows, columns, scale);
    return;
  }
  try {
    const what = { image: result.header.image, from: map, count: 1 };
    const { header, values } = await api.layerMaps(info().id, layer.name, what);
    const { data, rows, columns } = mapOf(values, header.tensors[0]);
    paint(canvas, data, rows, columns, scale);
  } catch {
    /* the frame alone says where the window lies */
  }
}
