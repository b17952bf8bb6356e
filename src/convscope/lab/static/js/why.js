/** What in the picture mattered, and which training pictures are most like it. */

import * as api from './api.js';
import { rangeOf, scaleFor } from './colours.js';
import { button, choice, h, replace } from './dom.js';
import { latest } from './latest.js';
import { legend } from './legend.js';
import { inputCanvas } from './input-picture.js';
import { matrixCanvas, paint } from './matrix-canvas.js';
import { info, session, useSample } from './session.js';
import * as state from './state.js';
import { theme } from './theme.js';

/** @type {[string, string][]} */
const METHODS = [
  ['off', 'off'],
  ['saliency', 'saliency'],
  ['integrated-gradients', 'integrated gradients'],
  ['occlusion', 'occlusion'],
  ['grad-cam', 'Grad-CAM'],
];

/** @type {Record<string, string>} */
const ABOUT = {
  off: 'Choose a method to see which pixels the answer depends on.',
  saliency: '|∂score/∂pixel|: where a small change would change the score (Simonyan 2014).',
  'integrated-gradients':
    'The gradient summed along the way from an empty picture to this one, times the pixel; the whole adds up to the score’s change (Sundararajan 2017).',
  occlusion: 'How far the score falls when a small square is covered (Zeiler & Fergus 2014).',
  'grad-cam':
    'The last maps, each weighted by the mean gradient of the score over it, positive part (Selvaraju 2017).',
};

export class Why {
  constructor() {
    this.attribution = h('section', { class: 'card' });
    this.near = h('section', { class: 'card' });
    this.element = h('div', { class: 'why' }, this.attribution, this.near);
    this.drawAttribution = latest(() => this.#drawAttribution());
    this.drawNear = latest(() => this.#drawNear());
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /** Wait until the pen rests: these answers are dear. */
  update() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.drawAttribution();
      this.drawNear();
    }, 250);
  }

  async #drawAttribution() {
    const result = session.result;
    if (!result) return;
    const method = state.get('method');
    const best = result.header.top[0];
    const body = h('div', { class: 'attribution' });
    replace(
      this.attribution,
      h('h3', { text: `What speaks for ${best.class}?` }),
      choice('Method', METHODS, method, (value) => state.set({ method: value })),
      h('p', { class: 'note', text: ABOUT[method] ?? '' }),
      body,
    );
    body.append(h('figure', {}, inputCanvas(), h('figcaption', { text: 'input' })));
    if (method === 'off') return;
    try {
      const found = await api.attribution(info().id, {
        image: result.header.image,
        method,
        class: best.index,
      });
      const [entry] = found.header.tensors;
      body.append(...attributionFigures(found.values, entry.shape));
    } catch (error) {
      body.append(h('p', { class: 'note', text: error instanceof Error ? error.message : '' }));
    }
  }

  async #drawNear() {
    const result = session.result;
    if (!result) return;
    const run = info();
    if (!this.near.hasChildNodes()) {
      replace(
        this.near,
        h('h3', { text: 'Most alike in training' }),
        h('p', { class: 'note', text: 'Looking …' }),
      );
    }
    if (!run.has_data) {
      replace(
        this.near,
        h('h3', { text: 'Most alike in training' }),
        h('p', {
          class: 'note',
          text: 'The training pictures of this run are not on this machine.',
        }),
      );
      return;
    }
    try {
      const { neighbours } = await api.patient(
        () => api.neighbours(run.id, { image: result.header.image, n: 8 }),
        () => {},
      );
      if (result !== session.result) return;
      replace(
        this.near,
        h('h3', { text: 'Most alike in training' }),
        h('p', {
          class: 'note',
          text: 'Nearest by the features of the last hidden layer. If these look unlike your picture, the network has never seen its like.',
        }),
        h('div', { class: 'neighbours' }, ...neighbours.map((one) => neighbourButton(run, one))),
      );
    } catch (error) {
      replace(
        this.near,
        h('h3', { text: 'Most alike in training' }),
        h('p', { class: 'note', text: error instanceof Error ? error.message : '' }),
        button('Try again', () => this.drawNear()),
      );
    }
  }
}

/**
 * @param {import('./types.js').RunInfo} run
 * @param {import('./types.js').Neighbour} one
 */
function neighbourButton(run, one) {
  return h(
    'button',
    {
      type: 'button',
      class: 'neighbour',
      title: `Training picture ${one.index}`,
      on: { click: () => useSample(one.split, one.index) },
    },
    h('img', {
      src: api.imageAddress(run.id, one.split, one.index),
      alt: `Picture ${one.index}, class and distance:`,
    }),
    h('span', { text: one.class }),
    h('small', { text: one.distance.toPrecision(3) }),
  );
}

/**
 * @param {Float32Array} values
 * @param {number[]} shape
 */
function attributionFigures(values, shape) {
  const [rows, columns] = shape.slice(-2);
  const area = rows * columns;
  const flat = new Float32Array(area);
  values.forEach((value, i) => {
    flat[i % area] += value;
  });
  const scale = scaleFor('activations', ...rangeOf(flat), theme());
  const canvas = matrixCanvas();
  paint(canvas, flat, rows, columns, scale);
  return [h('figure', {}, canvas, h('figcaption', { text: 'attribution' })), legend(scale, '')];
}
