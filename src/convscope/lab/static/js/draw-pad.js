/** The pad: a thick round brush for mouse, pen and finger, with undo; it also shows pictures. */

import { h } from './dom.js';
import { isFar } from './ink.js';
import { drawStrokes } from './raster.js';

const SIDE = 504; // pixels of the canvas, twice its usual size on the page
const BRUSH = 22;

/**
 * @typedef {{onInk: (strokes: import('./ink.js').Stroke[]) => void}} PadEvents
 */

export class DrawPad {
  /** @param {PadEvents} events */
  constructor({ onInk }) {
    /** @type {import('./ink.js').Stroke[]} */
    this.strokes = [];
    this.brush = BRUSH;
    this.colour = 0;
    this.onInk = onInk;
    /** @type {ImageBitmap | HTMLImageElement | null} */
    this.picture = null;
    this.canvas = h('canvas', {
      class: 'pad',
      width: SIDE,
      height: SIDE,
      role: 'img',
      'aria-label': 'Drawing pad: draw with mouse, pen or finger; or choose a sample below',
      on: {
        pointerdown: (/** @type {PointerEvent} */ event) => this.#start(event),
        pointermove: (/** @type {PointerEvent} */ event) => this.#move(event),
        pointerup: () => this.#end(),
        pointercancel: () => this.#end(),
      },
    });
    /** @type {import('./ink.js').Stroke | null} */
    this.active = null;
    this.paint();
  }

  /** @param {PointerEvent} event @returns {[number, number]} */
  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    const inside = (/** @type {number} */ share) =>
      Math.max(0, Math.min(255, Math.round(share * 255)));
    return [
      inside((event.clientX - box.left) / box.width),
      inside((event.clientY - box.top) / box.height),
    ];
  }

  /** @param {PointerEvent} event */
  #start(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    if (this.picture) {
      this.picture = null;
      this.strokes = [];
    }
    this.active = { width: this.brush, colour: this.colour, points: [this.#place(event)] };
    this.strokes = [...this.strokes, this.active];
    this.#changed();
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const stroke = this.active;
    if (!stroke) return;
    let grown = false;
    const parts = event.getCoalescedEvents?.() ?? [];
    for (const part of parts.length ? parts : [event]) {
      const [x, y] = this.#place(part);
      if (!isFar(stroke, x, y) || stroke.points.length > 60000) continue;
      stroke.points.push([x, y]);
      grown = true;
    }
    if (grown) this.#changed();
  }

  #end() {
    this.active = null;
  }

  #changed() {
    this.paint();
    this.onInk(this.strokes);
  }

  undo() {
    if (this.picture) return;
    this.strokes = this.strokes.slice(0, -1);
    this.#changed();
  }

  clear() {
    this.picture = null;
    this.strokes = [];
    this.#changed();
  }

  /** @param {import('./ink.js').Stroke[]} strokes  shown, not announced */
  showInk(strokes) {
    this.picture = null;
    this.strokes = strokes;
    this.paint();
  }

  /** @param {ImageBitmap | HTMLImageElement} picture */
  showPicture(picture) {
    this.picture = picture;
    this.strokes = [];
    this.paint();
  }

  paint() {
    const context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext('2d'));
    context.fillStyle = '#000';
    context.fillRect(0, 0, SIDE, SIDE);
    if (!this.picture) {
      drawStrokes(context, this.strokes, SIDE);
      return;
    }
    const { width, height } = this.picture;
    const factor = SIDE / Math.max(width, height, 1);
    context.imageSmoothingEnabled = factor < 4;
    context.drawImage(
      this.picture,
      (SIDE - width * factor) / 2,
      (SIDE - height * factor) / 2,
      width * factor,
      height * factor,
    );
  }
}
