/** What if: maps switched off, another pooling, padding or activation, and what the answers do. */

import * as api from './api.js';
import { rangeOf, scaleFor } from './colours.js';
import { button, choice, h, replace } from './dom.js';
import { isVector, mapOf } from './frame.js';
import { inputCanvas } from './input-picture.js';
import { latest } from './latest.js';
import { matrixCanvas, paint } from './matrix-canvas.js';
import { percentText } from './numbers.js';
import { formatOff, parseOff, replacements, toggled } from './changes.js';
import { activation, info, session } from './session.js';
import * as state from './state.js';
import { explanation } from './texts.js';
import { theme } from './theme.js';

/** @type {[string, string, string, string[]][]} key in the address, argument, words, kinds */
const SPECS = [
  ['pool', 'pool', 'Pooling', ['max', 'average', 'l2', 'subsampling', 'blur', 'min']],
  ['pad', 'padding', 'Border filled with', ['zeros', 'reflect', 'replicate', 'circular']],
  [
    'act',
    'activation',
    'Activation',
    ['relu', 'tanh', 'scaled-tanh', 'sigmoid', 'leaky-relu', 'identity'],
  ],
];
const MOST = 64;

export class WhatIfView {
  constructor() {
    this.specs = h('section', { class: 'card' });
    this.maps = h('section', { class: 'card' });
    this.answer = h('section', { class: 'card', 'aria-live': 'polite' });
    this.element = h(
      'div',
      { class: 'view whatif' },
      explanation('whatif'),
      h(
        'div',
        { class: 'whatif-main' },
        h('div', { class: 'stack' }, this.specs, this.maps),
        this.answer,
      ),
    );
    this.compute = latest((/** @type {boolean} */ measure) => this.#compute(measure));
    /** @type {import('./types.js').WhatIf['accuracy']} */
    this.accuracy = null;
  }

  runChanged() {
    this.accuracy = null;
  }

  resultChanged() {
    this.draw();
    this.compute(false);
  }

  themeChanged() {
    this.draw();
  }

  /** @param {Set<string>} changed */
  stateChanged(changed) {
    if (!['off', 'pool', 'pad', 'act', 'offlayer', 'view'].some((key) => changed.has(key))) return;
    this.draw();
    if (!changed.has('offlayer')) {
      this.accuracy = null;
      this.compute(false);
    }
  }

  draw() {
    if (!session.result) return;
    this.#drawSpecs();
    this.#drawMaps();
  }

  #drawSpecs() {
    const run = info();
    const known = SPECS.filter(([, argument]) => run.replaceable.includes(argument));
    const rows = known.map(([key, , words, kinds]) =>
      choice(
        words,
        [
          ['', 'as trained'],
          ...kinds.map((kind) => /** @type {[string, string]} */ ([kind, kind])),
        ],
        state.get(key),
        (value) => state.set({ [key]: value }),
      ),
    );
    const preset = (
      /** @type {string} */ words,
      /** @type {import('./state.js').State} */ values,
    ) => button(words, () => state.set(values));
    replace(
      this.specs,
      h('h3', { text: 'Exchange layers, keep the weights' }),
      ...rows,
      h(
        'div',
        { class: 'row tight' },
        preset('As trained', { pool: '', pad: '', act: '', off: '' }),
        run.model.name.startsWith('lenet') &&
          preset('As in 1998', { pool: 'subsampling', act: 'scaled-tanh', pad: '' }),
        preset('Modern', { pool: 'max', act: 'relu', pad: '' }),
      ),
    );
  }

