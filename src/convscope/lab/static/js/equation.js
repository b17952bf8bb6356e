/**
 * Inputs × weights = products, a row for each input map, then their sum. Pointing at a cell
 * lights its twins; opening an input goes to the unit that it came from.
 */

import { rangeOf, scaleFor } from './colours.js';
import { button, h } from './dom.js';
import { isVector } from './frame.js';
import { legend } from './legend.js';
import { NumberGrid } from './number-grid.js';
import { exactText } from './numbers.js';
import * as state from './state.js';
import { sourceMap } from './source-map.js';
import { theme } from './theme.js';

/** Rows shown at first: those that count most. */
const FIRST = 6;
const WIDEST = 14;
const POINT = 'Point at a cell to see its product; click an input to see where it came from.';

/** @typedef {import('./types.js').Provenance} Provenance */
/** @typedef {import('./types.js').MapTerms} MapTerms */
/** @typedef {{inputs: import('./colours.js').Scale, weights: import('./colours.js').Scale, products: import('./colours.js').Scale}} Scales */

/**
 * @param {Provenance} found
 * @param {import('./types.js').Layer | null} before  the layer that the inputs come from
 * @param {boolean} all  whether every row is shown
 * @param {() => void} showAll
 * @param {number} width  that there is room for, in pixels
 */
export function drawEquation(found, before, all, showAll, width) {
  const maps = all ? found.maps : foremost(found.maps);
  const scales = scalesOf(found);
  const hidden = found.maps.length - maps.length;
  const readout = h('p', { class: 'readout', text: POINT });
  const rows = maps.map((terms) => drawRow(found, terms, before, scales, readout, width));
  const weighted = found.maps.some((terms) => terms.weights);
  return h(
    'div',
    { class: 'equation' },
    h(
      'div',
      { class: 'row legends' },
      legend(scales.inputs, 'inputs'),
      weighted && legend(scales.weights, found.kind === 'rbf' ? 'code' : 'weights'),
      legend(scales.products, 'products'),
      found.maps.some((terms) => terms.padded.flat().some(Boolean)) &&
        h('span', { class: 'legend' }, h('span', { class: 'hatch-key' }), 'padding'),
    ),
    readout,
    h('div', { class: 'equation-rows' }, ...rows),
    hidden > 0 &&
      button(`Show all ${found.maps.length} maps (${hidden} weaker ones are hidden)`, showAll),
    total(found, maps, hidden),
  );
}

/**
 * The maps whose sums are largest, in their own order.
 *
 * @param {MapTerms[]} maps
 */
function foremost(maps) {
  if (maps.length <= FIRST) return maps;
  const weight = (/** @type {MapTerms} */ one) => Math.abs(one.sum ?? 0);
  const kept = new Set([...maps].sort((a, b) => weight(b) - weight(a)).slice(0, FIRST));
  return maps.filter((one) => kept.has(one));
}

/** @param {Provenance} found @returns {Scales} */
function scalesOf(found) {
  const all = (/** @type {'inputs' | 'weights' | 'products'} */ key) =>
    rangeOf(found.maps.flatMap((terms) => (terms[key] ?? []).flat().map((v) => v ?? Number.NaN)));
  return {
    inputs: scaleFor('activations', ...all('inputs'), theme()),
    weights: scaleFor('weights', ...all('weights'), theme()),
    products: scaleFor('activations', ...all('products'), theme()),
  };
}

/**
 * @param {Provenance} found
 * @param {MapTerms} terms
 * @param {import('./types.js').Layer | null} before
 * @param {Scales} scales
 * @param {HTMLElement} readout
 * @param {number} width
 */
function drawRow(found, terms, before, scales, readout, width) {
  const { columns, reshape } = reshaper(terms);
  const cell = cellSize(columns, terms.weights ? 3 : 2, width);
  const plain = columns > WIDEST;
  const name = terms.map < 0 ? 'inputs' : `${before?.name ?? 'input'} map ${terms.map}`;
  const padded = reshape(terms.padded);
  const marks = found.winner ? [found.winner] : [];
  const options = { cell, plain, padded, marks };
  const inputs = new NumberGrid(reshape(terms.inputs), {
    ...options,
    caption: `Inputs from ${name}`,
    scale: scales.inputs,
    part: 'inputs',
  });
  const weights =
    terms.weights &&
    new NumberGrid(reshape(terms.weights), {
      ...options,
      caption: found.kind === 'rbf' ? 'Code' : `Weights for ${name}`,
      scale: scales.weights,
      part: 'weights',
    });
  const products = new NumberGrid(reshape(terms.products), {
    ...options,
    caption: 'Products',
    scale: scales.products,
    part: 'products',
  });
  const grids = [inputs, weights, products].filter((grid) => grid !== null);
  for (const grid of grids) {
    grid.onHover((place) => {
      for (const one of grids) one.light(place ? [place] : []);
      readout.textContent = place ? sentence(found, inputs, weights, products, place) : POINT;
    });
  }
  inputs.element.addEventListener('click', (event) => {
    const one = /** @type {Element} */ (event.target).closest('td');
    if (one && before)
      goTo(found, terms, before, Number(one.dataset.r), Number(one.dataset.c), columns);
  });
  if (before && found.kind !== 'rbf') inputs.element.classList.add('opens');
  const sum = h('output', {
    class: 'row-sum',
    data: { v: String(terms.sum) },
    text: exactText(terms.sum ?? Number.NaN),
  });
  const sign = found.kind === 'rbf' ? '−( − )²' : '×';
  return h(
    'div',
    { class: 'equation-row', data: { map: String(terms.map) } },
    h('p', { class: 'equation-name' }, h('span', { text: name }), h('span', {}, 'Σ = ', sum)),
    h(
      'div',
      { class: 'equation-parts' },
      sourceMap(found, terms, before),
      inputs.element,
      weights && signed(sign, weights),
      signed(weights ? '=' : '→', products),
    ),
    terms.of
      ? h('p', {
          class: 'note',
          text: `The ${terms.shown} largest of ${terms.of} products; the sum is of all.`,
        })
      : null,
  );
}

