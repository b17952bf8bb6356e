/** One layer: what it is, all its maps, one of them large, and one unit of that explained. */

import { scaleFor } from './colours.js';
import { button, growFrom, h, isCalm, replace } from './dom.js';
import { isVector, mapOf, sizeText } from './frame.js';
import { Gallery } from './gallery.js';
import { strongest, vectorBlock } from './layout.js';
import { latest } from './latest.js';
import { legend } from './legend.js';
import { countText } from './numbers.js';
import { rangeInScale, scaleSwitch } from './scale.js';
import { activation, info, session } from './session.js';
import * as state from './state.js';
import { theme } from './theme.js';
import { UnitMap } from './unit-map.js';
import { UnitPanel } from './unit-panel.js';

/**
 * A unit in the address: map, row and column, or one index.
 *
 * @returns {number[] | null}
 */
function chosenUnit() {
  const text = state.get('unit');
  return /^\d+(,\d+,\d+)?$/.test(text) ? text.split(',').map(Number) : null;
}

export class LayerView {
  /** @param {(field: import('./types.js').Field | null) => void} markField */
  constructor(markField) {
    this.markField = markField;
    this.head = h('header', { class: 'layer-head' });
    this.map = new UnitMap({
      pick: (row, column) => this.#pick(row, column),
      hover: (place) => this.#hover(place),
    });
    this.gallery = new Gallery((map, from) => this.#choose(map, from));
    this.panel = new UnitPanel((unitField) => {
      this.field = unitField;
      this.markField(unitField);
    });
    this.tools = h('div', { class: 'row spread' });
    this.element = h(
      'div',
      { class: 'layer-view' },
      this.head,
      h(
        'div',
        { class: 'layer-body' },
        h('div', { class: 'layer-map' }, this.map.element, this.tools),
        this.gallery.element,
      ),
      this.panel.element,
    );
    /** @type {import('./types.js').Field | null} */
    this.field = null;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.playing = undefined;
    this.update = latest(() => this.#update());
  }

  /** The layer of the address, if there is such a one. */
  layer() {
    return session.info?.layers.find((layer) => layer.name === state.get('layer')) ?? null;
  }

  async #update() {
    const layer = this.layer();
    const result = session.result;
    const entry = layer && activation(layer.name);
    if (!layer || !result || !entry) return;
    const vector = isVector(layer.shape);
    const chosen = chosenUnit();
    const map = vector ? 0 : Math.min(chosen?.[0] ?? this.#strongest(entry), layer.shape[0] - 1);
    this.#drawHead(layer);
    const values = vector
      ? mapOf(result.values, entry)
      : await this.gallery.values(layer.name, map);
    if (!values || layer !== this.layer()) return;
    const [low, high] = rangeInScale(entry, values.data);
    const scale = scaleFor('activations', low, high, theme());
    const size = vector ? vectorBlock(layer.shape[0]) : values;
    this.map.show(
      { data: values.data, rows: size.rows, columns: size.columns, vector },
      scale,
      vector ? `${layer.name}, ${layer.shape[0]} units` : `${layer.name}, map ${map}`,
    );
    const unit = fitted(chosen, layer.shape) ?? loudest(values, layer.shape, map);
    this.map.setCursor(this.#place(unit, size.columns));
    this.element.classList.toggle('vector', vector);
    this.gallery.element.hidden = vector;
    this.#drawTools(layer, scale);
    this.panel.show(layer, unit);
    if (!vector) await this.gallery.show(layer.name, map);
  }

  /** @param {import('./types.js').Activation} entry */
  #strongest(entry) {
    if (!session.result) return 0;
    if (entry.maps) return entry.maps[0];
    const area = entry.shape.reduce((product, size) => product * size, 1);
    const values = session.result.values.subarray(entry.offset, entry.offset + area);
    return strongest(values, entry.shape[0])[0];
  }

  /**
   * @param {number[] | null} unit
   * @param {number} columns
   * @returns {[number, number] | null}
   */
  #place(unit, columns) {
    const layer = this.layer();
    if (!unit || !layer) return null;
    if (isVector(layer.shape)) return [Math.floor(unit[0] / columns), unit[0] % columns];
    return unit.length === 3 ? [unit[1], unit[2]] : null;
  }

  /** @param {import('./types.js').Layer} layer */
  #drawHead(layer) {
    const { layers } = info();
    const place = layers.indexOf(layer);
    const go = (/** @type {number} */ to) =>
      state.set({ layer: layers[to].name, unit: '', page: '0' }, { push: true });
    replace(
      this.head,
      h(
        'div',
        { class: 'row spread' },
        h('h2', {}, layer.name, h('span', { class: 'quiet', text: ` ${layer.title}` })),
        h(
          'div',
          { class: 'row tight' },
          button('‹ before', () => go(place - 1), { disabled: place === 0 }),
          button('next ›', () => go(place + 1), { disabled: place === layers.length - 1 }),
        ),
      ),
      h(
        'p',
        { class: 'facts' },
        h('span', { text: sizeText(layer.shape) }),
        layer.parameters > 0 && h('span', { text: `${countText(layer.parameters)} parameters` }),
        !!layer.multiply_adds &&
          h('span', { text: `${countText(layer.multiply_adds)} multiply-adds` }),
        layer.receptive &&
          h('span', { text: `sees ${[layer.receptive.size].flat().join(' × ')} input pixels` }),
      ),
      h(
        'p',
        { class: 'about' },
        layer.about,
        layer.formula && h('code', { text: layer.formula }),
        layer.source && h('span', { class: 'quiet', text: ` ${layer.source}` }),
      ),
    );
  }

