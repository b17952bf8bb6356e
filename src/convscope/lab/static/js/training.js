/** Training: the curves of the open run, and new runs that are watched while they learn. */

import * as api from './api.js';
import { button, h, replace, select, valueOf } from './dom.js';
import { filterPictures } from './filter-pictures.js';
import { lineChart } from './line-chart.js';
import { percentText } from './numbers.js';
import { info, session } from './session.js';
import * as state from './state.js';
import { explanation } from './texts.js';

/** @typedef {Record<string, number | string | null>} Row */

export class TrainingView {
  constructor() {
    this.form = h('section', { class: 'card train-form' });
    this.live = h('section', { class: 'card', 'aria-live': 'polite', hidden: true });
    this.curves = h('section', { class: 'card' });
    this.filters = h('section', { class: 'card' });
    this.element = h(
      'div',
      { class: 'view training' },
      explanation('training'),
      h(
        'div',
        { class: 'training-main' },
        h('div', { class: 'stack' }, this.form, this.live),
        h('div', { class: 'stack' }, this.curves, this.filters),
      ),
    );
    this.chosen = { recipe: 'lenet5', data: 'mnist-sample', settings: '' };
    /** @type {Row[]} */
    this.rows = [];
    this.started = false;
    /** @type {AbortController | null} */
    this.following = null;
  }

  runChanged() {
    if (!session.info || this.following) return;
    this.#drawCurves(`How ${info().name} learned`, info().metrics);
    this.#drawFilters();
  }

  resultChanged() {}

  themeChanged() {
    this.#drawFilters();
  }

  /** @param {Set<string>} changed */
  stateChanged(changed) {
    if (changed.has('view') && state.get('view') === 'training') this.show();
  }

  async show() {
    if (this.started) return;
    this.started = true;
    try {
      const [recipes, datasets, jobs] = await Promise.all([
        api.recipes(),
        api.datasets(),
        api.jobs(),
      ]);
      this.#drawForm(recipes.recipes, datasets.datasets);
      const job =
        jobs.jobs.find((one) => one.job === state.get('job')) ??
        jobs.jobs.find((one) => one.status === 'running');
      if (job) this.follow(job.job, job.status);
    } catch (error) {
      this.started = false;
      replace(this.form, problem(error));
    }
  }

  /**
   * @param {api.Named[]} recipes
   * @param {api.Named[]} datasets
   */
  #drawForm(recipes, datasets) {
    const at = (/** @type {api.Named[]} */ list, /** @type {string} */ name) =>
      list.find((one) => one.name === name)?.description ?? '';
    const redraw = () => this.#drawForm(recipes, datasets);
    const ready = datasets.filter((one) => one.available !== false);
    replace(
      this.form,
      h('h3', { text: 'Train a network' }),
      select(
        'Recipe',
        recipes.map(({ name }) => [name, name]),
        this.chosen.recipe,
        (value) => {
          this.chosen.recipe = value;
          redraw();
        },
      ),
      h('p', { class: 'note', text: at(recipes, this.chosen.recipe) }),
      select(
        'Data',
        ready.map(({ name }) => [name, name]),
        this.chosen.data,
        (value) => {
          this.chosen.data = value;
          redraw();
        },
      ),
      h('p', { class: 'note', text: at(datasets, this.chosen.data) }),
      h(
        'label',
        { class: 'field' },
        h('span', { text: 'Changes to the recipe, one a line' }),
        h('textarea', {
          rows: '3',
          spellcheck: 'false',
          placeholder: 'epochs=3',
          value: this.chosen.settings,
          on: { input: (/** @type {Event} */ event) => (this.chosen.settings = valueOf(event)) },
        }),
      ),
      button('Start training', () => this.#start(), { class: 'primary' }),
    );
  }

