/** The switch that says which values share one colour scale: a map's, a layer's, the network's. */

import { rangeOf } from './colours.js';
import { choice } from './dom.js';
import { networkRange } from './session.js';
import * as state from './state.js';

/**
 * @param {{min: number, max: number}} layer
 * @param {Float32Array} map
 * @returns {[number, number]}
 */
export function rangeInScale(layer, map) {
  const scale = state.get('scale');
  if (scale === 'network') return networkRange();
  if (scale === 'map') {
    const [low, high] = rangeOf(map);
    // Signed layers keep their diverging colours where one map happens to be all positive.
    return layer.min < 0 ? [Math.min(low, -1e-12), high] : [low, high];
  }
  return [layer.min, layer.max];
}

export function scaleSwitch() {
  return choice(
    'Scale per',
    [
      ['map', 'map'],
      ['layer', 'layer'],
      ['network', 'network'],
    ],
    state.get('scale'),
    (scale) => state.set({ scale }),
  );
}
