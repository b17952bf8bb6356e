/** Work that is asked for faster than it can be done: one at a time, and only the newest waits. */

/**
 * @template {unknown[]} A
 * @param {(...args: A) => Promise<void>} work  handles its own errors
 * @returns {(...args: A) => void}
 */
export function latest(work) {
  /** @type {A | null} */
  let waiting = null;
  let busy = false;
  const run = async (/** @type {A} */ args) => {
    busy = true;
    try {
      await work(...args);
    } finally {
      busy = false;
      const next = waiting;
      waiting = null;
      if (next) run(next);
    }
  };
  return (...args) => {
    if (busy) waiting = args;
    else run(args);
  };
}
