/** All maps of one layer: the strongest in a strip, all of them in pages. */

import { rangeOf, scaleFor } from './colours.js';
import { button, h, replace } from './dom.js';
import { LayerMaps } from './layer-maps.js';
import { matrixCanvas, paint } from './matrix-canvas.js';
import { rangeInScale } from './scale.js';
import { activation, info } from './session.js';
import * as state from './state.js';
import { theme } from './theme.js';

const PAGE = 24;

export class Gallery {
  /** @param {(map: number, from: Element) => void} choose */
  constructor(choose) {
    this.choose = choose;
    this.element = h('div', { class: 'gallery' });
    this.maps = new LayerMaps();
  }

  /**
   * The values of one map, asked for if they did not come with the picture.
   *
   * @param {string} layer
   * @param {number} map
   */
  async values(layer, map) {
    await this.maps.ask(layer, map, 1);
    return this.maps.have(layer, map);
  }

  /**
   * @param {string} layer
   * @param {number} chosen
   */
  async show(layer, chosen) {
    const entry = activation(layer);
    if (!entry) return;
    const count = info().layers[entry.place].shape[0];
    const pages = Math.ceil(count / PAGE);
    const page = Math.max(0, Math.min(pages - 1, Number(state.get('page')) || 0));
    const from = page * PAGE;
    const shown = Array.from({ length: Math.min(PAGE, count - from) }, (_, i) => from + i);
    await this.maps.ask(layer, from, shown.length);
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
        const values = this.maps.have(layer, map);
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
