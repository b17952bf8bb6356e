/** What if: maps switched off, another pooling, padding or activation, and what the answers do. */

import * as api from './api.js';
import { button, choice, h, replace } from './dom.js';
import { inputCanvas } from './input-picture.js';
import { latest } from './latest.js';
import { MapSwitches } from './map-switches.js';
import { percentText } from './numbers.js';
import { parseOff, replacements } from './changes.js';
import { info, session } from './session.js';
import * as state from './state.js';
import { explanation } from './texts.js';

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

export class WhatIfView {
  constructor() {
    this.specs = h('section', { class: 'card' });
    this.maps = new MapSwitches();
    this.answer = h('section', { class: 'card', 'aria-live': 'polite' });
    this.element = h(
      'div',
      { class: 'view whatif' },
      explanation('whatif'),
      h(
        'div',
        { class: 'whatif-main' },
        h('div', { class: 'stack' }, this.specs, this.maps.element),
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
    this.maps.draw();
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
