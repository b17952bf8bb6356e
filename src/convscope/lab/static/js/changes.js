/** What is changed in What if, as text for the address and as the server takes it. No DOM. */

/**
 * Switched-off maps from the address: `c1:0.3;c3:5`.
 *
 * @param {string} text
 * @returns {Record<string, number[]>}
 */
export function parseOff(text) {
  /** @type {Record<string, number[]>} */
  const off = {};
  for (const part of text.split(';')) {
    const [layer, maps] = part.split(':');
    if (layer && maps) off[layer] = maps.split('.').map(Number).filter(Number.isInteger);
  }
  return off;
}

/** @param {Record<string, number[]>} off */
export function formatOff(off) {
  return Object.entries(off)
    .filter(([, maps]) => maps.length)
    .map(([layer, maps]) => `${layer}:${[...maps].sort((a, b) => a - b).join('.')}`)
    .join(';');
}

/**
 * @param {Record<string, number[]>} off
 * @param {string} layer
 * @param {number} map
 */
export function toggled(off, layer, map) {
  const maps = off[layer] ?? [];
  const now = maps.includes(map) ? maps.filter((one) => one !== map) : [...maps, map];
  return { ...off, [layer]: now };
}

/**
 * New values for the model's arguments, windows as the network has them.
 *
 * @param {import('./types.js').RunInfo} run
 * @param {string} pool
 * @param {string} pad
 * @param {string} act
 * @returns {Record<string, object>}
 */
export function replacements(run, pool, pad, act) {
  /** @type {Record<string, object>} */
  const changed = {};
  const spec = run.layers.find(({ kind }) => kind === 'pooling' || kind === 'subsampling')?.spec;
  if (pool && run.replaceable.includes('pool')) {
    const { padding } = /** @type {{padding?: unknown}} */ (run.model.arguments.pool ?? {});
    changed.pool = {
      layer: 'pool',
      kind: pool,
      ...(spec ? { kernel: spec.kernel, stride: spec.stride } : {}),
      ...(padding ? { padding } : {}),
    };
  }
  if (pad && run.replaceable.includes('padding')) {
    const now = /** @type {Record<string, unknown>} */ (run.model.arguments.padding ?? {});
    const used = run.layers.find(({ kind }) => kind === 'convolution')?.spec?.padding;
    changed.padding = { layer: 'pad', .../** @type {object} */ (used ?? {}), ...now, mode: pad };
  }
  if (act && run.replaceable.includes('activation'))
    changed.activation = { layer: 'activation', kind: act };
  return changed;
}
