/**
 * The page's whole state: flat texts, held in the address after `#`, so that a link restores it.
 * `parse` and `format` are pure; the rest listens to the browser.
 *
 * @typedef {Record<string, string>} State
 */

/** @type {Readonly<State>} */
export const DEFAULTS = Object.freeze({
  view: 'look',
  run: '',
  epoch: '',
  image: '',
  ink: '',
  centre: '1',
  invert: '0',
  layer: '',
  unit: '',
  page: '0',
  scale: 'layer',
  method: 'saliency',
  source: 'input',
  map: '0',
  crop: '',
  values: '',
  kernel: '2',
  stride: '2',
  poolpad: 'valid',
  shift: '0',
  show: 'values',
  border: 'same',
  sides: '2',
  kern: 'blur',
  pstride: '1',
  truth: '',
  predicted: '',
  order: 'loss',
  off: '',
  pool: '',
  pad: '',
  act: '',
  offlayer: '',
  job: '',
});

/**
 * @param {string} hash  with or without its `#`
 * @returns {State}
 */
export function parse(hash) {
  const state = { ...DEFAULTS };
  for (const [key, value] of new URLSearchParams(hash.replace(/^#/, ''))) {
    if (Object.hasOwn(DEFAULTS, key)) state[key] = value;
  }
  return state;
}

/**
 * Only what differs from the defaults, always in the same order.
 *
 * @param {State} state
 */
export function format(state) {
  const pairs = Object.keys(DEFAULTS).filter((key) => state[key] !== DEFAULTS[key]);
  return pairs
    .map(
      (key) =>
        `${key}=${encodeURIComponent(state[key]).replaceAll('%2C', ',').replaceAll('%3A', ':')}`,
    )
    .join('&');
}

/** @type {State} */
let current = { ...DEFAULTS };
/** @type {Set<(changed: Set<string>) => void>} */
const listeners = new Set();

/** @param {string} key */
export function get(key) {
  return current[key];
}

/** @param {string} key */
export function getNumber(key) {
  return Number(current[key]);
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** Put the state into the address; not at every movement of a pen, as browsers forbid that. */
function write({ push = false } = {}) {
  clearTimeout(timer);
  timer = undefined;
  try {
    if (push) history.pushState(null, '', `#${format(current)}`);
    else history.replaceState(null, '', `#${format(current)}`);
  } catch {
    /* a frame without an address of its own, as in a notebook, has nothing to remember it in */
  }
}

/**
 * Change some keys. A step that people would take back with the browser's button is a `push`.
 *
 * @param {State} changes
 * @param {{push?: boolean}} [how]
 */
export function set(changes, { push = false } = {}) {
  const changed = new Set(Object.keys(changes).filter((key) => current[key] !== changes[key]));
  if (!changed.size) return;
  if (push && timer) write();
  current = { ...current, ...changes };
  if (push) write({ push });
  else timer ??= setTimeout(() => write(), 200);
  for (const listener of listeners) listener(changed);
}

/** @param {(changed: Set<string>) => void} listener */
export function onChange(listener) {
  listeners.add(listener);
}

/** Read the address, now and whenever it changes. */
export function start() {
  current = parse(location.hash);
  const read = () => {
    clearTimeout(timer);
    timer = undefined;
    const next = parse(location.hash);
    const changed = new Set(Object.keys(next).filter((key) => next[key] !== current[key]));
    current = next;
    if (changed.size) for (const listener of listeners) listener(changed);
  };
  addEventListener('popstate', read);
  addEventListener('hashchange', read);
}
