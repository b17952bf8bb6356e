/** Strokes become pixels. */

import { INKS } from './ink.js';

/**
 * Draw strokes on a context that is `size` pixels wide and high.
 *
 * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context
 * @param {import('./ink.js').Stroke[]} strokes
 * @param {number} size
 */
export function drawStrokes(context, strokes, size) {
  const unit = size / 255;
  context.lineCap = 'round';
  context.lineJoin = 'round';
  for (const { width, colour, points } of strokes) {
    context.strokeStyle = INKS[colour];
    context.lineWidth = width * unit;
    context.beginPath();
    points.forEach(([x, y], i) => {
      if (i === 0) context.moveTo(x * unit, y * unit);
      else if (i === points.length - 1) context.lineTo(x * unit, y * unit);
      else {
        const [nextX, nextY] = points[i + 1];
        context.quadraticCurveTo(
          x * unit,
          y * unit,
          ((x + nextX) / 2) * unit,
          ((y + nextY) / 2) * unit,
        );
      }
    });
    if (points.length === 1) context.lineTo(points[0][0] * unit, points[0][1] * unit);
    context.stroke();
  }
}

/**
 * Strokes as raw pixels on black, row by row.
 *
 * @param {import('./ink.js').Stroke[]} strokes
 * @param {number} size
 * @param {1 | 3} channels
 */
export function rasterise(strokes, size, channels) {
  const canvas = new OffscreenCanvas(size, size);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (
    canvas.getContext('2d', { willReadFrequently: true })
  );
  context.fillStyle = '#000';
  context.fillRect(0, 0, size, size);
  drawStrokes(context, strokes, size);
  const { data } = context.getImageData(0, 0, size, size);
  const pixels = new Uint8Array(size * size * channels);
  for (let i = 0; i < size * size; i += 1) {
    for (let c = 0; c < channels; c += 1) pixels[i * channels + c] = data[i * 4 + c];
  }
  return { data: pixels, height: size, width: size, channels };
}
