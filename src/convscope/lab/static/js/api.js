/** The server's answers, one function each. An error carries words for people. */

import { decodeFrame } from './frame.js';

/** @typedef {import('./types.js').RunInfo} RunInfo */

export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * @param {string} path
 * @param {RequestInit} [init]
 */
async function request(path, init) {
  let response;
  try {
    response = await fetch(`/api/${path}`, init);
  } catch {
    throw new ApiError('The server does not answer. Is `convscope lab` still running?', 0);
  }
  if (response.ok) return response;
  let words = `The server answered ${response.status}.`;
  try {
    const body = await response.json();
    if (typeof body.error === 'string') words = body.error;
  } catch {
    /* not JSON: the status has to do */
  }
  throw new ApiError(words, response.status);
}

/**
 * @template T
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<T>}
 */
async function json(path, init) {
  return (await request(path, init)).json();
}

/**
 * @template T
 * @param {string} path
 * @param {unknown} body
 * @returns {Promise<T>}
 */
function post(path, body) {
  return json(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
}

/**
 * @template T
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<{header: T, values: Float32Array}>}
 */
async function frame(path, init) {
  return decodeFrame(await (await request(path, init)).arrayBuffer());
}

/** @param {Record<string, string | number | null | undefined>} values */
function query(values) {
  const pairs = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  return new URLSearchParams(pairs.map(([key, value]) => [key, String(value)])).toString();
}

/** @param {string} id */
const run = (id) => `runs/${encodeURIComponent(id)}`;

/** @returns {Promise<{runs: import('./types.js').RunEntry[], current: string}>} */
export const getRuns = () => json('runs');

/** @param {string} id @returns {Promise<RunInfo>} */
export const getRun = (id) => json(run(id));

/**
 * A picture through the network. Exactly one of `pixels`, `file`, `sample` is given.
 *
 * @typedef {{pixels?: {data: Uint8Array<ArrayBuffer>, height: number, width: number,
 *   channels: number}, file?: Blob, sample?: string}} Picture
 * @param {string} id
 * @param {Picture} picture
 * @param {{centre: string, invert: string, limit: number}} how
 * @returns {Promise<import('./types.js').Forward>}
 */
export function forward(id, { pixels, file, sample }, { centre, invert, limit }) {
  if (sample) return frame(`${run(id)}/forward?${query({ sample, limit })}`, { method: 'POST' });
  const how = query({
    height: pixels?.height,
    width: pixels?.width,
    channels: pixels?.channels,
    centre,
    invert,
    limit,
  });
  return frame(`${run(id)}/forward?${how}`, {
    method: 'POST',
    headers: { 'Content-Type': file ? file.type || 'image/png' : 'application/octet-stream' },
    body: file ?? pixels?.data,
  });
}

/**
 * @typedef {{tensors: import('./types.js').Activation[]}} TensorHeader
 */

/**
 * @param {string} id
 * @param {string} layer
 * @param {{image: string, from: number, count: number}} what
 * @returns {Promise<{header: TensorHeader, values: Float32Array}>}
 */
export const layerMaps = (id, layer, what) =>
  frame(`${run(id)}/layer/${encodeURIComponent(layer)}?${query(what)}`);

/**
 * @param {string} id
 * @param {string} layer
 * @param {{from: number, count: number}} what
 * @returns {Promise<{header: TensorHeader, values: Float32Array}>}
 */
export const weights = (id, layer, what) =>
  frame(`${run(id)}/weights/${encodeURIComponent(layer)}?${query(what)}`);

/**
 * @param {string} id
 * @param {{image: string, layer: string, unit: string}} what
 * @returns {Promise<import('./types.js').Provenance>}
 */
export const unit = (id, what) => json(`${run(id)}/unit?${query(what)}`);

/**
 * @param {string} id
 * @param {{image: string, method: string, class: number}} what
 * @returns {Promise<{header: TensorHeader, values: Float32Array}>}
 */
export const attribution = (id, what) => frame(`${run(id)}/attribution?${query(what)}`);

/**
 * @param {string} id
 * @param {{image: string, n: number}} what
 * @returns {Promise<{neighbours: import('./types.js').Neighbour[]}>}
 */
export const neighbours = (id, what) => json(`${run(id)}/neighbours?${query(what)}`);

/** @param {string} id @returns {Promise<import('./types.js').Mistakes>} */
export const mistakes = (id) => json(`${run(id)}/mistakes`);

/**
 * @param {string} id
 * @param {{truth?: string, predicted?: string, order: string, from: number, count: number}} what
 * @returns {Promise<{total: number, images: import('./types.js').Judged[]}>}
 */
export const images = (id, what) => json(`${run(id)}/images?${query(what)}`);

/**
 * @param {string} id
 * @param {string} split
 * @param {number} index
 */
export const imageAddress = (id, split, index) =>
  `/api/${run(id)}/image/${encodeURIComponent(split)}/${index}.png`;

/** @param {string} id @param {object} change @returns {Promise<import('./types.js').WhatIf>} */
export const whatIf = (id, change) => post(`${run(id)}/what-if`, change);

/** @param {object} what @returns {Promise<import('./types.js').Pooled>} */
export const benchPool = (what) => post('bench/pool', what);

/** @param {object} what @returns {Promise<import('./types.js').PaddedResult>} */
export const benchPad = (what) => post('bench/pad', what);

/** @typedef {{name: string, description: string, available?: boolean}} Named */
/** @typedef {{job: string, recipe: string, data: string, status: string, run: string | null}} Job */

/** @returns {Promise<{recipes: Named[]}>} */
export const recipes = () => json('recipes');

/** @returns {Promise<{datasets: Named[]}>} */
export const datasets = () => json('datasets');

/** @param {object} what @returns {Promise<{job: string}>} */
export const train = (what) => post('train', what);

/** @returns {Promise<{jobs: Job[]}>} */
export const jobs = () => json('train');

/** @param {string} job @param {'stop' | 'resume'} what @returns {Promise<object>} */
export const control = (job, what) => post(`train/${encodeURIComponent(job)}/${what}`, {});

/**
 * @param {string} job
 * @param {number} after
 * @param {AbortSignal} signal
 * @returns {Promise<{events: Record<string, any>[], status: string}>}
 */
export const events = (job, after, signal) =>
  json(`train/${encodeURIComponent(job)}/events?after=${after}`, { signal });

/** @param {string} job @returns {Promise<{header: TensorHeader, values: Float32Array}>} */
export const jobFilters = (job) => frame(`train/${encodeURIComponent(job)}/filters`);

/**
 * @param {string} id
 * @param {number} count
 * @returns {Promise<{samples: import('./types.js').Sample[], splits: Record<string, number>}>}
 */
export const samples = (id, count) => json(`${run(id)}/samples?${query({ count })}`);

/**
 * An answer that the server is still working out: ask again until it is there.
 *
 * @template T
 * @param {() => Promise<T>} ask
 * @param {(words: string) => void} waiting
 * @returns {Promise<T>}
 */
export async function patient(ask, waiting) {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 503) throw error;
      waiting(error.message);
      await new Promise((resume) => setTimeout(resume, 400));
    }
  }
}
