/** The maps of a layer as switches: each shows what it holds, and a press takes it out. */

import { rangeOf, scaleFor } from './colours.js';
import { button, choice, h, replace } from './dom.js';
import { isVector, mapOf } from './frame.js';
import { latest } from './latest.js';
import { LayerMaps } from './layer-maps.js';
import { matrixCanvas, paint } from './matrix-canvas.js';
import { formatOff, parseOff, toggled } from './changes.js';
import { activation, info, session } from './session.js';
import * as state from './state.js';
import { theme } from './theme.js';

const MOST = 64;

export class MapSwitches {
  constructor() {
    this.element = h('section', { class: 'card' });
    this.values = new LayerMaps();
    this.complete = latest(async (/** @type {string} */ layer, /** @type {number} */ count) => {
      if (await this.values.ask(layer, 0, count)) this.draw();
    });
  }

  draw() {
    const run = info();
    const layers = run.layers
      .filter((layer) => layer.kind === 'convolution' || layer.kind === 'linear')
      .slice(0, -1);
    if (!layers.length || !session.result) return;
    const layer = layers.find((one) => one.name === state.get('offlayer')) ?? layers[0];
    const off = parseOff(state.get('off'));
    const chosen = new Set(off[layer.name] ?? []);
    const all = layer.shape[0];
    const shown = Math.min(all, MOST);
    if (!isVector(layer.shape) && state.get('view') === 'whatif') this.complete(layer.name, shown);
    const set = (/** @type {number[]} */ maps) =>
      state.set({ off: formatOff({ ...off, [layer.name]: maps }) });
    replace(
      this.element,
      h('h3', { text: 'Switch maps off' }),
      choice(
        'Layer',
        layers.map((one) => [one.name, one.name]),
        layer.name,
        (value) => state.set({ offlayer: value }),
      ),
      h(
        'div',
        { class: 'off-maps' },
        ...Array.from({ length: shown }, (_, map) => this.#mapButton(layer, map, chosen, off)),
      ),
      h(
        'div',
        { class: 'row tight' },
        button('All on', () => set([])),
        button('All off', () => set(Array.from({ length: all }, (_, i) => i))),
        h('span', {
          class: 'note',
          text: `${chosen.size} of ${all} off${all > shown ? `; the first ${shown} are shown` : ''}`,
        }),
      ),
    );
  }

  /**
   * @param {import('./types.js').Layer} layer
   * @param {number} map
   * @param {Set<number>} chosen
   * @param {Record<string, number[]>} off
   */
  #mapButton(layer, map, chosen, off) {
    const isOff = chosen.has(map);
    const one = button('', () => state.set({ off: formatOff(toggled(off, layer.name, map)) }), {
      class: isVector(layer.shape) ? 'map unit-toggle' : 'map',
      'aria-label': `${isVector(layer.shape) ? 'Unit' : 'Map'} ${map} of ${layer.name} off`,
      'aria-pressed': String(isOff),
    });
    const entry = activation(layer.name);
    const canvas = entry && this.#mapPicture(layer, map, entry);
    if (canvas) one.append(canvas);
    one.append(h('span', { class: 'map-number', text: map, 'aria-hidden': 'true' }));
    return one;
  }

  /**
   * @param {import('./types.js').Layer} layer
   * @param {number} map
   * @param {import('./types.js').Activation} entry
   */
  #mapPicture(layer, map, entry) {
    const canvas = matrixCanvas();
    if (isVector(layer.shape)) {
      if (!session.result) return null;
      const { data } = mapOf(session.result.values, entry);
      const scale = scaleFor('activations', entry.min, entry.max, theme());
      paint(canvas, data.subarray(map, map + 1), 1, 1, scale);
      return canvas;
    }
    const values = this.values.have(layer.name, map);
    if (!values) return null;
    const [low, high] = rangeOf(values.data);
    const scale = scaleFor('activations', Math.min(low, entry.min), high, theme());
    paint(canvas, values.data, values.rows, values.columns, scale);
    return canvas;
  }
}
