/** Small kernels whose effect at a border is easy to see. No DOM. */

/** @type {{key: string, words: string, values: number[][]}[]} */
export const KERNELS = [
  {
    key: 'blur',
    words: 'mean',
    values: [
      [1 / 9, 1 / 9, 1 / 9],
      [1 / 9, 1 / 9, 1 / 9],
      [1 / 9, 1 / 9, 1 / 9],
    ],
  },
  {
    key: 'edge',
    words: 'edge',
    values: [
      [-1, 0, 1],
      [-2, 0, 2],
      [-1, 0, 1],
    ],
  },
  {
    key: 'sharp',
    words: 'sharpen',
    values: [
      [0, -1, 0],
      [-1, 5, -1],
      [0, -1, 0],
    ],
  },
  {
    key: 'five',
    words: '5 × 5',
    values: Array.from({ length: 5 }, () => Array(5).fill(0.04)),
  },
  {
    key: 'two',
    words: '2 × 2',
    values: [
      [0.25, 0.25],
      [0.25, 0.25],
    ],
  },
];
