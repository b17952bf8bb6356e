/** The padding bench: one border, four ways to fill it, and a convolution over each. */

import * as api from './api.js';
import { pairCellSize } from './bench-cells.js';
import { BenchSource } from './bench-source.js';
import { firstInside, isLost, lostWords, seenBy } from './bench-windows.js';
import { codeLine } from './code-line.js';
import { rangeOf, scaleFor } from './colours.js';
import { choice, h, replace, stepper } from './dom.js';
import { KERNELS } from './kernels.js';
import { latest } from './latest.js';
import { borderSource, windowSpan } from './layout.js';
import { legend } from './legend.js';
import { NumberGrid } from './number-grid.js';
import { report } from './session.js';
import * as state from './state.js';
import { explanation } from './texts.js';
import { theme } from './theme.js';

/** @type {[string, string, string][]} */
const MODES = [
  ['zeros', 'Zeros', 'the border is 0'],
  ['reflect', 'Reflect', 'mirrored at the edge: 3 2 | 1 2 3'],
  ['replicate', 'Replicate', 'the edge repeated: 1 1 | 1 2 3'],
  ['circular', 'Circular', 'the other side: 2 3 | 1 2 3'],
];

/** @typedef {{mode: string, title: string, words: string, result: import('./types.js').PaddedResult}} Answer */
/** @typedef {{mode: string, title: string, words: string, error: string}} Failure */
/** @typedef {Answer & {padded: NumberGrid, output: NumberGrid}} Card */

export class PaddingBench {
  constructor() {
    this.source = new BenchSource(() => this.compute(), 6);
    this.controls = h('div', { class: 'bench-controls' });
    this.kernel = h('div', { class: 'bench-kernel' });
    this.formula = h('div', {});
    this.readout = h('p', { class: 'readout sticky', text: '\u00a0' });
    this.cards = h('div', { class: 'bench-cards wide' });
    this.element = h(
      'div',
      { class: 'view bench' },
      explanation('padding'),
      h(
        'div',
        { class: 'bench-main' },
        this.source.element,
        h(
          'div',
          { class: 'bench-work' },
          this.controls,
          h('div', { class: 'row bench-head' }, this.kernel, this.formula),
          this.readout,
          this.cards,
        ),
      ),
    );
    this.compute = latest(() => this.#compute());
  }

  resultChanged() {
    this.source.update();
  }

  runChanged() {}

  themeChanged() {
    this.source.update();
  }

  /** @param {Set<string>} changed */
  stateChanged(changed) {
    if (['source', 'map', 'crop', 'values', 'view'].some((key) => changed.has(key)))
      this.source.update();
    else if (['border', 'sides', 'kern', 'pstride'].some((key) => changed.has(key))) this.compute();
  }

  #drawControls() {
    const set = (/** @type {string} */ key) => (/** @type {string | number} */ value) =>
      state.set({ [key]: String(value) });
    const explicit = state.get('border') === 'explicit';
    replace(
      this.controls,
      choice(
        'Border',
        [
          ['valid', 'valid'],
          ['same', 'same'],
          ['full', 'full'],
          ['explicit', 'explicit'],
        ],
        state.get('border'),
        set('border'),
      ),
      explicit && stepper('Sides', state.getNumber('sides'), [0, 6], set('sides')),
      choice(
        'Kernel',
        KERNELS.map(({ key, words }) => [key, words]),
        state.get('kern'),
        set('kern'),
      ),
      stepper('Stride', state.getNumber('pstride'), [1, 4], set('pstride')),
    );
  }

