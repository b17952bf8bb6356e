/** Cells of the pooling bench: how large they are, and which of them have won. */

/**
 * @param {import('./number-grid.js').NumberGrid} input
 * @param {[number, number]} winner
 * @param {{top: number, left: number}} before
 */
export function mark(input, winner, before) {
  for (const one of input.element.querySelectorAll('.won')) one.classList.remove('won');
  input.cells[winner[0] + before.top]?.[winner[1] + before.left]?.classList.add('won');
}

/**
 * Where the maxima are, in the padded input.
 *
 * @param {{kind: string, result: import('./types.js').Pooled, shifted: import('./types.js').Pooled | null}[]} answers
 * @param {{top: number, left: number}} before
 * @returns {[number, number][]}
 */
export function winnersOf(answers, before) {
  const max = answers.find((one) => one.kind === 'max');
  const winners = (max?.shifted ?? max?.result)?.winners ?? [];
  return winners
    .flat()
    .filter((one) => one !== null)
    .map(([row, column]) => [row + before.top, column + before.left]);
}

/**
 * The side of a cell, so that the input leaves room for the kinds beside it.
 *
 * @param {number} width
 * @param {number} columns
 */
export function cellSize(width, columns) {
  const room = width > 700 ? width * 0.42 : width;
  return Math.max(18, Math.min(32, Math.floor((room - 10) / columns) - 1));
}

/**
 * The side of a cell of the padding bench, so that input and output stand side by side where there
 * is room.
 *
 * @param {number} width
 * @param {import('./types.js').PaddedResult | undefined} result
 */
export function pairCellSize(width, result) {
  const across = result?.padded[0].length ?? 1;
  const both = across + (result?.output[0].length ?? 1);
  const room =
    width > 900
      ? (width / 2 - 90) / both
      : width > 500
        ? (width - 90) / both
        : (width - 40) / across;
  return Math.max(15, Math.min(32, Math.floor(room) - 1));
}
