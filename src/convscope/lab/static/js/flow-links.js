/** What connects the columns of the flow: pale ribbons, and lines to the maps that one map sees. */

import { s } from './dom.js';

export class FlowLinks {
  constructor() {
    this.bands = s('g', { class: 'ribbons' });
    this.strokes = s('g', { class: 'links' });
    this.below = s('svg', { class: 'flow-links', 'aria-hidden': 'true' }, this.bands);
    this.above = s('svg', { class: 'flow-links above', 'aria-hidden': 'true' }, this.strokes);
  }

  /** @param {Element} track */
  ribbons(track) {
    const bodies = [...track.querySelectorAll('.maps')].map((one) => boxIn(track, one));
    for (const svg of [this.below, this.above]) {
      svg.setAttribute('width', String(track.scrollWidth));
      svg.setAttribute('height', String(track.scrollHeight));
    }
    this.bands.replaceChildren(
      ...bodies.slice(1).map((to, i) => {
        const from = bodies[i];
        const middle = (from.right + to.left) / 2;
        const d =
          `M${from.right} ${from.top} C${middle} ${from.top} ${middle} ${to.top} ${to.left} ${to.top}` +
          `V${to.bottom} C${middle} ${to.bottom} ${middle} ${from.bottom} ${from.right} ${from.bottom}Z`;
        return s('path', { d });
      }),
    );
  }

  /**
   * @param {Element} track
   * @param {Element[]} sources
   * @param {Element} target
   */
  lines(track, sources, target) {
    const to = boxIn(track, target);
    const y = (to.top + to.bottom) / 2;
    this.strokes.replaceChildren(
      ...sources.map((source) => {
        const from = boxIn(track, source);
        const middle = (from.right + to.left) / 2;
        const start = (from.top + from.bottom) / 2;
        return s('path', {
          d: `M${from.right} ${start} C${middle} ${start} ${middle} ${y} ${to.left} ${y}`,
        });
      }),
    );
  }

  clear() {
    this.strokes.replaceChildren();
  }
}

/**
 * @param {Element} track
 * @param {Element} element
 */
function boxIn(track, element) {
  const outer = track.getBoundingClientRect();
  const box = element.getBoundingClientRect();
  return {
    left: box.left - outer.left,
    right: box.right - outer.left,
    top: box.top - outer.top,
    bottom: box.bottom - outer.top,
  };
}
