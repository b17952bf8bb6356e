/** One unit as an equation in pictures. It asks the server for every term and draws them. */

import * as api from './api.js';
import { button, h, replace } from './dom.js';
import { drawEquation } from './equation.js';
import { drawTerms } from './terms.js';
import { latest } from './latest.js';
import { exactText } from './numbers.js';
import { mapOf } from './frame.js';
import { activation, info, refresh, report, session } from './session.js';
import * as state from './state.js';

export class UnitPanel {
  /** @param {(field: import('./types.js').Field | null) => void} markField */
  constructor(markField) {
    this.markField = markField;
    this.element = h('section', { class: 'unit-panel', 'aria-label': 'One unit, explained' });
    this.key = '';
    this.lost = '';
    this.all = false;
    this.show = latest(
      (/** @type {import('./types.js').Layer} */ layer, /** @type {number[]} */ unit) =>
        this.#show(layer, unit),
    );
  }

  /**
   * @param {import('./types.js').Layer} layer
   * @param {number[]} unit
   */
  async #show(layer, unit) {
    const image = session.result?.header.image;
    if (!image) return;
    const key = [info().id, image, layer.name, unit].join(' ');
    if (key !== this.key) {
      let found;
      try {
        found = await api.unit(info().id, { image, layer: layer.name, unit: unit.join(',') });
      } catch (error) {
        // The server keeps the last pictures only: show it this one again, once.
        const lost = error instanceof api.ApiError && error.status === 404 && this.lost !== key;
        this.lost = key;
        if (lost) refresh();
        else report(error);
        return;
      }
      if (image !== session.result?.header.image) return;
      if (this.key.split(' ')[2] !== layer.name) this.all = false;
      this.key = key;
      this.found = found;
      this.markField(found.field);
    }
    this.#draw(layer);
  }

  /** @param {import('./types.js').Layer} layer */
  #draw(layer) {
    const { found } = this;
    if (!found) return;
    const place = info().layers.indexOf(layer);
    const before = place > 0 ? info().layers[place - 1] : null;
    const withTerms = found.maps.length === 0 || ['lrn', 'norm'].includes(found.kind);
    replace(
      this.element,
      h(
        'div',
        { class: 'row spread' },
        h('h3', { text: unitName(found) }),
        h('output', {
          class: 'unit-value',
          data: { v: String(found.value) },
          text: exactText(found.value ?? Number.NaN),
        }),
      ),
      h('p', { class: 'formula', text: found.formula }),
      found.maps.length > 0 &&
        drawEquation(
          found,
          before,
          this.all,
          () => {
            this.all = true;
            this.#draw(layer);
          },
          (this.element.parentElement?.clientWidth ?? 700) - 40,
        ),
      withTerms && drawTerms(found, layer, before),
      this.#next(place, found),
    );
  }

  /**
   * What becomes of the value in the next layer, if that looks at this unit alone.
   *
   * @param {number} place
   * @param {import('./types.js').Provenance} found
   */
  #next(place, found) {
    const next = info().layers[place + 1];
    const entry = next && activation(next.name);
    if (!next || next.kind !== 'activation' || !entry || !session.result) return null;
    const shown = entry.maps ? entry.maps.indexOf(found.unit[0]) : found.unit[0];
    if (shown < 0) return null;
    const vector = found.unit.length === 1 || next.shape.length === 1;
    const { data, columns } = mapOf(session.result.values, entry, vector ? 0 : shown);
    const value = data[vector ? found.unit[0] : found.unit[1] * columns + found.unit[2]];
    if (value === undefined) return null;
    return h(
      'p',
      { class: 'next-layer' },
      `Then ${next.title}: ${exactText(found.value ?? Number.NaN)} becomes `,
      button(exactText(value), () =>
        state.set({ layer: next.name, unit: found.unit.join(',') }, { push: true }),
      ),
    );
  }
}

/** @param {import('./types.js').Provenance} found */
function unitName({ layer, unit }) {
  if (unit.length === 1) return `${layer}, unit ${unit[0]}`;
  return `${layer}, map ${unit[0]}, row ${unit[1]}, column ${unit[2]}`;
}
