/**
 * A matrix as a table: colour and number in every cell, padded cells hatched, cells that light up
 * together. The table is what a screen reader reads.
 */

import { css, inkOn, rgbOf } from './colours.js';
import { h } from './dom.js';
import { cellText, exactText } from './numbers.js';

/**
 * @typedef {{caption: string, scale: import('./colours.js').Scale, cell?: number,
 *   padded?: boolean[][] | null, marks?: [number, number][], part?: string,
 *   plain?: boolean, faded?: (row: number, column: number) => boolean}} GridOptions
 */

export class NumberGrid {
  /**
   * @param {(number | null)[][]} values  null is drawn as an empty cell
   * @param {GridOptions} options
   */
  constructor(values, options) {
    this.values = values;
    this.rows = values.length;
    this.columns = values[0]?.length ?? 0;
    /** @type {HTMLTableCellElement[][]} */
    this.cells = [];
    this.element = h(
      'table',
      { class: 'numbers', data: { part: options.part ?? '' } },
      h('caption', { class: 'unseen', text: options.caption }),
    );
    const cell = options.cell ?? 30;
    this.element.style.setProperty('--cell', `${cell}px`);
    this.element.style.width = `${this.columns * (cell + 1) + 1}px`;
    const body = h('tbody');
    values.forEach((row, r) => {
      this.cells.push(row.map((value, c) => this.#cell(value, r, c, options)));
      body.append(h('tr', {}, ...this.cells[r]));
    });
    this.element.append(body);
    /** @type {Set<HTMLElement>} */
    this.lit = new Set();
  }

  /**
   * @param {number | null} value
   * @param {number} row
   * @param {number} column
   * @param {GridOptions} options
   */
  #cell(value, row, column, { scale, padded, marks, plain, faded }) {
    const hatched = padded?.[row]?.[column] ?? false;
    const marked = marks?.some(([r, c]) => r === row && c === column) ?? false;
    const classes = [
      hatched ? 'padded' : '',
      marked ? 'winner' : '',
      faded?.(row, column) ? 'faded' : '',
    ];
    const cell = h('td', {
      class: classes.filter(Boolean).join(' ') || null,
      data: { r: String(row), c: String(column), v: value === null ? '' : String(value) },
    });
    if (value === null) return cell;
    const rgb = rgbOf(scale, value);
    cell.style.setProperty('--fill', css(rgb));
    cell.style.setProperty('--ink', inkOn(rgb));
    if (!plain) cell.textContent = cellText(value);
    return cell;
  }

  /**
   * Light some cells and put out the others.
   *
   * @param {[number, number][]} places
   * @param {string} [kind]  class name
   */
  light(places, kind = 'lit') {
    for (const cell of this.lit) cell.classList.remove(kind);
    this.lit.clear();
    for (const [row, column] of places) {
      const cell = this.cells[row]?.[column];
      if (!cell) continue;
      cell.classList.add(kind);
      this.lit.add(cell);
    }
  }

  /**
   * Light a window's cells, clipped to the grid.
   *
   * @param {[number, number]} rows  first and one past the last
   * @param {[number, number]} columns
   */
  lightWindow(rows, columns) {
    /** @type {[number, number][]} */
    const places = [];
    for (let r = Math.max(0, rows[0]); r < Math.min(this.rows, rows[1]); r += 1) {
      for (let c = Math.max(0, columns[0]); c < Math.min(this.columns, columns[1]); c += 1) {
        places.push([r, c]);
      }
    }
    this.light(places);
  }

  /**
   * Call back with the cell under the pointer, and with null when it leaves.
   *
   * @param {(place: [number, number] | null) => void} listener
   */
  onHover(listener) {
    this.element.addEventListener('pointerover', (event) => {
      const cell = /** @type {Element} */ (event.target).closest('td');
      if (cell) listener([Number(cell.dataset.r), Number(cell.dataset.c)]);
    });
    this.element.addEventListener('pointerleave', () => listener(null));
    return this;
  }

  /**
   * A cell's value in words.
   *
   * @param {number} row
   * @param {number} column
   */
  words(row, column) {
    const value = this.values[row]?.[column];
    return value === null || value === undefined ? '' : exactText(value);
  }
}