  async #compute() {
    const numbers = this.source.numbers();
    if (!numbers) return;
    this.#drawControls();
    const kernel = (KERNELS.find(({ key }) => key === state.get('kern')) ?? KERNELS[0]).values;
    const border = state.get('border');
    /** @type {(Answer | Failure)[]} */
    const answers = [];
    for (const [mode, title, words] of border === 'valid'
      ? [['zeros', 'No border', 'only whole windows']]
      : MODES) {
      try {
        const result = await api.benchPad({
          values: numbers.values,
          border,
          ...(border === 'explicit' ? { sides: state.getNumber('sides') } : {}),
          mode,
          kernel,
          stride: state.getNumber('pstride'),
        });
        answers.push({ mode, title, words, result });
      } catch (error) {
        if (!(error instanceof api.ApiError) || error.status === 0) {
          report(error);
          return;
        }
        answers.push({ mode, title, words, error: error.message });
      }
    }
    this.#draw(numbers, kernel, answers);
  }

  /**
   * @param {import('./bench-source.js').Numbers} numbers
   * @param {number[][]} kernel
   * @param {(Answer | Failure)[]} answers
   */
  #draw(numbers, kernel, answers) {
    const good = answers.filter((one) => 'result' in one);
    const input = numbers.kind === 'input' ? 'input' : 'activations';
    const scale = scaleFor(
      input,
      ...rangeOf(good.flatMap((one) => one.result.padded.flat())),
      theme(),
    );
    const outScale = scaleFor(
      'activations',
      ...rangeOf(good.flatMap((one) => one.result.output.flat())),
      theme(),
    );
    const cell = pairCellSize(this.cards.clientWidth || 600, good[0]?.result);
    const plain = cell < 20;
    const cards = good.map((one) => ({
      ...one,
      padded: new NumberGrid(one.result.padded, {
        caption: `Padded input, ${one.title}`,
        scale,
        cell,
        plain,
        padded: one.result.is_border,
        part: `padded-${one.mode}`,
        faded: (r, c) => isLost(r, c, one.result.padded, one.result.discarded),
      }),
      output: new NumberGrid(one.result.output, {
        caption: `Output, ${one.title}`,
        scale: outScale,
        cell,
        plain,
        part: `output-${one.mode}`,
      }),
    }));
    const weights = new NumberGrid(kernel, {
      caption: 'Kernel',
      scale: scaleFor('weights', ...rangeOf(kernel.flat()), theme()),
      cell: 32,
    });
    replace(this.kernel, weights.element);
    const first = good[0]?.result;
    replace(
      this.formula,
      first && h('p', { class: 'formula', text: first.formula }),
      first && h('p', { class: 'note', text: lostWords(first.discarded) }),
      h('div', { class: 'row' }, legend(scale, 'input'), legend(outScale, 'output')),
    );
    this.readout.textContent =
      'Point at an output for its window, at a border cell for the pixel it repeats.';
    this.#link(cards, kernel, numbers.values);
    const failures = answers.filter((one) => 'error' in one);
    replace(
      this.cards,
      ...cards.map((card) => cardElement(card)),
      ...failures.map((one) =>
        h(
          'section',
          { class: 'card' },
          h('h3', { text: one.title }),
          h('p', { class: 'problem', text: one.error }),
        ),
      ),
    );
  }

  /**
   * @param {Card[]} cards
   * @param {number[][]} kernel
   * @param {number[][]} values
   */
  #link(cards, kernel, values) {
    const stride = state.getNumber('pstride');
    for (const card of cards) {
      card.output.onHover((place) => {
        for (const one of cards) {
          one.output.light(place ? [place] : []);
          if (!place) one.padded.light([]);
          else {
            one.padded.lightWindow(
              windowSpan(place[0], kernel.length, stride, 0),
              windowSpan(place[1], kernel[0].length, stride, 0),
            );
          }
        }
        if (place) {
          const words = cards.map((one) => `${one.title} ${one.output.words(...place)}`);
          this.readout.textContent = `row ${place[0]}, column ${place[1]}: ${words.join(' · ')}`;
        }
      });
      card.padded.onHover((place) => this.#point(cards, place, kernel, values, stride));
    }
  }

  /**
   * @param {Card[]} cards
   * @param {[number, number] | null} place
   * @param {number[][]} kernel
   * @param {number[][]} values
   * @param {number} stride
   */
  #point(cards, place, kernel, values, stride) {
    for (const card of cards) {
      if (!place) {
        card.padded.light([]);
        card.output.light([]);
        continue;
      }
      const origin = firstInside(card.result.is_border);
      const row = borderSource(card.mode, place[0] - origin[0], values.length);
      const column = borderSource(card.mode, place[1] - origin[1], values[0].length);
      const twin = /** @type {[number, number][]} */ (
        row === null || column === null ? [] : [[row + origin[0], column + origin[1]]]
      );
      card.padded.light([place, ...twin]);
      card.output.light(
        seenBy(place[0], place[1], Math.max(kernel.length, kernel[0].length), stride, card.output),
      );
    }
    if (place) {
      const words = cards.map((one) => `${one.title} ${one.padded.words(...place)}`);
      this.readout.textContent = words.join(' · ');
    }
  }
}

/** @param {Card} card */
function cardElement({ title, words, padded, output, result }) {
  return h(
    'section',
    { class: 'card bench-card' },
    h('h3', { text: title }),
    h('p', { class: 'note', text: words }),
    h(
      'div',
      { class: 'padding-pair' },
      h('div', { class: 'scroll' }, padded.element),
      h('span', { class: 'sign', text: '→' }),
      h('div', { class: 'scroll' }, output.element),
    ),
    codeLine(result.code),
  );
}
