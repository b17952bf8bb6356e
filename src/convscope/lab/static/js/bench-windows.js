/** Which cells belong together on the benches: windows, borders, what is thrown away. No DOM. */

/**
 * The outputs whose window holds a cell of the padded input.
 *
 * @param {number} row
 * @param {number} column
 * @param {number} size
 * @param {number} stride
 * @param {{rows: number, columns: number}} grid
 */
export function seenBy(row, column, size, stride, grid) {
  /** @type {[number, number][]} */
  const places = [];
  for (let r = 0; r < grid.rows; r += 1) {
    for (let c = 0; c < grid.columns; c += 1) {
      const inRow = row >= r * stride && row < r * stride + size;
      const inColumn = column >= c * stride && column < c * stride + size;
      if (inRow && inColumn) places.push([r, c]);
    }
  }
  return places;
}

/**
 * How many rows and columns the border puts before the values: same splits it, the extra one goes
 * to the end.
 *
 * @param {number[][]} values
 * @param {(number | null)[][] | null} padded
 */
export function borderBefore(values, padded) {
  if (!padded) return { top: 0, left: 0 };
  return {
    top: Math.floor((padded.length - values.length) / 2),
    left: Math.floor((padded[0].length - values[0].length) / 2),
  };
}

/**
 * @param {number[][]} values
 * @param {(number | null)[][] | null} padded
 * @param {{top: number, left: number}} before
 */
export function surround(values, padded, before) {
  if (!padded) return { values, border: null };
  const inside = (/** @type {number} */ r, /** @type {number} */ c) =>
    values[r - before.top]?.[c - before.left];
  return {
    values: padded.map((row, r) => row.map((_, c) => inside(r, c) ?? null)),
    border: padded.map((row, r) => row.map((_, c) => inside(r, c) === undefined)),
  };
}

/**
 * @param {number} row
 * @param {number} column
 * @param {(number | null)[][]} values
 * @param {{rows: number, columns: number} | undefined} lost
 */
export function isLost(row, column, values, lost) {
  if (!lost) return false;
  return row >= values.length - lost.rows || column >= values[0].length - lost.columns;
}

/** @param {{rows: number, columns: number}} lost */
export function lostWords({ rows, columns }) {
  if (!rows && !columns) return 'Every row and column is used.';
  return `The floor throws away ${rows} row${rows === 1 ? '' : 's'} and ${columns} column${columns === 1 ? '' : 's'} at the end (crossed out).`;
}

/**
 * Where the input begins inside its border.
 *
 * @param {boolean[][]} border
 * @returns {[number, number]}
 */
export function firstInside(border) {
  const row = border.findIndex((line) => line.some((one) => !one));
  return [row, border[row]?.findIndex((one) => !one) ?? 0];
}
