/** The page's frame: navigation, choice of run and theme, and who is told when something changes. */

import { button, h, replace, select } from './dom.js';
import { EpochSlider } from './epochs.js';
import * as current from './session.js';
import * as state from './state.js';
import { onTheme, startTheme, switchTheme, theme } from './theme.js';

/**
 * @typedef {{element: HTMLElement, runChanged: () => void, resultChanged: () => void,
 *   themeChanged: () => void, stateChanged: (changed: Set<string>) => void}} View
 * @typedef {[string, string, () => View][]} Views  key in the address, title, how to make it
 */

/** @type {Views} */
let views = [];

/** @type {Map<string, View>} */
const made = new Map();

/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** The view of the address, made when it is first shown. */
function shown() {
  const [name, , make] = views.find(([key]) => key === state.get('view')) ?? views[0];
  let view = made.get(name);
  if (!view) {
    view = make();
    made.set(name, view);
    part('views').append(view.element);
  }
  return view;
}

function drawNavigation() {
  const links = views.map(([key, words]) =>
    h('a', {
      href: `#view=${key}`,
      text: words,
      'aria-current': state.get('view') === key ? 'page' : null,
      data: { key },
      on: {
        click: (/** @type {MouseEvent} */ event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return;
          event.preventDefault();
          state.set({ view: key }, { push: true });
        },
      },
    }),
  );
  replace(part('views-nav'), ...links);
  links
    .find((link) => link.getAttribute('aria-current'))
    ?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

const epochs = new EpochSlider();

function drawRuns() {
  const { runs, info } = current.session;
  if (!info) return;
  epochs.show(info);
  const words = (/** @type {import('./types.js').RunEntry} */ run) =>
    run.test_accuracy === null
      ? run.name
      : `${run.name} · ${(run.test_accuracy * 100).toFixed(2)} %`;
  replace(
    part('run-choice'),
    select(
      'Run',
      runs.map((run) => [run.id, words(run)]),
      info.id.split('@')[0],
      (run) =>
        state.set(
          {
            run,
            epoch: '',
            layer: '',
            unit: '',
            image: '',
            ink: '',
            off: '',
            page: '0',
            truth: '',
            predicted: '',
          },
          { push: true },
        ),
    ),
  );
}

function drawTheme() {
  replace(
    part('theme-choice'),
    button(theme() === 'dark' ? 'Light' : 'Dark', switchTheme, {
      title: 'Switch between light and dark',
    }),
  );
}

function drawError() {
  const { error } = current.session;
  const box = part('error');
  box.hidden = !error;
  replace(
    box,
    h('p', { text: error }),
    button('Dismiss', () => {
      box.hidden = true;
    }),
  );
}

function drawWaiting() {
  const { waiting } = current.session;
  const box = part('waiting');
  box.hidden = !waiting;
  box.textContent = waiting;
}

/** Show the view of the address and hide the others. */
function route() {
  const now = shown();
  for (const view of made.values()) view.element.hidden = view !== now;
  drawNavigation();
  const words = views.find(([key]) => key === state.get('view'))?.[1] ?? '';
  document.title = `${words} · convscope lab`;
}

/**
 * Begin, with the first view where the address names none.
 *
 * @param {Views} all
 */
export function startPage(all) {
  views = all;
  startTheme();
  state.start();
  drawTheme();
  part('epoch-choice').append(epochs.element);
  route();
  current.on('error', drawError);
  current.on('waiting', drawWaiting);
  current.on('run', () => {
    drawError();
    drawRuns();
    for (const view of made.values()) view.runChanged();
  });
  current.on('result', () => {
    part('error').hidden = true;
    shown().resultChanged();
  });
  state.onChange((changed) => {
    if (!changed.has('view')) {
      shown().stateChanged(changed);
      return;
    }
    const isNew = !made.has(state.get('view'));
    route();
    const view = shown();
    if (isNew && current.session.info) view.runChanged();
    view.stateChanged(changed);
    if (current.session.result) view.resultChanged();
  });
  onTheme(() => {
    drawTheme();
    shown().themeChanged();
  });
  current.start();
  current.openRun();
  shown().stateChanged(new Set(['view']));
}
