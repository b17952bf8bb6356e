/** Look inside: input at the left, the layers in the middle, the answer at the right. */

import { ClassBars } from './class-bars.js';
import { button, growFrom, h, replace } from './dom.js';
import { Flow } from './flow.js';
import { InputPanel } from './input-panel.js';
import { LayerView } from './layer-view.js';
import { legend } from './legend.js';
import { scaleFor } from './colours.js';
import { scaleSwitch } from './scale.js';
import { info, networkRange, on, session } from './session.js';
import * as state from './state.js';
import { explanation } from './texts.js';
import { theme } from './theme.js';

export class LookInside {
  /** @param {import('./why.js').Why | null} why  what needs more than the network itself */
  constructor(why) {
    this.input = new InputPanel();
    this.answers = new ClassBars();
    this.flow = new Flow((layer, map, from) => this.#open(layer, map, from));
    this.layer = new LayerView((field) => this.input.markField(field));
    this.why = why;
    this.crumbs = h('nav', { class: 'crumbs', 'aria-label': 'Where you are' });
    this.tools = h('div', { class: 'row spread stage-tools' });
    this.stage = h(
      'div',
      { class: 'stage' },
      this.crumbs,
      this.flow.element,
      this.tools,
      this.layer.element,
    );
    this.element = h(
      'div',
      { class: 'view look' },
      h('div', { class: 'look-main' }, this.input.element, this.stage, this.answers.element),
      why?.element,
      explanation('look'),
    );
    this.element.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.#back();
    });
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && state.get('view') === 'look' && event.target === document.body)
        this.#back();
    });
    this.wasOpen = '';
    this.toolsKey = '';
    this.crumbsKey = '';
    on('samples', () => this.input.updateState());
  }

  runChanged() {
    this.input.updateRun();
    this.flow.build();
    this.#drawLevel();
  }

  resultChanged() {
    this.input.updateResult();
    this.answers.update();
    this.#drawLevel();
    if (state.get('layer')) this.layer.update();
    else this.flow.update();
    this.why?.update();
  }

  /** @param {Set<string>} changed */
  stateChanged(changed) {
    if (!session.info) return;
    if (['image', 'ink', 'centre', 'invert'].some((key) => changed.has(key)))
      this.input.updateState();
    if (changed.has('method')) this.why?.drawAttribution();
    if (['layer', 'unit', 'page', 'scale', 'view'].some((key) => changed.has(key))) {
      this.#drawLevel();
      if (state.get('layer')) this.layer.update();
      else if (changed.has('layer') || changed.has('view')) this.flow.build();
      else this.flow.update();
    }
  }

  themeChanged() {
    this.flow.update();
    this.resultChanged();
  }

  #drawLevel() {
    const open = this.layer.layer();
    this.flow.element.hidden = open !== null;
    this.tools.hidden = open !== null;
    this.layer.element.hidden = open === null;
    if (!open) {
      this.layer.stop();
      this.input.markField(null);
      if (this.wasOpen) this.#returnTo(this.wasOpen);
    }
    this.wasOpen = open?.name ?? '';
    this.#drawCrumbs(open);
    if (!open) this.#drawTools();
  }

  /** @param {string} layer  the one that was left: the keyboard goes back to it */
  #returnTo(layer) {
    requestAnimationFrame(() => {
      const column = [...this.flow.track.querySelectorAll('section')].find(
        (section) => section.dataset.layer === layer,
      );
      column?.querySelector('button')?.focus({ preventScroll: true });
    });
  }

  #drawTools() {
    const [low, high] = networkRange();
    const key = [state.get('scale'), theme(), low.toPrecision(3), high.toPrecision(3)].join(' ');
    if (key === this.toolsKey) return;
    this.toolsKey = key;
    const activations = scaleFor('activations', low, high, theme());
    replace(
      this.tools,
      scaleSwitch(),
      h('div', { class: 'row' }, legend(activations, 'below and above zero')),
    );
  }

  /** @param {import('./types.js').Layer | null} open */
  #drawCrumbs(open) {
    const unit = state.get('unit');
    const key = [session.info?.id, open?.name, unit].join(' ');
    if (key === this.crumbsKey) return;
    this.crumbsKey = key;
    const up = (/** @type {string} */ words, /** @type {import('./state.js').State} */ changes) =>
      button(words, () => state.set(changes, { push: true }), { class: 'crumb' });
    const here = (/** @type {string} */ words) =>
      h('span', { class: 'crumb here', 'aria-current': 'location', text: words });
    const parts = [];
    if (!open) parts.push(here('All layers'));
    else {
      parts.push(up('All layers', { layer: '', unit: '' }));
      parts.push(unit ? up(open.name, { unit: '' }) : here(open.name));
      if (unit) parts.push(here(unitWords(unit)));
    }
    const chips = open
      ? h(
          'div',
          { class: 'chips', role: 'group', 'aria-label': 'Other layers' },
          ...info().layers.map((layer) =>
            button(
              layer.kind === 'activation' ? layer.title : layer.name,
              () => state.set({ layer: layer.name, unit: '', page: '0' }, { push: true }),
              {
                class: 'chip',
                title: layer.name,
                'aria-pressed': String(layer === open),
              },
            ),
          ),
        )
      : h('span', { class: 'quiet', text: 'Open a layer: click, or Tab and Enter' });
    const trail = parts.flatMap((part, i) =>
      i ? [h('span', { class: 'quiet', 'aria-hidden': 'true', text: '›' }), part] : [part],
    );
    replace(this.crumbs, h('div', { class: 'row tight' }, ...trail), chips);
  }

  /**
   * @param {string} layer
   * @param {number | null} map
   * @param {Element | null} from
   */
  #open(layer, map, from) {
    const box = from?.getBoundingClientRect();
    state.set({ layer, unit: map === null ? '' : String(map), page: '0' }, { push: true });
    this.layer.map.surface.focus({ preventScroll: true });
    if (box) growFrom(box, this.layer.map.surface);
  }

  #back() {
    if (state.get('unit')) state.set({ unit: '' }, { push: true });
    else if (state.get('layer')) state.set({ layer: '' }, { push: true });
  }
}

/** @param {string} unit */
function unitWords(unit) {
  const parts = unit.split(',');
  return parts.length === 3
    ? `map ${parts[0]}, row ${parts[1]}, column ${parts[2]}`
    : `${parts[0]}`;
}
