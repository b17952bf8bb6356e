/** Anatomy: every layer's shape, cost and receptive field, the field drawn on the picture. */

import { h, replace } from './dom.js';
import { isVector, sizeText } from './frame.js';
import { paintInput } from './input-picture.js';
import { onPicture } from './layout.js';
import { frameOver, matrixCanvas } from './matrix-canvas.js';
import { countText } from './numbers.js';
import { info, session } from './session.js';
import * as state from './state.js';
import { explanation } from './texts.js';

export class AnatomyView {
  constructor() {
    this.table = h('div', { class: 'scroll' });
    this.canvas = matrixCanvas();
    this.frames = h('span', { class: 'frames' });
    this.words = h('p', { class: 'note', role: 'status' });
    this.facts = h('p', { class: 'facts' });
    this.picture = h('div', { class: 'field-picture' }, this.canvas, this.frames);
    this.element = h(
      'div',
      { class: 'view anatomy' },
      explanation('anatomy'),
      h(
        'div',
        { class: 'anatomy-main' },
        h('section', { class: 'card' }, this.facts, this.table),
        h(
          'section',
          { class: 'card field-card' },
          h('h3', { text: 'What one unit sees' }),
          this.picture,
          this.words,
        ),
      ),
    );
  }

  runChanged() {
    if (!session.info) return;
    const run = info();
    const sum = (/** @type {'parameters' | 'multiply_adds'} */ key) =>
      run.layers.reduce((total, layer) => total + (layer[key] ?? 0), 0);
    replace(
      this.facts,
      h('strong', { text: run.model.name }),
      h('span', { text: `${countText(sum('parameters'))} parameters` }),
      h('span', { text: `${countText(sum('multiply_adds'))} multiply-adds a picture` }),
    );
    const most = {
      parameters: Math.max(1, ...run.layers.map((layer) => layer.parameters)),
      adds: Math.max(1, ...run.layers.map((layer) => layer.multiply_adds ?? 0)),
    };
    const heads = [
      'Layer',
      'Kind',
      'Output',
      'Parameters',
      'Multiply-adds',
      'Sees',
      'Step',
      'How it comes about',
    ];
    replace(
      this.table,
      h(
        'table',
        { class: 'plain-table anatomy-table' },
        h('caption', { class: 'unseen', text: `The layers of ${run.model.name}` }),
        h('thead', {}, h('tr', {}, ...heads.map((text) => h('th', { scope: 'col', text })))),
        h('tbody', {}, ...run.layers.map((layer) => this.#row(layer, most))),
      ),
    );
    this.#mark();
  }

  /**
   * @param {import('./types.js').Layer} layer
   * @param {{parameters: number, adds: number}} most
   */
  #row(layer, most) {
    const pair = (/** @type {number | number[] | undefined} */ value) =>
      value === undefined || [value].flat().every((one) => one === 0)
        ? '–'
        : [...new Set([value].flat())].join(' × ');
    const choose = () => state.set({ layer: layer.name, unit: '' });
    return h(
      'tr',
      {
        data: { layer: layer.name },
        on: { pointerenter: () => this.#mark(layer), pointerleave: () => this.#mark() },
      },
      h(
        'th',
        { scope: 'row' },
        h('button', {
          type: 'button',
          class: 'link',
          text: layer.name,
          'aria-label': `${layer.name}: show its field`,
          on: { click: choose, focus: () => this.#mark(layer) },
        }),
      ),
      h('td', { text: layer.title }),
      h('td', { class: 'number', text: sizeText(layer.shape) }),
      h('td', { class: 'number' }, withBar(layer.parameters, most.parameters, 'weights')),
      h('td', { class: 'number' }, withBar(layer.multiply_adds ?? 0, most.adds, 'adds')),
      h('td', { class: 'number', text: pair(layer.receptive?.size) }),
      h('td', { class: 'number', text: pair(layer.receptive?.jump) }),
      h('td', { class: 'how', text: layer.formula }),
    );
  }

  resultChanged() {
    const result = session.result;
    if (!result) return;
    const [, rows, columns] = result.header.input.shape;
    paintInput(this.canvas);
    this.picture.style.aspectRatio = `${columns} / ${rows}`;
    this.#mark();
  }

  themeChanged() {
    this.resultChanged();
  }

  /** @param {Set<string>} changed */
  stateChanged(changed) {
    if (changed.has('layer') || changed.has('view')) this.#mark();
  }

  /**
   * The fields of the middle unit and of its neighbour to the right, for the chosen layer.
   *
   * @param {import('./types.js').Layer} [pointed]
   */
  #mark(pointed) {
    if (!session.info) return;
    const { layers, input } = info();
    const layer =
      pointed ??
      layers.find((one) => one.name === state.get('layer')) ??
      layers.findLast((one) => !isVector(one.shape)) ??
      layers[0];
    for (const row of this.table.querySelectorAll('tbody tr')) {
      row.classList.toggle('chosen', /** @type {HTMLElement} */ (row).dataset.layer === layer.name);
    }
    if (!layer.receptive) {
      replace(this.frames);
      this.words.textContent = `${layer.name}: what its units see is not known.`;
      return;
    }
    const [size, jump, start] = [
      layer.receptive.size,
      layer.receptive.jump,
      layer.receptive.start,
    ].map((one) => (Array.isArray(one) ? one : [one, one]));
    const middle = isVector(layer.shape)
      ? [0, 0]
      : layer.shape.slice(1).map((n) => Math.floor((n - 1) / 2));
    const field = (/** @type {number} */ across) => ({
      top: start[0] + middle[0] * jump[0],
      left: start[1] + (middle[1] + across) * jump[1],
      height: size[0],
      width: size[1],
    });
    const more = !isVector(layer.shape) && layer.shape[2] > middle[1] + 1;
    replace(
      this.frames,
      more && frameOver(onPicture(field(1), input), input, 'neighbour'),
      frameOver(onPicture(field(0), input), input, 'field'),
    );
    this.words.textContent = `A unit of ${layer.name} sees ${size[0]} × ${size[1]} of ${input.height} × ${input.width} pixels${more ? `; its neighbour (thin) ${jump[1]} further` : ''}.`;
  }
}

/**
 * @param {number} value
 * @param {number} most
 * @param {string} kind
 */
function withBar(value, most, kind) {
  const fill = h('span', { class: `cell-bar ${kind}`, 'aria-hidden': 'true' });
  fill.style.width = `${(100 * value) / most}%`;
  return h(
    'span',
    { class: 'with-bar' },
    fill,
    h('span', { text: value ? countText(value) : '–' }),
  );
}
