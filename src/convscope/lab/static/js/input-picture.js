/** The tensor that the network sees, as a picture. */

import { inputPixels } from './colours.js';
import { matrixCanvas, paintPixels } from './matrix-canvas.js';
import { session } from './session.js';
import { theme } from './theme.js';

/** @param {HTMLCanvasElement} canvas */
export function paintInput(canvas) {
  const { result } = session;
  if (!result) return;
  const { shape, offset } = result.header.input;
  const [channels, rows, columns] = shape;
  const values = result.values.subarray(offset, offset + channels * rows * columns);
  paintPixels(
    canvas,
    inputPixels(values, channels, theme(), session.info?.preprocessing),
    rows,
    columns,
  );
}

export function inputCanvas() {
  const canvas = matrixCanvas();
  paintInput(canvas);
  return canvas;
}
