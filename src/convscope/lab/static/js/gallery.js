/** All maps of one layer: the strongest in a strip, all of them in pages. */

import * as api from './api.js';
import { rangeOf, scaleFor } from './colours.js';
import { button, h, replace } from './dom.js';
import { mapOf } from './frame.js';
import { matrixCanvas, paint } from './matrix-canvas.js';
import { rangeInScale } from './scale.js';
import { activation, info, report, session } from './session.js';
import * as state from './state.js';
import { theme } from './theme.js';

const PAGE = 24;

/** @typedef {{data: Float32Array, rows: number, columns: number}} MapValues */

export class Gallery {
  /** @param {(map: number, from: Element) => void} choose */
  constructor(choose) {
    this.choose = choose;
    this.element = h('div', { class: 'gallery' });
    this.key = '';
    /** @type {Map<number, MapValues>} */
    this.known = new Map();
  }

  /**
   * The values of one map of the shown layer, asked for if they did not come with the picture.
   *
   * @param {string} layer
   * @param {number} map
   * @returns {Promise<MapValues | null>}
   */
  async values(layer, map) {
    this.#collect(layer);
    if (!this.known.has(map)) await this.#fetch(layer, map, 1);
    return this.known.get(map) ?? null;
  }

  /** Keep what came with the picture. @param {string} layer */
  #collect(layer) {
    const result = session.result;
    const entry = activation(layer);
    if (!result || !entry) return;
    const key = `${info().id} ${result.header.image} ${layer}`;
    if (key === this.key) return;
    this.key = key;
    this.known.clear();
    const maps = entry.maps ?? Array.from({ length: entry.shape[0] }, (_, i) => i);
    maps.forEach((map, i) => this.known.set(map, mapOf(result.values, entry, i)));
  }

  /**
   * @param {string} layer
   * @param {number} from
   * @param {number} count
   */
  async #fetch(layer, from, count) {
    const { key } = this;
    const image = session.result?.header.image ?? '';
    try {
      const { header, values } = await api.layerMaps(info().id, layer, { image, from, count });
      if (key !== this.key) return;
      const [entry] = header.tensors;
      for (let i = 0; i < entry.shape[0]; i += 1) this.known.set(from + i, mapOf(values, entry, i));
    } catch (error) {
      report(error);
    }
  }

  /**
   * @param {string} layer
   * @param {number} chosen
   */
  async show(layer, chosen) {
    this.#collect(layer);
    const entry = activation(layer);
    if (!entry) return;
    const count = info().layers[entry.place].shape[0];
    const pages = Math.ceil(count / PAGE);
    const page = Math.max(0, Math.min(pages - 1, Number(state.get('page')) || 0));
    const from = page * PAGE;
    const shown = Array.from({ length: Math.min(PAGE, count - from) }, (_, i) => from + i);
    if (shown.some((map) => !this.known.has(map))) await this.#fetch(layer, from, shown.length);
    const turn = (/** @type {number} */ to) => state.set({ page: String(to) });
    replace(
      this.element,
      entry.maps && h('h3', { text: 'The strongest' }),
      entry.maps && this.#grid(layer, entry.maps.slice(0, 12), chosen, 'strip'),
      h(
        'div',
        { class: 'row spread' },
        h('h3', {
          text:
            pages > 1
              ? `Maps ${from} to ${from + shown.length - 1} of ${count}`
              : `All ${count} maps`,
        }),
        pages > 1 &&
          h(
            'div',
            { class: 'row tight' },
            button('‹', () => turn(page - 1), {
              'aria-label': 'Page before',
              disabled: page === 0,
            }),
            button('›', () => turn(page + 1), {
              'aria-label': 'Next page',
              disabled: page === pages - 1,
            }),
          ),
      ),
      this.#grid(layer, shown, chosen, 'all'),
    );
  }

  /**
   * @param {string} layer
   * @param {number[]} maps
   * @param {number} chosen
   * @param {string} kind
   */
  #grid(layer, maps, chosen, kind) {
    const entry = activation(layer);
    return h(
      'div',
      { class: `gallery-grid ${kind}`, role: 'group', 'aria-label': `Maps of ${layer}` },
      ...maps.map((map) => {
        const values = this.known.get(map);
        const canvas = matrixCanvas();
        if (values && entry) {
          const [low, high] = rangeInScale(entry, values.data);
          paint(
            canvas,
            values.data,
            values.rows,
            values.columns,
            scaleFor('activations', low, high, theme()),
          );
        }
        const thumb = button('', () => this.choose(map, thumb), {
          class: 'map',
          'aria-label': `Map ${map}`,
          'aria-pressed': String(map === chosen),
          title: values
            ? `map ${map}: ${rangeOf(values.data)
                .map((v) => v.toFixed(2))
                .join(' to ')}`
            : `map ${map}`,
        });
        thumb.append(canvas, h('span', { class: 'map-number', text: map, 'aria-hidden': 'true' }));
        return thumb;
      }),
    );
  }
}
