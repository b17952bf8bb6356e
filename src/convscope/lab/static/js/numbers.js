/** Numbers as people read them. No DOM. */

/**
 * A value in a cell: three figures at most, a true minus sign, `0` only for zero itself.
 *
 * @param {number} value
 */
export function cellText(value) {
  if (value === Infinity) return '∞';
  if (value === -Infinity) return '−∞';
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  const sign = value < 0 ? '−' : '';
  if (Number.isInteger(value) && size < 10000) return sign + size;
  if (size >= 10000) return `${sign}${Math.round(size / 1000)}k`;
  if (size >= 99.5) return sign + size.toFixed(0);
  if (size >= 9.995) return sign + size.toFixed(1);
  if (size >= 0.995) return sign + size.toFixed(2);
  if (size < 0.005) return '.00';
  return sign + size.toFixed(2).slice(1);
}

/**
 * A value in running text: six figures.
 *
 * @param {number} value
 */
export function exactText(value) {
  if (!Number.isFinite(value)) return cellText(value);
  if (value === 0) return '0';
  return String(Number(value.toPrecision(6))).replace('-', '−');
}

/**
 * A whole number with thin spaces between thousands.
 *
 * @param {number} value
 */
export function countText(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}

/**
 * A share as a percentage.
 *
 * @param {number} share
 * @param {number} [digits]
 */
export function percentText(share, digits = 1) {
  return `${(share * 100).toFixed(digits)} %`;
}

/**
 * Numbers that someone typed: rows on lines or between semicolons.
 *
 * @param {string} text
 * @returns {{values: number[][]} | {error: string}}
 */
export function parseMatrix(text) {
  const rows = text
    .split(/[\n;]/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (!rows.length) return { error: 'Type at least one number.' };
  const values = rows.map((line) =>
    line
      .replaceAll('−', '-')
      .split(/[\s,]+/)
      .filter((word) => word !== '')
      .map(Number),
  );
  if (values.some((row) => row.some((value) => !Number.isFinite(value)))) {
    return { error: 'Only numbers, with spaces between them, and one line a row.' };
  }
  const odd = values.findIndex((row) => row.length !== values[0].length);
  if (odd > 0) {
    return {
      error: `Row ${odd + 1} has ${values[odd].length} numbers, the first has ${values[0].length}.`,
    };
  }
  if (values.length > 32 || values[0].length > 32) return { error: 'At most 32 × 32 numbers.' };
  return { values };
}
