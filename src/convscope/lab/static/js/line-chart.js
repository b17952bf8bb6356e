/** Curves over epochs, with a cursor that reads all of them at once. */

import { h, s } from './dom.js';

const WIDE = 520;
const HIGH = 230;
const LEFT = 54;
const BOTTOM = 26;

/**
 * @typedef {{name: string, values: (number | null)[], kind: string}} Curve
 */

/**
 * @param {string} title
 * @param {Curve[]} curves
 * @param {(value: number) => string} words
 */
export function lineChart(title, curves, words) {
  const all = curves.flatMap((curve) => curve.values.filter((value) => value !== null));
  const count = Math.max(1, ...curves.map((curve) => curve.values.length));
  if (!all.length)
    return h('figure', { class: 'chart' }, h('figcaption', { text: `${title}: no values yet` }));
  const low = Math.min(...all);
  const high = Math.max(...all);
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  const [from, to] = [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
  const x = (/** @type {number} */ i) =>
    LEFT + (count === 1 ? 0.5 : i / (count - 1)) * (WIDE - LEFT - 14);
  const y = (/** @type {number} */ value) =>
    HIGH - BOTTOM - ((value - from) / (to - from)) * (HIGH - BOTTOM - 12);
  const cursor = s('path', { class: 'guide', d: '' });
  const readout = h('p', { class: 'readout', text: '\u00a0' });
  const read = (/** @type {number} */ i) => {
    cursor.setAttribute('d', `M${x(i)} 8V${HIGH - BOTTOM}`);
    const parts = curves.map((curve) => {
      const value = curve.values[i];
      return value === null || value === undefined ? '' : `${curve.name} ${words(value)}`;
    });
    readout.textContent = `epoch ${i + 1}: ${parts.filter(Boolean).join(' · ')}`;
  };
  const ticks = [from + room, (from + to) / 2, to - room];
  const svg = s(
    'svg',
    {
      viewBox: `0 0 ${WIDE} ${HIGH}`,
      role: 'img',
      'aria-label': `${title} over ${count} epochs; the slider below reads it`,
      on: {
        pointermove: (/** @type {PointerEvent} */ event) => {
          const box = svg.getBoundingClientRect();
          const share =
            (((event.clientX - box.left) / box.width) * WIDE - LEFT) / (WIDE - LEFT - 14);
          const i = Math.max(0, Math.min(count - 1, Math.round(share * (count - 1))));
          slider.value = String(i);
          read(i);
        },
      },
    },
    ...ticks.map((value) =>
      s('path', { class: 'grid-line', d: `M${LEFT} ${y(value)}H${WIDE - 14}` }),
    ),
    ...ticks.map((value) =>
      s('text', { x: LEFT - 6, y: y(value) + 4, 'text-anchor': 'end', text: words(value) }),
    ),
    s('text', { x: LEFT, y: HIGH - 6, text: '1' }),
    s('text', { x: WIDE - 14, y: HIGH - 6, 'text-anchor': 'end', text: String(count) }),
    cursor,
    ...curves.flatMap((curve) => curveMarks(curve, x, y)),
  );
  const slider = h('input', {
    type: 'range',
    min: '0',
    max: String(count - 1),
    value: String(count - 1),
    'aria-label': `Epoch of ${title}`,
    on: {
      input: (/** @type {Event} */ event) =>
        read(Number(/** @type {HTMLInputElement} */ (event.target).value)),
    },
  });
  read(count - 1);
  const keys = curves.map((curve) => h('span', { class: `key ${curve.kind}`, text: curve.name }));
  return h(
    'figure',
    { class: 'chart' },
    h('figcaption', {}, h('strong', { text: title }), ' ', ...keys),
    svg,
    slider,
    readout,
  );
}

/**
 * @param {Curve} curve
 * @param {(i: number) => number} x
 * @param {(value: number) => number} y
 */
function curveMarks({ values, kind }, x, y) {
  let d = '';
  values.forEach((value, i) => {
    if (value !== null) d += `${d && values[i - 1] !== null ? 'L' : 'M'}${x(i)} ${y(value)}`;
  });
  const last = values.findLastIndex((value) => value !== null);
  return [
    s('path', { class: `curve-line ${kind}`, d }),
    s('circle', { class: `curve-end ${kind}`, cx: x(last), cy: y(values[last] ?? 0), r: 3.5 }),
  ];
}
