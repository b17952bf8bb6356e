/** The left of Look inside: the pad, ways to get a picture, and the tensor that the net sees. */

import { imageAddress } from './api.js';
import { DrawPad } from './draw-pad.js';
import { button, h, replace } from './dom.js';
import { INKS } from './ink.js';
import { paintInput } from './input-picture.js';
import { onPicture } from './layout.js';
import { frameOver, matrixCanvas } from './matrix-canvas.js';
import { Samples } from './samples.js';
import { drawing, info, sampleName, session, useInk, useUpload } from './session.js';
import * as state from './state.js';
import { acceptDrops, chooseFile, openCamera, takeFile } from './uploads.js';

export class InputPanel {
  constructor() {
    this.pad = new DrawPad({ onInk: (strokes) => useInk(strokes) });
    this.samples = new Samples();
    this.tensor = matrixCanvas();
    this.frames = h('span', { class: 'frames' });
    this.words = h('p', { class: 'note' });
    this.colours = h('div', { class: 'inks', role: 'group', 'aria-label': 'Colour of the brush' });
    this.switches = h('div', { class: 'switches' });
    this.undo = button('Undo', () => this.pad.undo(), { title: 'Take the last stroke back' });
    this.element = h(
      'aside',
      { class: 'input-panel', 'aria-label': 'Input' },
      h('h2', { text: 'Input' }),
      h('div', { class: 'pad-frame' }, this.pad.canvas),
      h(
        'div',
        { class: 'row tight' },
        this.undo,
        button('Clear', () => this.pad.clear()),
        button('File', () => chooseFile((file) => this.#take(file)), {
          'aria-label': 'Choose a picture file',
        }),
        button('Camera', () => openCamera((file) => this.#take(file))),
      ),
      this.colours,
      h(
        'div',
        { class: 'tensor' },
        h('div', { class: 'tensor-picture' }, this.tensor, this.frames),
        h('div', {}, this.words, this.switches),
      ),
      this.samples.element,
    );
    acceptDrops(this.element, (file) => this.#take(file));
    this.element.addEventListener('keydown', (event) => {
      if (event.key === 'z' && (event.ctrlKey || event.metaKey)) this.pad.undo();
    });
    this.shown = '';
  }

  /** @param {Blob} file */
  #take(file) {
    takeFile(file, (blob, picture, dark) => {
      this.shown = 'upload';
      this.pad.showPicture(picture);
      useUpload(blob, dark && info().input.channels === 1);
    });
  }

  /** The run has changed: what can be switched depends on it. */
  updateRun() {
    const run = info();
    this.shown = '';
    this.samples.from = 0;
    this.colours.hidden = run.input.channels !== 3;
    const swatches = INKS.map((colour, i) => {
      const swatch = button('', () => this.#choose(i), {
        class: 'ink',
        'aria-label': `Colour ${i + 1}`,
        'aria-pressed': String(i === this.pad.colour),
      });
      swatch.style.backgroundColor = colour;
      return swatch;
    });
    replace(this.colours, ...swatches);
    this.updateState();
  }

  /** @param {number} colour */
  #choose(colour) {
    this.pad.colour = colour;
    [...this.colours.children].forEach((swatch, i) =>
      swatch.setAttribute('aria-pressed', String(i === colour)),
    );
  }

  /** The picture in the address has changed, perhaps by someone else than the pad. */
  updateState() {
    const run = info();
    const image = state.get('image');
    const sample = sampleName();
    const wanted = sample ? `${run.id} ${sample}` : image === 'upload' ? 'upload' : 'ink';
    if (sample && this.shown !== wanted) {
      const [split, index] = sample.split(':');
      const picture = new Image();
      picture.onload = () => this.shown === wanted && this.pad.showPicture(picture);
      picture.src = imageAddress(run.id, split, Number(index));
    } else if (wanted === 'ink' && !this.pad.active) {
      this.pad.showInk(drawing());
    }
    this.shown = wanted;
    this.#drawSwitches(sample !== '');
    this.samples.update();
  }

  /** @param {boolean} sample */
  #drawSwitches(sample) {
    const grey = info().input.channels === 1;
    const toggle = (/** @type {string} */ key, /** @type {string} */ words) =>
      h(
        'label',
        { class: 'switch' },
        h('input', {
          type: 'checkbox',
          checked: state.get(key) === '1',
          on: {
            change: (/** @type {Event} */ event) => {
              const { checked } = /** @type {HTMLInputElement} */ (event.target);
              state.set({ [key]: checked ? '1' : '0' });
            },
          },
        }),
        h('span', { text: words }),
      );
    replace(
      this.switches,
      !sample && grey && toggle('centre', 'Centre and scale, as MNIST does'),
      !sample && toggle('invert', 'Swap dark and light'),
    );
  }

  /** A picture has gone through the network: show the tensor that it was. */
  updateResult() {
    const result = session.result;
    if (!result) return;
    const [channels, rows, columns] = result.header.input.shape;
    paintInput(this.tensor);
    this.words.textContent = `What the network sees: ${channels} × ${rows} × ${columns}`;
  }

  /**
   * Mark receptive fields on the tensor.
   *
   * @param {import('./types.js').Field | null} field
   */
  markField(field) {
    const { input } = info();
    replace(this.frames, field && frameOver(onPicture(field, input), input, 'field'));
  }
}
