/** The values of a layer's maps: those that came with the picture, and others asked for. */

import * as api from './api.js';
import { mapOf } from './frame.js';
import { activation, info, report, session } from './session.js';

/** @typedef {{data: Float32Array, rows: number, columns: number}} MapValues */

export class LayerMaps {
  constructor() {
    this.key = '';
    /** @type {Map<number, MapValues>} */
    this.known = new Map();
  }

  /** Keep what came with the picture. @param {string} layer */
  #collect(layer) {
    const result = session.result;
    const entry = activation(layer);
    if (!result || !entry) return;
    const key = `${info().id} ${result.header.image} ${layer}`;
    if (key === this.key) return;
    this.key = key;
    this.known.clear();
    const maps = entry.maps ?? Array.from({ length: entry.shape[0] }, (_, i) => i);
    maps.forEach((map, i) => this.known.set(map, mapOf(result.values, entry, i)));
  }

  /**
   * What is known of a map without asking.
   *
   * @param {string} layer
   * @param {number} map
   * @returns {MapValues | null}
   */
  have(layer, map) {
    this.#collect(layer);
    return this.known.get(map) ?? null;
  }

  /**
   * Ask for maps `from` to `from + count` of a layer, unless all of them are known.
   *
   * @param {string} layer
   * @param {number} from
   * @param {number} count
   * @returns {Promise<boolean>}  whether any has come that was not known
   */
  async ask(layer, from, count) {
    this.#collect(layer);
    if (Array.from({ length: count }, (_, i) => from + i).every((map) => this.known.has(map)))
      return false;
    const { key } = this;
    const image = session.result?.header.image ?? '';
    try {
      const { header, values } = await api.layerMaps(info().id, layer, { image, from, count });
      if (key !== this.key) return false;
      const [entry] = header.tensors;
      for (let i = 0; i < entry.shape[0]; i += 1) this.known.set(from + i, mapOf(values, entry, i));
      return true;
    } catch (error) {
      report(error);
      return false;
    }
  }
}
