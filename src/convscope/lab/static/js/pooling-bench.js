/** The pooling bench: every kind side by side on the same numbers, with one cursor for all. */

import * as api from './api.js';
import { cellSize, mark, winnersOf } from './bench-cells.js';
import { BenchSource } from './bench-source.js';
import { rangeOf, scaleFor } from './colours.js';
import { borderBefore, isLost, lostWords, seenBy, surround } from './bench-windows.js';
import { codeLine } from './code-line.js';
import { choice, h, replace, stepper } from './dom.js';
import { latest } from './latest.js';
import { relativeChange, shiftRight, windowSpan } from './layout.js';
import { legend } from './legend.js';
import { NumberGrid } from './number-grid.js';
import { cellText, percentText } from './numbers.js';
import { report } from './session.js';
import * as state from './state.js';
import { explanation } from './texts.js';
import { theme } from './theme.js';

/** @type {[string, string, string][]} */
const KINDS = [
  ['max', 'Max', 'the largest'],
  ['min', 'Min', 'the smallest'],
  ['average', 'Average', 'the mean'],
  ['l2', 'L2', '√ of the sum of squares'],
  ['subsampling', 'LeNet’s subsampling', 'sum × coefficient + bias, as it starts: 1/area and 0'],
  ['blur', 'Blurred max', 'max everywhere, then a blur, then every other'],
];

/** @typedef {{kind: string, title: string, words: string, result: import('./types.js').Pooled,
 *   shifted: import('./types.js').Pooled | null, grid: NumberGrid, routes: NumberGrid | null}} Card */

