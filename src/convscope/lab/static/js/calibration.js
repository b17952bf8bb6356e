/** Whether the network knows when it guesses: confidence across, how often it was right up. */

import { h, s } from './dom.js';
import { countText, percentText } from './numbers.js';

const SIDE = 260;
const EDGE = 44;

/**
 * @param {{confidence: number, accuracy: number, count: number}[]} bins
 * @returns {Node[]}
 */
export function drawCalibration(bins) {
  const at = (/** @type {number} */ share) => EDGE + share * (SIDE - EDGE - 10);
  const up = (/** @type {number} */ share) => SIDE - at(share);
  const most = Math.max(1, ...bins.map((bin) => bin.count));
  const marks = bins.map(({ confidence, accuracy, count }) =>
    s(
      'circle',
      {
        class: 'bin',
        cx: at(confidence),
        cy: up(accuracy),
        r: 3 + 7 * Math.sqrt(count / most),
      },
      s('title', {
        text: `${countText(count)} answers with ${percentText(confidence)} confidence: ${percentText(accuracy)} right`,
      }),
    ),
  );
  const line = bins
    .map(({ confidence, accuracy }, i) => `${i ? 'L' : 'M'}${at(confidence)} ${up(accuracy)}`)
    .join('');
  const ticks = [0, 0.5, 1].flatMap((share) => [
    s('text', {
      x: at(share),
      y: SIDE - EDGE + 18,
      'text-anchor': 'middle',
      text: percentText(share, 0),
    }),
    s('text', { x: EDGE - 6, y: up(share) + 4, 'text-anchor': 'end', text: percentText(share, 0) }),
  ]);
  return [
    h('h3', { text: 'Confidence and truth' }),
    h(
      'figure',
      { class: 'chart square' },
      s(
        'svg',
        {
          viewBox: `0 0 ${SIDE + 12} ${SIDE + 4}`,
          role: 'img',
          'aria-label': 'Calibration curve; the table below has its numbers',
        },
        s('path', { class: 'axis', d: `M${at(0)} ${up(1)}V${up(0)}H${at(1)}` }),
        s('path', { class: 'ideal', d: `M${at(0)} ${up(0)}L${at(1)} ${up(1)}` }),
        s('path', { class: 'curve-line', d: line }),
        ...marks,
        ...ticks,
      ),
      h('figcaption', {
        text: 'Confidence across, share of right answers up; on the dashed line the network knows itself. Large dots hold many answers.',
      }),
    ),
    h(
      'details',
      {},
      h('summary', { text: 'As a table' }),
      h(
        'table',
        { class: 'plain-table' },
        h(
          'thead',
          {},
          h(
            'tr',
            {},
            ...['confidence', 'right', 'answers'].map((text) => h('th', { scope: 'col', text })),
          ),
        ),
        h(
          'tbody',
          {},
          ...bins.map((bin) =>
            h(
              'tr',
              {},
              h('td', { text: percentText(bin.confidence) }),
              h('td', { text: percentText(bin.accuracy) }),
              h('td', { text: countText(bin.count) }),
            ),
          ),
        ),
      ),
    ),
  ];
}
