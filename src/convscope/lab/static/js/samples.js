/** A strip of the data set's own pictures. */

import { imageAddress } from './api.js';
import { button, h, replace } from './dom.js';
import { info, sampleName, session, useSample } from './session.js';

const COUNT = 10;

export class Samples {
  constructor() {
    this.from = 0;
    this.element = h('div', {
      class: 'samples',
      role: 'group',
      'aria-label': 'Pictures of the data set',
    });
  }

  update() {
    const run = info();
    this.element.hidden = !run.has_data;
    if (!session.samples.length) {
      replace(
        this.element,
        h('p', { class: 'note', text: 'Reading the pictures of the data set …' }),
      );
      return;
    }
    const current = sampleName();
    const shown = session.samples.slice(this.from, this.from + COUNT);
    const pictures = shown.map(({ split, index, class: word }) =>
      h(
        'button',
        {
          type: 'button',
          class: 'sample',
          'aria-label': `${word}, ${split} picture ${index}`,
          title: word,
          'aria-pressed': String(current === `${split}:${index}`),
          on: { click: () => useSample(split, index) },
        },
        h('img', { src: imageAddress(run.id, split, index), alt: '' }),
      ),
    );
    const turn = (/** @type {number} */ by) => {
      this.from = Math.max(0, this.from + by);
      this.update();
    };
    replace(
      this.element,
      h('div', { class: 'sample-grid' }, ...pictures),
      h(
        'div',
        { class: 'row tight' },
        button('‹', () => turn(-COUNT), { 'aria-label': 'Earlier pictures', disabled: !this.from }),
        button('›', () => turn(COUNT), {
          'aria-label': 'More pictures',
          disabled: this.from + COUNT >= session.samples.length,
        }),
      ),
    );
  }
}
