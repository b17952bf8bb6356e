/** Where the benches get their numbers: the input, a real map, or numbers that someone types. */

import * as api from './api.js';
import { inputPixels, rangeOf, scaleFor } from './colours.js';
import { choice, h, replace, select } from './dom.js';
import { isVector, mapOf } from './frame.js';
import { clampCrop } from './layout.js';
import { frameOver, matrixCanvas, paint, paintPixels } from './matrix-canvas.js';
import { parseMatrix } from './numbers.js';
import { activation, info, report, session } from './session.js';
import * as state from './state.js';
import { theme } from './theme.js';

/** @typedef {'activations' | 'input'} Kind */
/** @typedef {{values: number[][], kind: Kind, words: string}} Numbers */

const EXAMPLE = '1 2 3 0 1 2\n4 9 6 1 0 3\n7 8 5 2 4 1\n0 1 2 6 7 5\n3 2 1 8 9 4\n1 0 2 3 5 6';
const SIZES = /** @type {[string, string][]} */ ([
  ['6', '6 × 6'],
  ['8', '8 × 8'],
  ['12', '12 × 12'],
  ['16', '16 × 16'],
]);

export class BenchSource {
  /**
   * @param {() => void} changed
   * @param {number} size  of the part to begin with
   */
  constructor(changed, size) {
    this.changed = changed;
    this.size = size;
    this.element = h('aside', {
      class: 'bench-source',
      'aria-label': 'Where the numbers come from',
    });
    /** @type {{values: number[][], kind: Kind, words: string} | null} */
    this.whole = null;
    this.problem = h('p', { class: 'problem', role: 'alert' });
  }

  /** The part of the source that the bench works on. @returns {Numbers | null} */
  numbers() {
    const { whole } = this;
    if (!whole) return null;
    const { top, left, rows, columns } = clampCrop(whole.values, this.#crop());
    const values = whole.values
      .slice(top, top + rows)
      .map((row) => row.slice(left, left + columns));
    return { ...whole, values };
  }

  #crop() {
    const [size, top, left] = state.get('crop').split(',').map(Number);
    if (size) return { size, top: top || 0, left: left || 0 };
    const { whole } = this;
    if (!whole) return { size: this.size, top: 0, left: 0 };
    const middle = (/** @type {number} */ n) => Math.max(0, Math.floor((n - this.size) / 2));
    return {
      size: this.size,
      top: middle(whole.values.length),
      left: middle(whole.values[0].length),
    };
  }

  async update() {
    if (!session.result) return;
    try {
      this.whole = await this.#load();
    } catch (error) {
      report(error);
      return;
    }
    this.draw();
    this.changed();
  }