/**
 * A grid with the sign before it: they wrap together.
 *
 * @param {string} sign
 * @param {NumberGrid} grid
 */
function signed(sign, grid) {
  return h('span', { class: 'signed' }, h('span', { class: 'sign', text: sign }), grid.element);
}

/**
 * The side of a cell, so that all grids of a row stand side by side; where they would be too small
 * to read, the last one wraps.
 *
 * @param {number} columns
 * @param {number} grids
 * @param {number} width
 */
function cellSize(columns, grids, width) {
  const side = (/** @type {number} */ room) => Math.floor(room / columns) - 1;
  if (width < 560) return Math.max(20, Math.min(36, side((width - 40) / 2)));
  const beside = side((width - 190) / grids);
  return Math.max(20, Math.min(36, beside < 24 ? side((width - 150) / 2) : beside));
}

/**
 * Long rows are folded, so that they can be read.
 *
 * @param {MapTerms} terms
 */
function reshaper(terms) {
  const given = terms.inputs[0]?.length ?? 0;
  if (terms.inputs.length > 1 || given <= 12) {
    return { columns: given, reshape: (/** @type {any[][]} */ rows) => rows };
  }
  const columns = given === 84 ? 7 : given <= 60 ? 10 : 12;
  const reshape = (/** @type {any[][]} */ rows) => {
    const flat = rows[0];
    return Array.from({ length: Math.ceil(flat.length / columns) }, (_, r) =>
      flat.slice(r * columns, (r + 1) * columns),
    );
  };
  return { columns, reshape };
}

/**
 * @param {Provenance} found
 * @param {NumberGrid} inputs
 * @param {NumberGrid | null} weights
 * @param {NumberGrid} products
 * @param {[number, number]} place
 */
function sentence(found, inputs, weights, products, place) {
  const input = inputs.words(...place) || 'empty padding';
  const product = products.words(...place);
  if (found.kind === 'rbf') return `−(${input} − ${weights?.words(...place)})² = ${product}`;
  if (!weights) return `${input} → ${product}`;
  return `${input} × ${weights.words(...place)} = ${product}`;
}

/**
 * The sums of all rows, the bias, and the value.
 *
 * @param {Provenance} found
 * @param {MapTerms[]} maps
 * @param {number} hidden
 */
function total(found, maps, hidden) {
  if (['lrn', 'norm'].includes(found.kind)) return null;
  const part = (/** @type {string} */ name, /** @type {number | null} */ value) =>
    h(
      'span',
      { class: 'part' },
      h('output', { data: { v: String(value), part: name }, text: exactText(value ?? Number.NaN) }),
      h('small', { text: name }),
    );
  const rest = found.maps.reduce((sum, one) => sum + (maps.includes(one) ? 0 : (one.sum ?? 0)), 0);
  const sums =
    maps.length > 8 ? [] : maps.map((one) => part(one.map < 0 ? 'Σ' : `map ${one.map}`, one.sum));
  if (maps.length > 8)
    sums.push(
      part(
        `Σ of ${maps.length} maps`,
        maps.reduce((sum, one) => sum + (one.sum ?? 0), 0),
      ),
    );
  if (hidden) sums.push(part(`${hidden} more`, rest));
  if (found.bias !== null) sums.push(part('bias', found.bias));
  const signed = sums.flatMap((one, i) =>
    i ? [h('span', { class: 'sign', text: '+' }), one] : [one],
  );
  return h(
    'div',
    { class: 'total' },
    ...signed,
    h('span', { class: 'sign', text: '=' }),
    part('value', found.value),
  );
}

/**
 * @param {Provenance} found
 * @param {MapTerms} terms
 * @param {import('./types.js').Layer} before
 * @param {number} row
 * @param {number} column
 * @param {number} columns
 */
function goTo(found, terms, before, row, column, columns) {
  if (terms.indices) {
    openUnit(before, [terms.indices[row * columns + column]]);
    return;
  }
  if (terms.map < 0) {
    openUnit(before, [row * columns + column]);
    return;
  }
  const [down, across] = found.window?.dilation ?? [1, 1];
  const top = (found.window?.top ?? 0) + row * down;
  const left = (found.window?.left ?? 0) + column * across;
  if (isVector(before.shape))
    openUnit(before, [terms.map * terms.inputs.length * columns + row * columns + column]);
  else openUnit(before, [terms.map, top, left]);
}

/**
 * @param {import('./types.js').Layer} layer
 * @param {number[]} unit
 */
function openUnit(layer, unit) {
  const full = layer.shape.length === 3 && unit.length === 1 ? [unit[0], 0, 0] : unit;
  if (full.length !== layer.shape.length) return;
  if (full.some((place, axis) => place < 0 || place >= layer.shape[axis])) return;
  state.set({ layer: layer.name, unit: full.join(',') }, { push: true });
}
