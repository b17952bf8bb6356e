/**
 * A drawing as strokes: short enough for a link, sharp at any size. No DOM.
 *
 * Coordinates are 0 to 255 on both axes.
 *
 * @typedef {{width: number, colour: number, points: [number, number][]}} Stroke
 */

/** The colours of the pad for networks that see colour; 0 is white. */
export const INKS = [
  '#ffffff',
  '#f2c230',
  '#ee7a30',
  '#d9303e',
  '#8f4fc4',
  '#2f72d6',
  '#2f9e5b',
  '#000000',
];

/**
 * Bytes: for each stroke width, colour, number of points (2 bytes), then the points; base64url.
 *
 * @param {Stroke[]} strokes
 */
export function encodeInk(strokes) {
  const bytes = strokes.flatMap(({ width, colour, points }) => [
    width,
    colour,
    points.length >> 8,
    points.length & 255,
    ...points.flat(),
  ]);
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');
}

/**
 * @param {string} text
 * @returns {Stroke[]}  empty where the text is no drawing
 */
export function decodeInk(text) {
  let binary = '';
  try {
    binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  } catch {
    return [];
  }
  const bytes = Array.from(binary, (letter) => letter.charCodeAt(0));
  /** @type {Stroke[]} */
  const strokes = [];
  let place = 0;
  while (place + 4 <= bytes.length) {
    const [width, colour, high, low] = bytes.slice(place, place + 4);
    const count = high * 256 + low;
    place += 4;
    if (place + 2 * count > bytes.length) return strokes;
    /** @type {[number, number][]} */
    const points = [];
    for (let i = 0; i < count; i += 1) {
      points.push([bytes[place + 2 * i], bytes[place + 2 * i + 1]]);
    }
    place += 2 * count;
    strokes.push({ width, colour: colour % INKS.length, points });
  }
  return strokes;
}

/**
 * Whether a new point is far enough from the last one to be kept.
 *
 * @param {Stroke} stroke
 * @param {number} x
 * @param {number} y
 */
export function isFar(stroke, x, y) {
  const last = stroke.points.at(-1);
  return !last || Math.hypot(last[0] - x, last[1] - y) >= 3;
}

/** A seven, for the very first look at a network without a data set. */
export const FIRST_DRAWING = encodeInk([
  {
    width: 22,
    colour: 0,
    points: [
      [76, 68],
      [110, 66],
      [150, 64],
      [182, 66],
      [170, 92],
      [152, 126],
      [136, 160],
      [122, 198],
    ],
  },
]);
