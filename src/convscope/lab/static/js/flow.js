/** The overview: data flows from left to right, one column a layer, one picture a map. */

import { rangeOf, scaleFor } from './colours.js';
import { button, h, replace } from './dom.js';
import { FlowLinks } from './flow-links.js';
import { isVector, mapOf, sizeText } from './frame.js';
import { flowColumns, strongest } from './layout.js';
import { matrixCanvas, paint } from './matrix-canvas.js';
import { exactText } from './numbers.js';
import { rangeInScale } from './scale.js';
import { info, session } from './session.js';
import { theme } from './theme.js';

const BETWEEN = 11;
const LEAST = 50;
const LETTER = 0.42; // of a rem: how wide a letter of a heading is at most

/**
 * @typedef {{layer: import('./types.js').Layer, column: import('./layout.js').Column,
 *   maps: HTMLButtonElement[], canvases: HTMLCanvasElement[], shown: number[]}} Drawn
 */

export class Flow {
  /** @param {(layer: string, map: number | null, from: Element | null) => void} open */
  constructor(open) {
    this.open = open;
    this.links = new FlowLinks();
    this.track = h('div', { class: 'flow-track' });
    this.readout = h('p', { class: 'readout', text: '\u00a0' });
    this.element = h(
      'div',
      { class: 'flow' },
      h(
        'div',
        {
          class: 'flow-scroll',
          tabindex: '0',
          role: 'region',
          'aria-label': 'Layers, from left to right',
        },
        this.track,
      ),
      this.readout,
    );
    /** @type {Drawn[]} */
    this.drawn = [];
    this.track.addEventListener('keydown', (event) => this.#keys(event));
    this.width = 0;
    new ResizeObserver(() => {
      if (Math.abs(this.element.clientWidth - this.width) > 4 && this.element.clientWidth)
        this.build();
    }).observe(this.element);
  }

  /** Lay the columns out anew: another run, or another width. */
  build() {
    if (!session.info) return;
    const { layers } = info();
    this.width = this.element.clientWidth;
    const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    const tall = Math.max(300, Math.min(innerHeight - 20 * rem, 34 * rem));
    const letters = Math.max(...layers.map((layer) => sizeText(layer.shape).length));
    const least = Math.max(LEAST, Math.ceil(letters * LETTER * rem));
    const columns = flowColumns(layers, this.width - 8, tall, BETWEEN, least);
    this.track.style.setProperty('--least', `${least}px`);
    this.drawn = layers.map((layer, i) => this.#column(layer, columns[i]));
    replace(
      this.track,
      this.links.below,
      ...this.drawn.map((one) => this.#section(one)),
      this.links.above,
    );
    this.links.ribbons(this.track);
    this.update();
  }

  /**
   * @param {import('./types.js').Layer} layer
   * @param {import('./layout.js').Column} column
   * @returns {Drawn}
   */
  #column(layer, column) {
    const count = column.vector ? 1 : column.count;
    const canvases = Array.from({ length: count }, () => matrixCanvas());
    /** @type {Drawn} */
    const drawn = { layer, column, maps: [], canvases, shown: canvases.map((_, i) => i) };
    drawn.maps = canvases.map((canvas, i) => {
      const map = button(
        '',
        () => this.open(layer.name, column.vector ? null : drawn.shown[i], map),
        {
          class: 'map',
          tabindex: i === 0 ? '0' : '-1',
          'aria-label': column.vector
            ? `${layer.name}, ${column.count} units`
            : `${layer.name}, map ${i}`,
          on: {
            pointerenter: () => this.#point(drawn, i),
            focus: () => this.#point(drawn, i),
            pointerleave: () => this.#point(null, 0),
            blur: () => this.#point(null, 0),
            click: () => this.open(layer.name, column.vector ? null : drawn.shown[i], map),
          },
        },
      );
      map.append(canvas);
      map.style.width = `${column.vector ? column.width : column.size}px`;
      map.style.height = `${column.vector ? column.height : column.size}px`;
      return map;
    });
    return drawn;
  }

  /** @param {Drawn} drawn */
  #section({ layer, column, maps }) {
    const grid = h('div', { class: 'maps' }, ...maps);
    grid.style.gridTemplateColumns = `repeat(${column.vector ? 1 : column.columns}, max-content)`;
    const more = !isVector(layer.shape) && layer.shape[0] > column.count;
    return h(
      'section',
      { class: `column ${layer.kind}`, data: { layer: layer.name } },
      h(
        'button',
        {
          type: 'button',
          class: 'column-head',
          title: `Open layer ${layer.name}: ${layer.title}`,
          on: { click: () => this.open(layer.name, null, null) },
        },
        h('strong', {
          text: layer.kind === 'activation' ? layer.title.replace('-', ' ') : layer.name,
        }),
        layer.kind !== 'activation' && h('span', { text: shortKind(layer) }),
        h('span', { class: 'shape', text: sizeText(layer.shape) }),
      ),
      h('div', { class: 'column-body' }, grid),
      more && h('p', { class: 'more', text: `strongest ${column.count} of ${layer.shape[0]}` }),
    );
  }

  /** Paint what the last picture gave. */
  update() {
    const result = session.result;
    if (!result || this.drawn.length !== result.header.layers.length) return;
    this.drawn.forEach((drawn, place) => {
      const entry = result.header.layers[place];
      const { column, canvases } = drawn;
      drawn.shown = shownMaps(entry, result.values, canvases.length, column.vector);
      canvases.forEach((canvas, i) => {
        const map = mapOf(result.values, entry, entry.maps ? i : drawn.shown[i]);
        const [low, high] = rangeInScale(entry, map.data);
        const scale = scaleFor('activations', low, high, theme());
        if (column.vector) paintColumnwise(canvas, map.data, column, scale);
        else {
          paint(canvas, map.data, map.rows, map.columns, scale);
          drawn.maps[i].setAttribute('aria-label', `${drawn.layer.name}, map ${drawn.shown[i]}`);
        }
      });
    });
  }

  /**
   * @param {Drawn | null} drawn
   * @param {number} i
   */
  #point(drawn, i) {
    const result = session.result;
    if (!drawn || !result) {
      this.readout.textContent = 'Point at a map for its values; open it to see inside.';
      this.links.clear();
      return;
    }
    const place = this.drawn.indexOf(drawn);
    const entry = result.header.layers[place];
    const { data } = mapOf(result.values, entry, entry.maps ? i : drawn.shown[i]);
    const [low, high] = rangeOf(data);
    const what = drawn.column.vector ? `${drawn.column.count} units` : `map ${drawn.shown[i]}`;
    this.readout.textContent = `${drawn.layer.name} · ${what} · values from ${exactText(low)} to ${exactText(high)}`;
    if (place > 0) {
      const before = this.drawn[place - 1];
      const sources = before.maps.filter((_, j) => isLinked(drawn, before, i, j));
      this.links.lines(this.track, sources, drawn.maps[i]);
    }
  }