  /** @returns {Promise<Numbers | null>} */
  async #load() {
    const { result } = session;
    const source = state.get('source');
    if (!result) return null;
    if (source === 'typed') {
      const parsed = parseMatrix(state.get('values') || EXAMPLE);
      this.problem.textContent = 'error' in parsed ? parsed.error : '';
      return 'error' in parsed
        ? this.whole
        : { values: parsed.values, kind: 'activations', words: 'typed numbers' };
    }
    const layer = info().layers.find((one) => one.name === source && !isVector(one.shape));
    if (!layer) {
      const { shape, offset } = result.header.input;
      const plane = mapOf(result.values, { shape, offset }, 0);
      return { values: rowsOf(plane), kind: 'input', words: 'the input' };
    }
    const map = Math.min(Number(state.get('map')) || 0, layer.shape[0] - 1);
    const entry = activation(layer.name);
    const place = entry?.maps ? entry.maps.indexOf(map) : map;
    const words = `${layer.name}, map ${map}`;
    if (entry && place >= 0) {
      return { values: rowsOf(mapOf(result.values, entry, place)), kind: 'activations', words };
    }
    const what = { image: result.header.image, from: map, count: 1 };
    const { header, values } = await api.layerMaps(info().id, layer.name, what);
    return { values: rowsOf(mapOf(values, header.tensors[0], 0)), kind: 'activations', words };
  }

  draw() {
    const source = state.get('source');
    const layers = info().layers.filter((layer) => !isVector(layer.shape) && layer.shape[1] > 2);
    const layer = layers.find((one) => one.name === source);
    const options = /** @type {[string, string][]} */ ([
      ['input', 'the input picture'],
      ['typed', 'numbers that I type'],
      ...layers.map((one) => [one.name, `${one.name} (${one.title})`]),
    ]);
    replace(
      this.element,
      h('h2', { text: 'Numbers' }),
      select('From', options, source, (value) => state.set({ source: value, map: '0', crop: '' })),
      layer &&
        h(
          'label',
          { class: 'field' },
          h('span', { text: `Map, 0 to ${layer.shape[0] - 1}` }),
          h('input', {
            type: 'number',
            min: '0',
            max: String(layer.shape[0] - 1),
            value: state.get('map'),
            on: {
              change: (/** @type {Event} */ event) =>
                state.set({ map: /** @type {HTMLInputElement} */ (event.target).value }),
            },
          }),
        ),
      source === 'typed' && this.#typing(),
      this.problem,
      this.#picture(),
      h('p', {
        class: 'note',
        text: 'The picture is the one of Look inside. Click it, or use the arrow keys on it, to move the part.',
      }),
    );
  }

  #typing() {
    const area = h('textarea', {
      rows: '7',
      spellcheck: 'false',
      value: state.get('values') || EXAMPLE,
      on: {
        input: (/** @type {Event} */ event) => {
          const { value } = /** @type {HTMLTextAreaElement} */ (event.target);
          state.set({ values: value.trim().replaceAll(/\s*\n\s*/g, ';') });
        },
      },
    });
    area.value = area.value.replaceAll(';', '\n');
    return h('label', { class: 'field tall' }, h('span', { text: 'Rows of numbers' }), area);
  }

  /** The whole source, small, with the part that is used framed. */
  #picture() {
    const { whole } = this;
    if (!whole) return null;
    const rows = whole.values.length;
    const columns = whole.values[0].length;
    const canvas = matrixCanvas();
    const flat = Float32Array.from(whole.values.flat());
    if (whole.kind === 'input') paintPixels(canvas, inputPixels(flat, 1, theme()), rows, columns);
    else paint(canvas, flat, rows, columns, scaleFor('activations', ...rangeOf(flat), theme()));
    const crop = clampCrop(whole.values, this.#crop());
    const { size } = this.#crop();
    const move = (/** @type {number} */ top, /** @type {number} */ left) => {
      const to = clampCrop(whole.values, { size, top: Math.max(0, top), left: Math.max(0, left) });
      state.set({ crop: `${size},${to.top},${to.left}` });
    };
    const frame = frameOver(
      { top: crop.top, left: crop.left, height: crop.rows, width: crop.columns },
      { height: rows, width: columns },
      'field',
    );
    const surface = h(
      'div',
      {
        class: 'source-picture',
        tabindex: '0',
        role: 'application',
        'aria-label': `Part of ${whole.words}: rows ${crop.top} to ${crop.top + crop.rows - 1}, columns ${crop.left} to ${crop.left + crop.columns - 1}. Arrow keys move it.`,
        'data-key': 'part',
        on: {
          click: (/** @type {MouseEvent} */ event) => {
            const box = surface.getBoundingClientRect();
            const row = ((event.clientY - box.top) / box.height) * rows - crop.rows / 2;
            const column = ((event.clientX - box.left) / box.width) * columns - crop.columns / 2;
            move(Math.round(row), Math.round(column));
          },
          keydown: (/** @type {KeyboardEvent} */ event) => {
            const step = {
              ArrowUp: [-1, 0],
              ArrowDown: [1, 0],
              ArrowLeft: [0, -1],
              ArrowRight: [0, 1],
            }[event.key];
            if (!step) return;
            event.preventDefault();
            move(crop.top + step[0], crop.left + step[1]);
          },
        },
      },
      canvas,
      h('span', { class: 'frames' }, frame),
    );
    surface.style.aspectRatio = `${columns} / ${rows}`;
    const large = Math.max(rows, columns) > 6;
    return h(
      'div',
      {},
      surface,
      large &&
        choice('Part', SIZES, String(size), (value) =>
          state.set({ crop: `${value},${crop.top},${crop.left}` }),
        ),
    );
  }
}

/** @param {{data: Float32Array, rows: number, columns: number}} map */
function rowsOf({ data, rows, columns }) {
  return Array.from({ length: rows }, (_, r) =>
    Array.from(data.subarray(r * columns, (r + 1) * columns)),
  );
}
