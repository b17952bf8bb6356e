/** Mistakes: the confusion matrix, a cell's pictures, and one of them back to Look inside. */

import * as api from './api.js';
import { drawCalibration } from './calibration.js';
import { css, inkOn, rgbOf, scaleFor } from './colours.js';
import { button, choice, h, replace } from './dom.js';
import { latest } from './latest.js';
import { countText, percentText } from './numbers.js';
import { session } from './session.js';
import * as state from './state.js';
import { explanation } from './texts.js';
import { theme } from './theme.js';

const PAGE = 48;

export class MistakesView {
  constructor() {
    this.matrix = h('section', { class: 'card matrix-card' });
    this.calibration = h('section', { class: 'card' });
    this.images = h('section', { class: 'card images-card', 'aria-live': 'polite' });
    this.element = h(
      'div',
      { class: 'view mistakes' },
      explanation('mistakes'),
      h('div', { class: 'mistakes-main' }, this.matrix, this.calibration),
      this.images,
    );
    /** @type {import('./types.js').Mistakes | null} */
    this.found = null;
    this.key = '';
    this.from = 0;
    this.load = latest(() => this.#load());
    this.loadImages = latest(() => this.#loadImages());
  }

  runChanged() {
    this.found = null;
    this.load();
  }

  resultChanged() {
    if (!this.found) this.load();
  }

  themeChanged() {
    this.#drawMatrix();
  }

  /** @param {Set<string>} changed */
  stateChanged(changed) {
    if (changed.has('view') && !this.found) this.load();
    if (['truth', 'predicted', 'order'].some((key) => changed.has(key))) {
      this.from = 0;
      this.#drawMatrix();
      this.loadImages();
    }
  }

  async #load() {
    const run = session.info;
    if (!run || this.found || state.get('view') !== 'mistakes') return;
    try {
      this.found = await api.patient(
        () => api.mistakes(run.id),
        (words) => replace(this.matrix, h('p', { class: 'note', text: words })),
      );
    } catch (error) {
      replace(
        this.matrix,
        h('p', { class: 'problem', text: error instanceof Error ? error.message : '' }),
      );
      return;
    }
    this.#drawMatrix();
    replace(this.calibration, ...drawCalibration(this.found.calibration));
    this.loadImages();
  }

  #drawMatrix() {
    const { found } = this;
    if (!found) return;
    const { classes, matrix, n, accuracy } = found;
    const most = Math.max(1, ...matrix.flatMap((row, r) => row.filter((_, c) => c !== r)));
    const wrong = scaleFor('activations', 0, Math.max(3, Math.sqrt(most)), theme());
    const chosen = `${state.get('truth')} ${state.get('predicted')}`;
    const cells = (/** @type {number[]} */ row, /** @type {number} */ r) =>
      row.map((count, c) => this.#cell(count, r, c, wrong, chosen));
    const errors = n - matrix.reduce((sum, row, r) => sum + row[r], 0);
    replace(
      this.matrix,
      h('h3', {
        text: `${percentText(accuracy, 2)} right, ${countText(errors)} of ${countText(n)} wrong`,
      }),
      h(
        'div',
        { class: 'scroll' },
        h(
          'table',
          { class: 'confusion' },
          h('caption', {
            class: 'unseen',
            text: 'Confusion matrix: rows are the truth, columns the answers',
          }),
          h(
            'thead',
            {},
            h(
              'tr',
              {},
              h('td', { class: 'corner', text: 'is \\ said' }),
              ...classes.map((name) => h('th', { scope: 'col', text: name, title: name })),
            ),
          ),
          h(
            'tbody',
            {},
            ...matrix.map((row, r) =>
              h(
                'tr',
                {},
                h('th', { scope: 'row', text: classes[r], title: classes[r] }),
                ...cells(row, r),
              ),
            ),
          ),
        ),
      ),
      button(
        'All mistakes, the worst first',
        () => state.set({ truth: '', predicted: '' }, { push: true }),
        {
          'aria-pressed': String(chosen === ' '),
        },
      ),
    );
  }

  /**
   * @param {number} count
   * @param {number} r
   * @param {number} c
   * @param {import('./colours.js').Scale} wrong
   * @param {string} chosen
   */
  #cell(count, r, c, wrong, chosen) {
    const classes = this.found?.classes ?? [];
    const words = `${count} of class ${classes[r]} taken for ${classes[c]}`;
    const cell = h('td', { class: r === c ? 'diagonal' : '' });
    if (!count) return cell;
    const open = button(
      String(count),
      () => state.set({ truth: String(r), predicted: String(c) }, { push: true }),
      {
        'aria-label': words,
        title: words,
        'aria-pressed': String(chosen === `${r} ${c}`),
      },
    );
    if (r !== c) {
      const rgb = rgbOf(wrong, Math.sqrt(count));
      open.style.backgroundColor = css(rgb);
      open.style.color = inkOn(rgb);
    }
    cell.append(open);
    return cell;
  }

  async #loadImages() {
    const run = session.info;
    if (!run || !this.found) return;
    const [truth, predicted, order] = [
      state.get('truth'),
      state.get('predicted'),
      state.get('order'),
    ];
    const { classes } = this.found;
    const what = {
      ...(truth ? { truth } : {}),
      ...(predicted ? { predicted } : {}),
      order,
      from: this.from,
      count: PAGE,
    };
    try {
      const { total, images } = await api.patient(
        () => api.images(run.id, what),
        () => {},
      );
      const title = truth
        ? `${classes[Number(truth)]} taken for ${classes[Number(predicted)]}`
        : 'All mistakes';
      replace(
        this.images,
        h(
          'div',
          { class: 'row spread' },
          h('h3', { text: `${title}: ${countText(total)}` }),
          choice(
            'Sorted by',
            [
              ['loss', 'loss'],
              ['confidence', 'confidence'],
            ],
            order,
            (value) => state.set({ order: value }),
          ),
        ),
        h('div', { class: 'image-grid' }, ...images.map((image) => imageButton(run.id, image))),
        total > PAGE && this.#pager(total),
      );
    } catch (error) {
      replace(
        this.images,
        h('p', { class: 'problem', text: error instanceof Error ? error.message : '' }),
      );
    }
  }

  /** @param {number} total */
  #pager(total) {
    const turn = (/** @type {number} */ by) => {
      this.from += by;
      this.loadImages();
    };
    return h(
      'div',
      { class: 'row tight' },
      button('‹ before', () => turn(-PAGE), { disabled: this.from === 0 }),
      button('more ›', () => turn(PAGE), { disabled: this.from + PAGE >= total }),
    );
  }
}

/**
 * @param {string} run
 * @param {import('./types.js').Judged} image
 */
function imageButton(run, { split, index, truth, predicted, probability, loss }) {
  return h(
    'button',
    {
      type: 'button',
      class: 'image-button',
      title: `Look inside: is ${truth}, taken for ${predicted}, loss ${loss.toFixed(3)}`,
      on: {
        click: () =>
          state.set(
            { view: 'look', image: `${split}:${index}`, ink: '', layer: '', unit: '', invert: '0' },
            { push: true },
          ),
      },
    },
    h('img', {
      src: api.imageAddress(run, split, index),
      alt: `Picture ${index}:`,
      loading: 'lazy',
    }),
    h('span', { text: `${truth} → ${predicted}` }),
    h('small', { text: percentText(probability, 0) }),
  );
}
