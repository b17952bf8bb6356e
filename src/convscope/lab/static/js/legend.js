/** The legend of a colour scale: its colours, with the values at both ends and at zero. */

import { css } from './colours.js';
import { h } from './dom.js';
import { exactText } from './numbers.js';

/**
 * @param {import('./colours.js').Scale} scale
 * @param {string} label
 */
export function legend(scale, label) {
  const bar = h('span', { class: 'legend-bar', 'aria-hidden': 'true' });
  const colours = Array.from({ length: 17 }, (_, i) => {
    const place = Math.round((i / 16) * 255) * 3;
    return css([scale.lut[place], scale.lut[place + 1], scale.lut[place + 2]]);
  });
  bar.style.backgroundImage = `linear-gradient(to right, ${colours.join(', ')})`;
  const middle = scale.low < 0 && scale.high > 0;
  return h(
    'span',
    { class: 'legend' },
    h('span', { class: 'legend-label', text: label }),
    h('span', { class: 'legend-end', text: short(scale.low) }),
    h(
      'span',
      { class: 'legend-middle' },
      bar,
      middle && h('span', { class: 'legend-zero', text: '0' }),
    ),
    h('span', { class: 'legend-end', text: short(scale.high) }),
  );
}

/** @param {number} value */
function short(value) {
  return exactText(Number(value.toPrecision(3)));
}
