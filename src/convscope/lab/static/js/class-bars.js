/** The right of Look inside: what the network says, one bar a class. */

import { announce, h, replace } from './dom.js';
import { percentText } from './numbers.js';
import { info, session, truth } from './session.js';

const MOST = 12;

export class ClassBars {
  constructor() {
    this.best = h('p', { class: 'verdict' });
    this.list = h('ol', { class: 'bars' });
    this.time = h('p', { class: 'note' });
    this.element = h(
      'aside',
      { class: 'class-bars', 'aria-label': 'Answer' },
      h('h2', { text: 'Answer' }),
      this.best,
      this.list,
      this.time,
    );
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  update() {
    const result = session.result;
    if (!result) return;
    const { probabilities, top, milliseconds } = result.header;
    const { classes } = info();
    const known = truth();
    const best = top[0];
    const right = known && known.index === best.index;
    replace(
      this.best,
      h('strong', { class: best.class.length > 4 ? 'long' : null, text: best.class }),
      h('span', { text: ` ${percentText(best.probability)}` }),
      known &&
        h('span', {
          class: right ? 'judgement right' : 'judgement wrong',
          text: right ? '✓ right' : `✗ it is ${known.word}`,
        }),
    );
    const order =
      classes.length <= MOST
        ? classes.map((_, i) => i)
        : top.slice(0, MOST).map((one) => one.index);
    replace(
      this.list,
      ...order.map((i) =>
        classBar(classes[i], probabilities[i], i === best.index, i === known?.index),
      ),
    );
    this.time.textContent = `${milliseconds.toFixed(1)} ms in the network`;
    clearTimeout(this.timer);
    this.timer = setTimeout(
      () => announce(`Prediction: ${best.class}, ${percentText(best.probability, 0)}`),
      600,
    );
  }
}

/**
 * @param {string} name
 * @param {number} probability
 * @param {boolean} best
 * @param {boolean} truth
 */
function classBar(name, probability, best, truth = false) {
  const fill = h('span', { class: 'bar-fill' });
  fill.style.width = `${Math.max(0, Math.min(1, probability)) * 100}%`;
  return h(
    'li',
    { class: `${best ? 'best' : ''} ${truth ? 'truth' : ''}` },
    h('span', { class: 'bar-name', text: name, title: name }),
    h('span', { class: 'bar', 'aria-hidden': 'true' }, fill),
    h('span', { class: 'bar-value', text: percentText(probability, probability < 0.1 ? 1 : 0) }),
  );
}