export class PoolingBench {
  constructor() {
    this.source = new BenchSource(() => this.compute(), 8);
    this.controls = h('div', { class: 'bench-controls' });
    this.input = h('div', { class: 'bench-input' });
    this.cards = h('div', { class: 'bench-cards' });
    this.readout = h('p', { class: 'readout sticky', text: '\u00a0' });
    this.element = h(
      'div',
      { class: 'view bench' },
      explanation('pooling'),
      h(
        'div',
        { class: 'bench-main' },
        this.source.element,
        h(
          'div',
          { class: 'bench-work' },
          this.controls,
          this.readout,
          h('div', { class: 'bench-stage' }, this.input, this.cards),
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
    else if (['kernel', 'stride', 'poolpad', 'shift', 'show'].some((key) => changed.has(key)))
      this.compute();
  }

  #drawControls() {
    const number = (/** @type {string} */ key) => state.getNumber(key);
    const put = (/** @type {string} */ key) => (/** @type {number} */ value) =>
      state.set({ [key]: String(value) });
    replace(
      this.controls,
      stepper('Size', number('kernel'), [1, 6], put('kernel')),
      stepper('Stride', number('stride'), [1, 6], put('stride')),
      choice(
        'Padding',
        [
          ['valid', 'valid'],
          ['same', 'same'],
          ['1', '1'],
        ],
        state.get('poolpad'),
        (value) => state.set({ poolpad: value }),
      ),
      choice(
        'Shift the input',
        [
          ['0', 'no'],
          ['1', '1 pixel right'],
          ['2', '2 pixels'],
        ],
        state.get('shift'),
        (value) => state.set({ shift: value }),
      ),
      choice(
        'Show',
        [
          ['values', 'values'],
          ['gradient', 'gradient too'],
        ],
        state.get('show'),
        (value) => state.set({ show: value }),
      ),
    );
  }

  async #compute() {
    const numbers = this.source.numbers();
    if (!numbers) return;
    this.#drawControls();
    const shift = state.getNumber('shift');
    const moved = shift ? shiftRight(numbers.values, shift) : null;
    const padding = state.get('poolpad') === '1' ? 1 : state.get('poolpad');
    const ask = (/** @type {string} */ kind, /** @type {number[][]} */ values) =>
      api.benchPool({
        values,
        kind,
        size: state.getNumber('kernel'),
        stride: state.getNumber('stride'),
        padding,
      });
    /** @type {(Omit<Card, 'grid' | 'routes'> | {kind: string, title: string, words: string, error: string})[]} */
    const answers = [];
    for (const [kind, title, words] of KINDS) {
      try {
        const shifted = moved ? await ask(kind, moved) : null;
        answers.push({ kind, title, words, result: await ask(kind, numbers.values), shifted });
      } catch (error) {
        if (!(error instanceof api.ApiError) || error.status === 0) {
          report(error);
          return;
        }
        answers.push({ kind, title, words, error: error.message });
      }
    }
    this.#draw(numbers, moved, answers);
  }

  /**
   * @param {import('./bench-source.js').Numbers} numbers
   * @param {number[][] | null} moved
   * @param {(Omit<Card, 'grid' | 'routes'> | {kind: string, title: string, words: string, error: string})[]} answers
   */
  #draw(numbers, moved, answers) {
    const good = answers.filter((one) => 'result' in one);
    const first = good[0];
    const padded = good.find((one) => one.kind === 'max')?.result.padded ?? null;
    const shown = moved ?? numbers.values;
    const before = borderBefore(shown, padded);
    const range = rangeOf([
      ...numbers.values.flat(),
      ...good.flatMap((one) => one.result.output.flat()),
    ]);
    const kind = numbers.kind === 'input' ? 'input' : 'activations';
    const scale = scaleFor('activations', ...range, theme());
    const inputScale =
      kind === 'input' ? scaleFor('input', ...rangeOf(numbers.values.flat()), theme()) : scale;
    const view = surround(shown, padded, before);
    const cell = cellSize(this.cards.parentElement?.clientWidth ?? 600, view.values[0].length);
    const grid = new NumberGrid(view.values, {
      caption: 'Input of the pooling',
      scale: inputScale,
      cell,
      plain: cell < 21,
      padded: view.border,
      part: 'bench-input',
      marks: winnersOf(good, before),
      faded: (r, c) => isLost(r, c, view.values, first?.result.discarded),
    });
    const cards = good.map((one) => this.#card(one, scale, cell));
    this.#link(grid, cards, before);
    replace(
      this.input,
      h('h3', { text: moved ? `${numbers.words}, shifted` : numbers.words }),
      h('div', { class: 'scroll' }, grid.element),
      legend(inputScale, ''),
      first && h('p', { class: 'formula', text: first.result.formula }),
      first && h('p', { class: 'note', text: lostWords(first.result.discarded) }),
    );
    const failed = answers
      .filter((one) => 'error' in one)
      .map((one) =>
        h(
          'section',
          { class: 'card' },
          h('h3', { text: one.title }),
          h('p', { class: 'problem', text: one.error }),
        ),
      );
    replace(this.cards, ...cards.map((card) => this.#cardElement(card)), ...failed);
    this.readout.textContent =
      'Point at a cell: its window, its winners and the same place in every kind light up.';
  }

  /**
   * @param {Omit<Card, 'grid' | 'routes'>} one
   * @param {import('./colours.js').Scale} scale
   * @param {number} cell
   * @returns {Card}
   */
  #card(one, scale, cell) {
    const shown = one.shifted ?? one.result;
    const grid = new NumberGrid(shown.output, {
      caption: `Output of ${one.title}`,
      scale,
      cell,
      plain: cell < 21,
      part: `pool-${one.kind}`,
    });
    const gradient = state.get('show') === 'gradient' ? shown.gradient : null;
    const routes =
      gradient &&
      new NumberGrid(gradient, {
        caption: `Gradient of ${one.title}`,
        scale: scaleFor('weights', ...rangeOf(gradient.flat()), theme()),
        cell: 20,
        plain: gradient[0].length > 12,
        part: `gradient-${one.kind}`,
      });
    return { ...one, grid, routes };
  }

  /** @param {Card} card */
  #cardElement({ title, words, result, shifted, grid, routes }) {
    return h(
      'section',
      { class: 'card bench-card' },
      h('h3', { text: title }),
      h('p', { class: 'note', text: words }),
      h('div', { class: 'scroll' }, grid.element),
      shifted &&
        h('p', {
          class: 'change',
          text: `changed by ${percentText(relativeChange(result.output, shifted.output), 0)}`,
        }),
      routes && h('p', { class: 'note', text: 'Gradient of the sum of all outputs:' }),
      routes && h('div', { class: 'scroll' }, routes.element),
      codeLine(result.code),
    );
  }

  /**
   * One cursor: output cells light their window, input cells the outputs that see them.
   *
   * @param {NumberGrid} input
   * @param {Card[]} cards
   * @param {{top: number, left: number}} before
   */
  #link(input, cards, before) {
    const size = state.getNumber('kernel');
    const stride = state.getNumber('stride');
    const show = (/** @type {[number, number] | null} */ place) => {
      for (const card of cards) card.grid.light(place ? [place] : []);
      if (!place) {
        input.light([]);
        for (const card of cards) card.routes?.light([]);
        return;
      }
      const rows = windowSpan(place[0], size, stride, 0);
      const columns = windowSpan(place[1], size, stride, 0);
      input.lightWindow(rows, columns);
      const values = cards.map((card) => `${card.title} ${card.grid.words(...place)}`);
      this.readout.textContent = `row ${place[0]}, column ${place[1]}: ${values.join(' · ')}`;
      for (const card of cards) {
        const winner = (card.shifted ?? card.result).winners?.[place[0]]?.[place[1]];
        card.routes?.lightWindow(
          [rows[0] - before.top, rows[1] - before.top],
          [columns[0] - before.left, columns[1] - before.left],
        );
        if (winner && card.kind === 'max') mark(input, winner, before);
      }
    };
    for (const card of cards) card.grid.onHover(show);
    input.onHover((place) => {
      if (!place) {
        show(null);
        return;
      }
      const [row, column] = place;
      for (const card of cards) card.grid.light(seenBy(row, column, size, stride, card.grid));
      input.light([place]);
      this.readout.textContent = `${cellText(input.values[row][column] ?? Number.NaN)} is seen by the lit outputs`;
    });
  }
}
