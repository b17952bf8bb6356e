/** A slider over the epochs of a run: the same network, with its weights as they were then. */

import { h } from './dom.js';
import * as state from './state.js';

export class EpochSlider {
  constructor() {
    this.range = h('input', {
      type: 'range',
      min: '0',
      step: '1',
      on: { input: () => this.#choose() },
    });
    this.words = h('output', { class: 'epoch-words' });
    this.element = h(
      'label',
      { class: 'epochs' },
      h('span', { text: 'Epoch' }),
      this.range,
      this.words,
    );
    this.element.hidden = true;
    /** @type {number[]} */
    this.epochs = [];
  }

  /** The last place of the slider are the weights that training ended with. */
  #choose() {
    const epoch = this.epochs[Number(this.range.value)];
    state.set({ epoch: epoch === undefined ? '' : String(epoch) });
    this.#say();
  }

  /** @param {import('./types.js').RunInfo} run */
  show(run) {
    this.epochs = run.epochs;
    this.element.hidden = run.epochs.length < 2;
    this.range.max = String(run.epochs.length);
    const place = run.epochs.indexOf(Number(state.get('epoch')));
    this.range.value = String(place < 0 ? run.epochs.length : place);
    this.#say();
  }

  #say() {
    const epoch = this.epochs[Number(this.range.value)];
    const words = epoch === undefined ? 'final' : `${epoch} of ${this.epochs.at(-1)}`;
    this.words.textContent = words;
    this.range.setAttribute('aria-valuetext', words);
  }
}
