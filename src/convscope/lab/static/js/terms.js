/** Layers whose units have terms of their own: activations as a curve, normalisations as a list. */

import { h, s } from './dom.js';
import { exactText } from './numbers.js';
import { activation, session } from './session.js';

/**
 * @param {import('./types.js').Provenance} found
 * @param {import('./types.js').Layer} layer
 * @param {import('./types.js').Layer | null} before
 */
export function drawTerms(found, layer, before) {
  const list = h(
    'dl',
    { class: 'terms' },
    ...[...found.terms, { name: 'value', value: found.value }].map(({ name, value }) =>
      h(
        'div',
        { class: name === 'value' ? 'term result' : 'term' },
        h('dt', { text: name }),
        h('dd', { data: { v: String(value) }, text: exactText(value ?? Number.NaN) }),
      ),
    ),
  );
  const curve = found.kind === 'activation' && before ? drawCurve(found, layer, before) : null;
  return h('div', { class: 'terms-box' }, list, curve);
}

const WIDE = 260;
const HIGH = 180;

/**
 * What the function does to every value of this layer: a dot each, the chosen unit large.
 *
 * @param {import('./types.js').Provenance} found
 * @param {import('./types.js').Layer} layer
 * @param {import('./types.js').Layer} before
 */
function drawCurve(found, layer, before) {
  const [from, to] = [activation(before.name), activation(layer.name)];
  const input = found.terms[0]?.value;
  if (!from || !to || !session.result || typeof input !== 'number' || from.maps || to.maps)
    return null;
  const xs = whole(from);
  const ys = whole(to);
  if (xs.length !== ys.length) return null;
  const low = Math.min(from.min, -1e-6);
  const high = Math.max(from.max, 1e-6);
  const [bottom, top] = [Math.min(to.min, 0), Math.max(to.max, 1e-6)];
  const x = (/** @type {number} */ value) => 14 + ((value - low) / (high - low)) * (WIDE - 28);
  const y = (/** @type {number} */ value) =>
    HIGH - 14 - ((value - bottom) / (top - bottom)) * (HIGH - 28);
  const every = Math.max(1, Math.floor(xs.length / 400));
  const dots = Array.from(xs)
    .map((value, i) => /** @type {[number, number]} */ ([value, ys[i]]))
    .filter((_, i) => i % every === 0);
  return h(
    'figure',
    { class: 'curve' },
    s(
      'svg',
      {
        viewBox: `0 0 ${WIDE} ${HIGH}`,
        role: 'img',
        'aria-label': `${layer.title}: input across, output up`,
      },
      s('path', {
        class: 'axis',
        d: `M${x(low)} ${y(0)}H${x(high)}M${x(0)} ${y(bottom)}V${y(top)}`,
      }),
      ...dots.map(([a, b]) => s('circle', { class: 'dot', cx: x(a), cy: y(b), r: 1.6 })),
      s('path', {
        class: 'guide',
        d: `M${x(input)} ${y(0)}V${y(found.value ?? 0)}H${x(0)}`,
      }),
      s('circle', { class: 'dot chosen', cx: x(input), cy: y(found.value ?? 0), r: 5 }),
    ),
    h('figcaption', {
      text: `All values of this layer before (across) and after ${layer.title} (up).`,
    }),
  );
}

/** @param {import('./types.js').Activation} entry */
function whole(entry) {
  const size = entry.shape.reduce((product, one) => product * one, 1);
  const values = session.result?.values ?? new Float32Array(0);
  return values.subarray(entry.offset, entry.offset + size);
}
