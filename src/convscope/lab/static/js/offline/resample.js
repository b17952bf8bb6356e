/**
 * Pillow's resizing of grey levels, bit for bit: two passes, each rounded to whole levels, with
 * weights in fixed point (src/libImaging/Resample.c of Pillow). No DOM.
 *
 * @typedef {{data: Uint8Array, height: number, width: number, channels: number}} Pixels
 */

const BITS = 22;

/** @type {Record<'bilinear' | 'box', {support: number, weight: (x: number) => number}>} */
const FILTERS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
};

/**
 * Which elements of the input one element of the output is made of, and with which weights.
 *
 * @param {number} size
 * @param {number} wanted
 * @param {'bilinear' | 'box'} filter
 */
export function windows(size, wanted, filter) {
  const { support, weight } = FILTERS[filter];
  const scale = size / wanted;
  const widened = Math.max(1, scale);
  const reach = support * widened;
  return Array.from({ length: wanted }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(size, Math.trunc(centre + reach + 0.5));
    const shares = Array.from({ length: last - first }, (_unused, i) =>
      weight((i + first - centre + 0.5) * (1 / widened)),
    );
    const total = shares.reduce((sum, share) => sum + share, 0);
    return {
      first,
      weights: shares.map((share) => Math.trunc(0.5 + (share / total) * 2 ** BITS)),
    };
  });
}

/**
 * @param {Pixels} pixels  row by row, the channels of a pixel next to each other
 * @param {number} height
 * @param {number} width
 * @param {'bilinear' | 'box'} [filter]
 * @returns {Pixels}
 */
export function resize(pixels, height, width, filter = 'bilinear') {
  const across = pass(pixels, width, filter, pixels.channels, pixels.width);
  const rows = pass(
    { ...pixels, data: across, width },
    height,
    filter,
    width * pixels.channels,
    pixels.height,
  );
  return { data: rows, height, width, channels: pixels.channels };
}

/**
 * One pass. The data are blocks of `size` elements, each of `step` numbers.
 *
 * @param {Pixels} pixels
 * @param {number} wanted
 * @param {'bilinear' | 'box'} filter
 * @param {number} step
 * @param {number} size
 */
function pass({ data }, wanted, filter, step, size) {
  if (wanted === size) return data;
  const seen = windows(size, wanted, filter);
  const blocks = data.length / (size * step);
  const result = new Uint8Array(blocks * wanted * step);
  for (let block = 0; block < blocks; block += 1) {
    for (let place = 0; place < wanted; place += 1) {
      const { first, weights } = seen[place];
      for (let i = 0; i < step; i += 1) {
        let sum = 2 ** (BITS - 1);
        weights.forEach((weight, at) => {
          sum += weight * data[(block * size + first + at) * step + i];
        });
        const level = Math.floor(sum / 2 ** BITS);
        result[(block * wanted + place) * step + i] = Math.max(0, Math.min(255, level));
      }
    }
  }
  return result;
}
