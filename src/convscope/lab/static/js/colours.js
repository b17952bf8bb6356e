/**
 * Colour scales. Signed values diverge from a neutral at zero (blue below, orange above),
 * non-negative values run from that neutral to orange, weights have their own pair (purple,
 * green), inputs are grey. Every pair is told apart by people who do not see red or green.
 * No DOM.
 *
 * @typedef {'light' | 'dark'} Theme
 * @typedef {'signed' | 'positive' | 'weights' | 'input'} PaletteName
 * @typedef {{name: PaletteName, low: number, high: number, lut: Uint8Array}} Scale
 */

/** @type {Record<Theme, Record<PaletteName, string[]>>} */
const STOPS = {
  light: {
    signed: [
      '#0a2f66',
      '#1f5fae',
      '#5c9bd6',
      '#a9cdea',
      '#f5f3ee',
      '#f8cb9c',
      '#ec9248',
      '#c45a12',
      '#7a2e06',
    ],
    positive: ['#f5f3ee', '#fbd8a6', '#f2a14f', '#d8661b', '#93320a', '#4d1604'],
    weights: [
      '#3d0a52',
      '#75348c',
      '#a885c0',
      '#dccbe6',
      '#f5f3ee',
      '#c9e3c4',
      '#78b97c',
      '#26803f',
      '#07431f',
    ],
    input: ['#000000', '#ffffff'],
  },
  dark: {
    signed: [
      '#cfe7ff',
      '#7fbcf5',
      '#3a88d0',
      '#1d4d80',
      '#1d2025',
      '#7a3f14',
      '#c8691f',
      '#f59f50',
      '#ffe2bb',
    ],
    positive: ['#1d2025', '#5c2d13', '#b3551b', '#ef9140', '#ffcf88', '#fff5df'],
    weights: [
      '#efd6f9',
      '#c197d8',
      '#8752a2',
      '#4b2d5e',
      '#1d2025',
      '#1f4e2e',
      '#32894b',
      '#72cb86',
      '#d2f4d5',
    ],
    input: ['#000000', '#ffffff'],
  },
};

const STEPS = 256;

/** @type {Map<string, Uint8Array>} */
const tables = new Map();

/**
 * The 256 colours of a palette, 3 bytes each.
 *
 * @param {PaletteName} name
 * @param {Theme} theme
 */
function paletteTable(name, theme) {
  const key = `${theme} ${name}`;
  let table = tables.get(key);
  if (!table) {
    table = interpolate(STOPS[theme][name].map(parseHex));
    tables.set(key, table);
  }
  return table;
}

/** @param {string} hex @returns {[number, number, number]} */
function parseHex(hex) {
  const value = Number.parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** @param {[number, number, number][]} stops */
function interpolate(stops) {
  const table = new Uint8Array(STEPS * 3);
  for (let i = 0; i < STEPS; i += 1) {
    const place = (i / (STEPS - 1)) * (stops.length - 1);
    const left = Math.min(Math.floor(place), stops.length - 2);
    for (let c = 0; c < 3; c += 1) {
      const mixed = stops[left][c] + (stops[left + 1][c] - stops[left][c]) * (place - left);
      table[i * 3 + c] = Math.round(mixed);
    }
  }
  return table;
}

/**
 * The scale for values between `low` and `high`: symmetric about zero where they are signed,
 * from zero where they are not. Inputs keep their own range.
 *
 * @param {'activations' | 'weights' | 'input'} kind
 * @param {number} low
 * @param {number} high
 * @param {Theme} theme
 * @returns {Scale}
 */
export function scaleFor(kind, low, high, theme) {
  const reach = Math.max(Math.abs(low), Math.abs(high)) || 1;
  /** @type {PaletteName} */
  let name = 'signed';
  let from = -reach;
  let to = reach;
  if (kind === 'weights') name = 'weights';
  else if (kind === 'input') {
    name = 'input';
    [from, to] = low === high ? [low - 1, low + 1] : [low, high];
  } else if (low >= 0) {
    name = 'positive';
    from = 0;
  }
  return { name, low: from, high: to, lut: paletteTable(name, theme) };
}

/**
 * The place of a value in a scale's table, 0 to 255; a value that is not a number has the middle.
 *
 * @param {Scale} scale
 * @param {number} value
 */
export function placeIn(scale, value) {
  const share = (value - scale.low) / (scale.high - scale.low);
  if (Number.isNaN(share)) return STEPS >> 1;
  return Math.max(0, Math.min(STEPS - 1, Math.round(share * (STEPS - 1))));
}

/**
 * @param {Scale} scale
 * @param {number} value
 * @returns {[number, number, number]}
 */
export function rgbOf(scale, value) {
  const place = placeIn(scale, value) * 3;
  return [scale.lut[place], scale.lut[place + 1], scale.lut[place + 2]];
}

/** @param {readonly [number, number, number]} rgb */
export function css(rgb) {
  return `rgb(${rgb[0]} ${rgb[1]} ${rgb[2]})`;
}

/**
 * Black or white, whichever reads better on a colour (WCAG's relative luminance).
 *
 * @param {readonly [number, number, number]} rgb
 */
export function inkOn(rgb) {
  const [r, g, b] = rgb.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? '#000' : '#fff';
}

/**
 * Least and greatest finite value; (0, 0) where there is none.
 *
 * @param {Iterable<number>} values
 * @returns {[number, number]}
 */
export function rangeOf(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 0];
}

/**
 * The pixels of a matrix in a scale's colours: 4 bytes each; what is no number is transparent.
 *
 * @param {ArrayLike<number>} values
 * @param {Scale} scale
 * @returns {Uint8ClampedArray<ArrayBuffer>}
 */
export function pixelsOf(values, scale) {
  const pixels = new Uint8ClampedArray(values.length * 4);
  const { lut, low, high } = scale;
  const factor = (STEPS - 1) / (high - low);
  for (let i = 0; i < values.length; i += 1) {
    const place = Math.max(0, Math.min(STEPS - 1, Math.round((values[i] - low) * factor))) * 3;
    pixels[i * 4] = lut[place];
    pixels[i * 4 + 1] = lut[place + 1];
    pixels[i * 4 + 2] = lut[place + 2];
    pixels[i * 4 + 3] = Number.isNaN(values[i]) ? 0 : 255;
  }
  return pixels;
}

/**
 * The pixels of an input tensor: one channel in grey from its least to its greatest value; three in
 * their own colours, the normalisation undone.
 *
 * @param {Float32Array} values  channels × rows × columns
 * @param {number} channels
 * @param {Theme} theme
 * @param {{mean: number[], std: number[]}} [normalisation]  of pixel / 255
 * @returns {Uint8ClampedArray<ArrayBuffer>}
 */
export function inputPixels(values, channels, theme, normalisation) {
  const [low, high] = rangeOf(values);
  if (channels !== 3) return pixelsOf(values, scaleFor('input', low, high, theme));
  const area = values.length / 3;
  const pixels = new Uint8ClampedArray(area * 4).fill(255);
  for (let c = 0; c < 3; c += 1) {
    const mean = normalisation?.mean[c] ?? -low / (high - low || 1);
    const std = normalisation?.std[c] ?? 1 / (high - low || 1);
    for (let i = 0; i < area; i += 1) pixels[i * 4 + c] = (values[c * area + i] * std + mean) * 255;
  }
  return pixels;
}