  #drawMaps() {
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
    const set = (/** @type {number[]} */ maps) =>
      state.set({ off: formatOff({ ...off, [layer.name]: maps }) });
    replace(
      this.maps,
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
    const place = entry?.maps ? entry.maps.indexOf(map) : map;
    if (entry && session.result && place >= 0) {
      const canvas = matrixCanvas();
      const scale = scaleFor('activations', entry.min, entry.max, theme());
      if (isVector(layer.shape)) {
        const { data } = mapOf(session.result.values, entry);
        paint(canvas, data.subarray(map, map + 1), 1, 1, scale);
      } else {
        const { data, rows, columns } = mapOf(session.result.values, entry, place);
        const range = rangeOf(data);
        paint(
          canvas,
          data,
          rows,
          columns,
          scaleFor('activations', Math.min(range[0], entry.min), range[1], theme()),
        );
      }
      one.append(canvas);
    }
    one.append(h('span', { class: 'map-number', text: map, 'aria-hidden': 'true' }));
    return one;
  }

  /** @param {boolean} measure */
  async #compute(measure) {
    const image = session.result?.header.image;
    if (!image || state.get('view') !== 'whatif') return;
    const change = {
      image,
      off: parseOff(state.get('off')),
      replace: replacements(info(), state.get('pool'), state.get('pad'), state.get('act')),
      measure,
    };
    if (measure)
      replace(this.answer, h('p', { class: 'note', text: 'Measuring on the test set …' }));
    try {
      const found = measure
        ? await api.patient(
            () => api.whatIf(info().id, change),
            () => {},
          )
        : await api.whatIf(info().id, change);
      if (found.accuracy) this.accuracy = found.accuracy;
      this.#drawAnswer(found);
    } catch (error) {
      replace(
        this.answer,
        h('h3', { text: 'This does not fit' }),
        h('p', { class: 'problem', text: error instanceof Error ? error.message : '' }),
        h('p', {
          class: 'note',
          text: 'The weights of the layers behind it expect maps of another size. Choose something else, or train such a network anew.',
        }),
      );
    }
  }

  /** @param {import('./types.js').WhatIf} found */
  #drawAnswer({ probabilities, before, top }) {
    const run = info();
    if (!probabilities || !before?.probabilities || !top) return;
    const was = before.probabilities;
    const best = was.indexOf(Math.max(...was));
    const order =
      run.classes.length <= 12 ? run.classes.map((_, i) => i) : top.map((one) => one.index);
    const verdict =
      top[0].index === best
        ? `Still ${run.classes[best]}`
        : `${run.classes[best]} became ${top[0].class}`;
    replace(
      this.answer,
      h(
        'div',
        { class: 'whatif-picture' },
        inputCanvas(),
        h(
          'div',
          {},
          h('p', { class: 'verdict-line', text: verdict }),
          h('p', {
            class: 'note',
            text: 'The picture of Look inside. Above as trained, below as changed.',
          }),
        ),
      ),
      h(
        'ol',
        { class: 'bars twice' },
        ...order.map((i) => pairOfBars(run.classes[i], was[i], probabilities[i])),
      ),
      this.#accuracy(),
    );
  }

  #accuracy() {
    const found = this.accuracy;
    if (!info().has_data) return null;
    return h(
      'div',
      { class: 'measure' },
      button('Measure the test accuracy', () => this.compute(true)),
      found &&
        h(
          'p',
          {},
          h('strong', { text: percentText(found.after, 2) }),
          ` of ${found.n} right, as trained ${percentText(found.before, 2)} (${found.after >= found.before ? '+' : '−'}${Math.abs((found.after - found.before) * 100).toFixed(2)} points)`,
        ),
    );
  }
}

/**
 * @param {string} name
 * @param {number} before
 * @param {number} after
 */
function pairOfBars(name, before, after) {
  const bar = (/** @type {number} */ value, /** @type {string} */ kind) => {
    const fill = h('span', { class: 'bar-fill' });
    fill.style.width = `${Math.max(0, Math.min(1, value)) * 100}%`;
    return h('span', { class: `bar ${kind}`, 'aria-hidden': 'true' }, fill);
  };
  return h(
    'li',
    {},
    h('span', { class: 'bar-name', text: name, title: name }),
    h('span', { class: 'bar-pair' }, bar(before, 'old'), bar(after, 'new')),
    h('span', { class: 'bar-value', text: `${percentText(before, 0)} → ${percentText(after, 0)}` }),
  );
}