  /**
   * @param {import('./types.js').Layer} layer
   * @param {import('./colours.js').Scale} scale
   */
  #drawTools(layer, scale) {
    replace(
      this.tools,
      button(this.playing ? 'Pause' : 'Play', () => this.#play(layer), {
        title: 'Let the window walk over the map',
        'aria-pressed': String(this.playing !== undefined),
      }),
      legend(scale, ''),
      scaleSwitch(),
    );
  }

  /** @param {import('./types.js').Layer} layer */
  #play(layer) {
    if (this.playing) {
      this.stop();
      this.update();
      return;
    }
    const step = () => {
      if (layer !== this.layer() || state.get('view') !== 'look') {
        this.stop();
        return;
      }
      const { matrix, cursor } = this.map;
      if (!matrix) return;
      const next = cursor ? (cursor[0] * matrix.columns + cursor[1] + 1) % matrix.data.length : 0;
      this.#pick(Math.floor(next / matrix.columns), next % matrix.columns);
    };
    this.playing = setInterval(step, isCalm() ? 1200 : 350);
    step();
  }

  stop() {
    clearInterval(this.playing);
    this.playing = undefined;
  }

  /**
   * @param {number} row
   * @param {number} column
   */
  #pick(row, column) {
    const layer = this.layer();
    const { matrix } = this.map;
    if (!layer || !matrix) return;
    const map =
      chosenUnit()?.[0] ??
      this.#strongest(/** @type {import('./types.js').Activation} */ (activation(layer.name)));
    const unit = matrix.vector
      ? unitText(layer.shape, row * matrix.columns + column)
      : `${map},${row},${column}`;
    state.set({ unit }, { push: state.get('unit').split(',').length < 2 && !matrix.vector });
  }

  /**
   * @param {number} map
   * @param {Element} from
   */
  #choose(map, from) {
    const box = from.getBoundingClientRect();
    const unit = chosenUnit();
    state.set({ unit: unit?.length === 3 ? `${map},${unit[1]},${unit[2]}` : `${map}` });
    growFrom(box, this.map.surface);
  }

  /** @param {[number, number] | null} place */
  #hover(place) {
    const layer = this.layer();
    if (!place || !layer?.receptive || isVector(layer.shape)) {
      this.markField(this.field);
      return;
    }
    const [size, jump, start] = [
      layer.receptive.size,
      layer.receptive.jump,
      layer.receptive.start,
    ].map((one) => (Array.isArray(one) ? one : [one, one]));
    this.markField({
      top: start[0] + place[0] * jump[0],
      left: start[1] + place[1] * jump[1],
      height: size[0],
      width: size[1],
    });
  }
}

/**
 * The chosen unit, if the layer has it.
 *
 * @param {number[] | null} unit
 * @param {number[]} shape
 */
function fitted(unit, shape) {
  const fits = unit?.length === shape.length && unit.every((place, axis) => place < shape[axis]);
  return fits ? unit : null;
}

/**
 * The unit of a map that has the largest value: what is explained until someone chooses.
 *
 * @param {{data: Float32Array, columns: number}} values
 * @param {number[]} shape
 * @param {number} map
 */
function loudest({ data, columns }, shape, map) {
  let best = 0;
  for (let i = 1; i < data.length; i += 1) if (data[i] > data[best]) best = i;
  if (isVector(shape)) return unitText(shape, best).split(',').map(Number);
  return [map, Math.floor(best / columns), best % columns];
}

/**
 * The place of a unit of a vector in the address; 1 × 1 maps keep their row and column.
 *
 * @param {number[]} shape
 * @param {number} index
 */
function unitText(shape, index) {
  return shape.length === 3 ? `${index},0,0` : `${index}`;
}
