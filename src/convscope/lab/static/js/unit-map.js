/** One map, large: a cursor on a unit, moved by pointer or arrow keys; Enter or a click opens it. */

import { h, replace } from './dom.js';
import { frameOver, matrixCanvas, paint } from './matrix-canvas.js';
import { exactText } from './numbers.js';

/**
 * @typedef {{data: Float32Array, rows: number, columns: number, vector: boolean}} Matrix
 */

export class UnitMap {
  /**
   * @param {{pick: (row: number, column: number) => void,
   *   hover: (place: [number, number] | null) => void}} events
   */
  constructor({ pick, hover }) {
    this.canvas = matrixCanvas();
    this.frames = h('span', { class: 'frames' });
    this.readout = h('p', { class: 'readout', text: '\u00a0' });
    this.surface = h(
      'div',
      {
        class: 'unit-map',
        tabindex: '0',
        role: 'application',
        'aria-roledescription': 'map of units',
        on: {
          keydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
          click: (/** @type {MouseEvent} */ event) => {
            const place = this.#under(event);
            if (place) this.pick(...place);
          },
          pointermove: (/** @type {PointerEvent} */ event) => this.#hovered(this.#under(event)),
          pointerleave: () => this.#hovered(null),
        },
      },
      this.canvas,
      this.frames,
    );
    this.element = h('div', { class: 'unit-map-box' }, this.surface, this.readout);
    this.pick = pick;
    this.hover = hover;
    /** @type {Matrix | null} */
    this.matrix = null;
    /** @type {[number, number] | null} */
    this.cursor = null;
    /** @type {[number, number] | null} */
    this.over = null;
    this.label = '';
  }

  /**
   * @param {Matrix} matrix
   * @param {import('./colours.js').Scale} scale
   * @param {string} label
   */
  show(matrix, scale, label) {
    this.matrix = matrix;
    this.label = label;
    paint(this.canvas, matrix.data, matrix.rows, matrix.columns, scale);
    this.surface.style.aspectRatio = `${matrix.columns} / ${matrix.rows}`;
    this.#draw();
  }

  /** @param {[number, number] | null} place */
  setCursor(place) {
    this.cursor = place;
    this.#draw();
  }

  #draw() {
    const { matrix } = this;
    if (!matrix) return;
    const size = { height: matrix.rows, width: matrix.columns };
    const frame = (/** @type {[number, number] | null} */ place, /** @type {string} */ kind) =>
      place && frameOver({ top: place[0], left: place[1], height: 1, width: 1 }, size, kind);
    replace(this.frames, frame(this.over, 'hovered'), frame(this.cursor, 'cursor'));
    const words = this.#words(this.over ?? this.cursor);
    this.readout.textContent = words || 'Arrow keys or a click choose a unit.';
    this.surface.setAttribute('aria-label', `${this.label}. ${this.#words(this.cursor)}`);
  }

  /** @param {[number, number] | null} place */
  #words(place) {
    if (!place || !this.matrix) return '';
    const { data, columns, vector } = this.matrix;
    const index = place[0] * columns + place[1];
    const value = data[index];
    if (value === undefined) return '';
    const name = vector ? `unit ${index}` : `row ${place[0]}, column ${place[1]}`;
    return `${name}: ${exactText(value)}`;
  }

  /** @param {MouseEvent} event @returns {[number, number] | null} */
  #under(event) {
    const { matrix } = this;
    if (!matrix) return null;
    const box = this.surface.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * matrix.rows);
    const column = Math.floor(((event.clientX - box.left) / box.width) * matrix.columns);
    const inside = row >= 0 && column >= 0 && row < matrix.rows && column < matrix.columns;
    return inside && row * matrix.columns + column < matrix.data.length ? [row, column] : null;
  }

  /** @param {[number, number] | null} place */
  #hovered(place) {
    if (place?.[0] === this.over?.[0] && place?.[1] === this.over?.[1]) return;
    this.over = place;
    this.#draw();
    this.hover(place);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { matrix } = this;
    /** @type {Record<string, [number, number]>} */
    const steps = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      Enter: [0, 0],
    };
    const step = steps[event.key];
    if (!matrix || !step) return;
    event.preventDefault();
    const [row, column] = this.cursor ?? [0, 0];
    const to = /** @type {[number, number]} */ ([
      Math.max(0, Math.min(matrix.rows - 1, row + (this.cursor ? step[0] : 0))),
      Math.max(0, Math.min(matrix.columns - 1, column + (this.cursor ? step[1] : 0))),
    ]);
    if (to[0] * matrix.columns + to[1] < matrix.data.length) this.pick(...to);
  }
}