  async #start() {
    const { recipe, data } = this.chosen;
    const settings = this.chosen.settings
      .split('\n')
      .map((line) => line.trim())
      .filter(Boolean);
    try {
      const { job } = await api.train({
        recipe,
        data,
        settings,
        seed: 0,
      });
      this.follow(job, 'running');
    } catch (error) {
      this.live.hidden = false;
      replace(this.live, problem(error));
    }
  }

  /**
   * @param {string} job
   * @param {string} status
   */
  async follow(job, status) {
    this.following?.abort();
    const following = new AbortController();
    this.following = following;
    state.set({ job });
    this.rows = [];
    this.live.hidden = false;
    this.#drawLive(job, status, 'Starting …', null);
    let after = 0;
    for (;;) {
      let answer;
      try {
        answer = await api.events(job, after, following.signal);
      } catch (error) {
        if (!following.signal.aborted) replace(this.live, problem(error));
        return;
      }
      for (const event of answer.events) after = Math.max(after, event.n ?? after + 1);
      this.#take(job, answer);
      const over = !['running', 'stopping'].includes(answer.status);
      if (over && !answer.events.length) return;
    }
  }

  /**
   * @param {string} job
   * @param {{events: Record<string, any>[], status: string}} answer
   */
  #take(job, { events, status }) {
    const epochs = events.filter((event) => event.kind === 'epoch');
    this.rows.push(...epochs.map((event) => event.row));
    const end = events.find((event) => event.kind === 'end');
    const text = end ? (end.error ?? '') : (events.findLast((event) => event.text)?.text ?? '');
    const progress = events.findLast((event) => event.kind === 'progress');
    if (events.length) this.#drawLive(job, status, text, progress ?? null, end?.run);
    if (epochs.length) {
      this.#drawCurves('How it is learning', this.rows);
      this.#drawJobFilters(job);
    }
  }

  /**
   * @param {string} job
   * @param {string} status
   * @param {string} text
   * @param {Record<string, any> | null} progress
   * @param {string} [run]
   */
  #drawLive(job, status, text, progress, run) {
    const active = status === 'running' || status === 'stopping';
    const act = (/** @type {'stop' | 'resume'} */ what) => async () => {
      try {
        await api.control(job, what);
        if (what === 'resume') this.follow(job, 'running');
      } catch (error) {
        replace(this.live, problem(error));
      }
    };
    replace(
      this.live,
      h('h3', { text: `Training: ${status}` }),
      progress &&
        h('progress', {
          max: String(progress.total),
          value: progress.done,
          'aria-label': progress.label,
        }),
      h('p', { class: 'note mono', text }),
      h(
        'div',
        { class: 'row tight' },
        active && button('Stop', act('stop')),
        (status === 'stopped' || status === 'failed') && button('Resume', act('resume')),
        run &&
          button(
            'Look inside',
            () => state.set({ run, epoch: '', view: 'look', layer: '', unit: '' }, { push: true }),
            { class: 'primary' },
          ),
      ),
    );
  }

  /**
   * @param {string} title
   * @param {Row[]} rows
   */
  #drawCurves(title, rows) {
    const column = (/** @type {string[]} */ names) => {
      const key = names.find((name) => rows.some((row) => typeof row[name] === 'number'));
      return key
        ? rows.map((row) => (typeof row[key] === 'number' ? Number(row[key]) : null))
        : null;
    };
    const curves = (/** @type {[string, string, string[]][]} */ wanted) =>
      wanted.flatMap(([name, kind, keys]) => {
        const values = column(keys);
        return values ? [{ name, kind, values }] : [];
      });
    const losses = curves([
      ['training', 'first', ['train_loss', 'loss']],
      ['validation', 'second', ['validation_loss', 'val_loss']],
    ]);
    const right = curves([
      ['training', 'first', ['train_accuracy']],
      ['validation', 'second', ['validation_accuracy', 'val_accuracy']],
    ]);
    replace(
      this.curves,
      h('h3', { text: title }),
      rows.length === 0 && h('p', { class: 'note', text: 'This run left no curves.' }),
      h(
        'div',
        { class: 'curves' },
        losses.length > 0 && lineChart('Loss', losses, (value) => value.toPrecision(3)),
        right.length > 0 && lineChart('Right answers', right, (value) => percentText(value)),
      ),
    );
  }

  async #drawFilters() {
    const run = session.info;
    const first = run?.layers.find((layer) => layer.kind === 'convolution');
    if (!run || !first || state.get('view') !== 'training') return;
    try {
      const { header, values } = await api.weights(run.id, first.name, { from: 0, count: 64 });
      replace(
        this.filters,
        ...filterPictures(`Filters of ${first.name}`, header.tensors[0].shape, values),
      );
    } catch {
      replace(this.filters);
    }
  }

  /** @param {string} job */
  async #drawJobFilters(job) {
    try {
      const { header, values } = await api.jobFilters(job);
      replace(
        this.filters,
        ...filterPictures('Filters of the first layer, now', header.tensors[0].shape, values),
      );
    } catch {
      /* none yet: the next epoch may have them */
    }
  }
}

/** @param {unknown} error */
function problem(error) {
  return h('p', { class: 'problem', text: error instanceof Error ? error.message : String(error) });
}
