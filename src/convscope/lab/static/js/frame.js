/**
 * The binary answers of the server: uint32 n (little endian), n bytes of JSON, padding to a
 * multiple of 4, then float32 values. No DOM.
 */

/**
 * @template T
 * @param {ArrayBuffer} buffer
 * @returns {{header: T, values: Float32Array<ArrayBuffer>}}
 */
export function decodeFrame(buffer) {
  if (buffer.byteLength < 4) throw new Error('the answer of the server is cut short');
  const length = new DataView(buffer).getUint32(0, true);
  if (4 + length > buffer.byteLength) throw new Error('the answer of the server is cut short');
  const text = new TextDecoder().decode(new Uint8Array(buffer, 4, length));
  const start = Math.ceil((4 + length) / 4) * 4;
  const count = Math.max(0, Math.floor((buffer.byteLength - start) / 4));
  return {
    header: JSON.parse(text),
    values: count ? new Float32Array(buffer, start, count) : new Float32Array(0),
  };
}

/**
 * One map (or the whole vector) of a layer out of the values of an answer.
 *
 * @param {Float32Array} values
 * @param {{shape: number[], offset: number}} entry
 * @param {number} [place]  which of the maps that were sent
 * @returns {{data: Float32Array, rows: number, columns: number}}
 */
export function mapOf(values, entry, place = 0) {
  const { shape, offset } = entry;
  if (isVector(shape)) {
    return { data: values.subarray(offset, offset + shape[0]), rows: shape[0], columns: 1 };
  }
  const [, rows, columns] = shape;
  const start = offset + place * rows * columns;
  return { data: values.subarray(start, start + rows * columns), rows, columns };
}

/**
 * Whether a layer's output is a list of units rather than a stack of maps.
 *
 * @param {number[]} shape
 */
export function isVector(shape) {
  return shape.length === 1 || (shape.length === 3 && shape[1] === 1 && shape[2] === 1);
}

/**
 * A layer's size in the papers' notation: maps@rows×columns, or units.
 *
 * @param {number[]} shape
 */
export function sizeText(shape) {
  if (isVector(shape)) return `${shape[0]}`;
  return `${shape[0]}@${shape[1]}×${shape[2]}`;
}