  /** @param {KeyboardEvent} event */
  #keys(event) {
    const target = /** @type {Element} */ (event.target);
    const column = this.drawn.findIndex((one) => one.maps.some((map) => map === target));
    if (column < 0) return;
    const row = this.drawn[column].maps.findIndex((map) => map === target);
    const across = this.drawn[column].column.columns;
    /** @type {Record<string, [number, number]>} */
    const steps = {
      ArrowRight: [1, 0],
      ArrowLeft: [-1, 0],
      ArrowDown: [0, across > 1 ? across : 1],
      ArrowUp: [0, across > 1 ? -across : -1],
    };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const to = this.drawn[Math.max(0, Math.min(this.drawn.length - 1, column + step[0]))];
    const map = to.maps[Math.max(0, Math.min(to.maps.length - 1, row + step[1]))];
    for (const one of to.maps) one.tabIndex = one === map ? 0 : -1;
    map.focus();
  }
}

/**
 * The maps that stand in a column: all of them, or the strongest.
 *
 * @param {import('./types.js').Activation} entry
 * @param {Float32Array} values
 * @param {number} count
 * @param {boolean} vector
 * @returns {number[]}
 */
function shownMaps(entry, values, count, vector) {
  if (entry.maps) return entry.maps.slice(0, count);
  if (vector || entry.shape[0] <= count) return Array.from({ length: count }, (_, i) => i);
  const size = entry.shape.reduce((product, one) => product * one, 1);
  return strongest(values.subarray(entry.offset, entry.offset + size), entry.shape[0]).slice(
    0,
    count,
  );
}

/**
 * Whether one map sees another: pooling and activations see their own, a connection table says
 * which, everything else sees all.
 *
 * @param {Drawn} drawn
 * @param {Drawn} before
 * @param {number} i
 * @param {number} j
 */
function isLinked(drawn, before, i, j) {
  const { kind, spec } = drawn.layer;
  const table = spec?.table;
  if (Array.isArray(table)) return table[drawn.shown[i]]?.includes(before.shown[j]) ?? true;
  const own = ['pooling', 'subsampling', 'activation', 'norm', 'average'].includes(kind);
  return !own || before.column.vector || before.shown[j] === drawn.shown[i];
}

/**
 * A vector from top to bottom, then on to the next column of cells.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} data
 * @param {import('./layout.js').Column} column
 * @param {import('./colours.js').Scale} scale
 */
function paintColumnwise(canvas, data, { rows, columns }, scale) {
  const turned = new Float32Array(rows * columns).fill(Number.NaN);
  data.forEach((value, i) => {
    turned[(i % rows) * columns + Math.floor(i / rows)] = value;
  });
  paint(canvas, turned, rows, columns, scale);
}

/** @param {import('./types.js').Layer} layer */
function shortKind({ kind, title }) {
  /** @type {Record<string, string>} */
  const short = {
    convolution: 'conv',
    linear: 'dense',
    subsampling: 'subsample',
    norm: 'batch norm',
    lrn: 'response',
  };
  return short[kind] ?? title.replace('pooling', 'pool').split(/[(,]/)[0];
}
