/**
 * What all views share: the open run, the picture that flows through it, and what came out.
 */

import * as api from './api.js';
import * as state from './state.js';
import { decodeInk, encodeInk, FIRST_DRAWING } from './ink.js';
import { latest } from './latest.js';
import { rasterise } from './raster.js';

/** Of layers with more maps than this, only the strongest travel with every picture… */
const LIMIT = 24;
/** …unless the whole network has no more values than this. */
const SMALL = 100_000;
/** How long the page waits for the data set before it begins with a drawing, in milliseconds. */
const PATIENCE = 1500;
/** Pixels a side of a drawing as it is sent. */
const DRAWING = 112;

/**
 * @typedef {{runs: import('./types.js').RunEntry[], samples: import('./types.js').Sample[],
 *   first: string, info: import('./types.js').RunInfo | null,
 *   result: import('./types.js').Forward | null, upload: Blob | null, error: string, waiting: string}} Session
 */

/** @type {Session} */
export const session = {
  runs: [],
  samples: [],
  first: '',
  info: null,
  result: null,
  upload: null,
  error: '',
  waiting: '',
};

/** @typedef {'run' | 'samples' | 'result' | 'error' | 'waiting'} Happening */
/** @type {Map<Happening, Set<() => void>>} */
const listeners = new Map();

/**
 * @param {Happening} what
 * @param {() => void} listener
 */
export function on(what, listener) {
  const known = listeners.get(what) ?? new Set();
  listeners.set(what, known.add(listener));
}

/** @param {Happening} what */
function emit(what) {
  for (const listener of listeners.get(what) ?? []) listener();
}

/** @param {unknown} error */
export function report(error) {
  session.error = error instanceof Error ? error.message : String(error);
  emit('error');
}

/** Say what the page waits for; an empty text is nothing. @param {string} words */
function wait(words) {
  session.waiting = words;
  emit('waiting');
}

/** The run, which must be open. */
export function info() {
  if (!session.info) throw new Error('no run is open');
  return session.info;
}

/** Open the run of the address, at its epoch; of many changes in a row only the newest counts. */
export const openRun = latest(async () => {
  wait('Opening the run …');
  try {
    const { runs, current } = await api.getRuns();
    session.runs = runs;
    const wanted = state.get('run') || current;
    if (!wanted) throw new Error('There is no run yet. Train one first: convscope train');
    const epoch = state.get('epoch');
    session.info = await api.getRun(epoch ? `${wanted}@${epoch}` : wanted);
    session.result = null;
    session.samples = [];
    session.first = '';
  } catch (error) {
    wait('');
    report(error);
    return;
  }
  session.error = '';
  emit('run');
  const run = session.info;
  const loading = firstSamples(run);
  const samples = await Promise.race([loading, pause(PATIENCE)]);
  if (run !== session.info) return;
  const [first] = samples ?? [];
  session.first = first ? `${first.split}:${first.index}` : '';
  refresh();
  const arrived = (/** @type {import('./types.js').Sample[]} */ all) => {
    if (run !== session.info) return;
    session.samples = all;
    emit('samples');
  };
  if (samples) arrived(samples);
  else loading.then(arrived); // not waited for: another run may be asked for meanwhile
});

/**
 * @param {number} milliseconds
 * @returns {Promise<null>}
 */
function pause(milliseconds) {
  return new Promise((resume) => setTimeout(() => resume(null), milliseconds));
}

/**
 * Some pictures of each class; none where the data set is not on this machine.
 *
 * @param {import('./types.js').RunInfo} run
 */
async function firstSamples(run) {
  if (!run.has_data) return [];
  try {
    return (
      await api.patient(
        () => api.samples(run.id, 30),
        () => {},
      )
    ).samples;
  } catch (error) {
    run.has_data = false;
    if (error instanceof api.ApiError && error.status !== 409) report(error);
    return [];
  }
}

/** The sample that the address names, or the first one if it came in time; empty where the picture is no sample. */
export function sampleName() {
  const image = state.get('image');
  if (image === 'ink' || image === 'upload' || !info().has_data) return '';
  if (/^[a-z]+:\d+$/.test(image)) return image;
  return session.first;
}

/** The strokes of the address; before anyone has drawn, a first drawing. */
export function drawing() {
  return decodeInk(state.get('image') === 'ink' ? state.get('ink') : FIRST_DRAWING);
}

/** The picture that the state names. @returns {api.Picture} */
function picture() {
  const run = info();
  const image = state.get('image');
  if (image === 'upload' && session.upload) return { file: session.upload };
  const sample = sampleName();
  if (sample) return { sample };
  const channels = run.input.channels === 3 ? 3 : 1;
  return { pixels: rasterise(drawing(), DRAWING, channels) };
}

/**
 * How many maps of a layer travel with every picture; 0 is all.
 *
 * @param {import('./types.js').RunInfo} run
 */
function mapLimit(run) {
  const size = (/** @type {number[]} */ shape) => shape.reduce((product, one) => product * one, 1);
  const values = run.layers.reduce((sum, layer) => sum + size(layer.shape), 0);
  return values > SMALL ? LIMIT : 0;
}

/** Send the picture again; of many changes in a row only the newest counts. */
export const refresh = latest(async () => {
  const run = session.info;
  if (!run) return;
  if (!session.result) wait('The first picture goes through the network …');
  const started = performance.now();
  try {
    const how = {
      centre: run.input.channels === 1 ? state.get('centre') : '0',
      invert: state.get('invert'),
      limit: mapLimit(run),
    };
    const answer = await api.patient(() => api.forward(run.id, picture(), how), wait);
    if (run !== session.info) return;
    session.result = answer;
    session.error = '';
  } catch (error) {
    wait('');
    report(error);
    return;
  }
  if (session.waiting) wait('');
  emit('result');
  performance.measure('convscope: picture to maps', { start: started });
});

/**
 * A drawing becomes the picture.
 *
 * @param {import('./ink.js').Stroke[]} strokes
 */
export function useInk(strokes) {
  state.set({ image: 'ink', ink: encodeInk(strokes) });
  refresh();
}

/**
 * @param {string} split
 * @param {number} index
 */
export function useSample(split, index) {
  state.set({ image: `${split}:${index}`, ink: '', invert: '0' }, { push: true });
}

/**
 * @param {Blob} file
 * @param {boolean} dark  whether its ink is darker than its paper
 */
export function useUpload(file, dark) {
  session.upload = file;
  state.set({ image: 'upload', ink: '', invert: dark ? '1' : '0' });
  refresh();
}

/** Number and word of the true class of the picture, where it is known. */
export function truth() {
  const header = session.result?.header;
  if (!header || header.truth === null || header.truth_index === null) return null;
  return { index: header.truth_index, word: header.truth };
}

/**
 * What a layer gave for the picture, with its place in the order of computation.
 *
 * @param {string} name
 */
export function activation(name) {
  const layers = session.result?.header.layers ?? [];
  const place = layers.findIndex((layer) => layer.name === name);
  return place < 0 ? null : { ...layers[place], place };
}

/** The largest magnitudes over all layers: the range of the scale `network`. */
export function networkRange() {
  const layers = session.result?.header.layers ?? [];
  return /** @type {[number, number]} */ ([
    Math.min(0, ...layers.map((layer) => layer.min)),
    Math.max(0, ...layers.map((layer) => layer.max)),
  ]);
}

/** Load one more time whenever the picture or the run changes in the address. */
export function start() {
  state.onChange((changed) => {
    if (changed.has('run') || changed.has('epoch')) openRun();
    else if (['image', 'centre', 'invert'].some((key) => changed.has(key))) refresh();
  });
}
