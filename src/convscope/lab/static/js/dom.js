/** Small helpers around the DOM. Text is always set as text: names from files stay inert. */

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 */

/**
 * An element. Keys of `props`: `class`, `text`, `on` (listeners), `data`, the properties `value`,
 * `checked`, `disabled`, `selected`, `hidden`; everything else is an attribute.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  apply(element, props);
  append(element, children);
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/**
 * An SVG element, with attributes and children as `h` takes them.
 *
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [props]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function s(tag, props = {}, ...children) {
  const element = /** @type {SVGElementTagNameMap[K]} */ (document.createElementNS(SVG, tag));
  apply(element, props);
  append(element, children);
  return element;
}

const PROPERTIES = new Set(['value', 'checked', 'disabled', 'selected', 'hidden', 'open']);

/**
 * @param {Element} element
 * @param {Record<string, any>} props
 */
function apply(element, props) {
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (key === 'class') element.setAttribute('class', value);
    else if (key === 'text') element.textContent = String(value);
    else if (key === 'on') {
      for (const [name, listener] of Object.entries(value))
        element.addEventListener(name, listener);
    } else if (key === 'data') {
      for (const [name, text] of Object.entries(value)) element.setAttribute(`data-${name}`, text);
    } else if (PROPERTIES.has(key)) Object.assign(element, { [key]: value });
    else if (value === true) element.setAttribute(key, '');
    else if (value !== false) element.setAttribute(key, String(value));
  }
}

/**
 * @param {Element} element
 * @param {Child[]} children
 */
function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/**
 * A button with words, or with a sign and words for those who cannot see it.
 *
 * @param {string} label
 * @param {(event: MouseEvent) => void} click
 * @param {Record<string, any>} [props]
 */
export function button(label, click, props = {}) {
  return h('button', { type: 'button', text: label, on: { click }, ...props });
}

/**
 * A labelled drop-down list.
 *
 * @param {string} label
 * @param {[string, string][]} options  value and words
 * @param {string} value
 * @param {(value: string) => void} change
 */
export function select(label, options, value, change) {
  const list = h(
    'select',
    {
      'aria-label': label,
      on: { change: (/** @type {Event} */ event) => change(valueOf(event)) },
    },
    ...options.map(([key, words]) =>
      h('option', { value: key, text: words, selected: key === value }),
    ),
  );
  return h('label', { class: 'field' }, h('span', { text: label }), list);
}

/**
 * A row of buttons of which one is pressed.
 *
 * @param {string} label
 * @param {[string, string][]} options
 * @param {string} value
 * @param {(value: string) => void} change
 */
export function choice(label, options, value, change) {
  return h(
    'div',
    { class: 'choice', role: 'group', 'aria-label': label },
    h('span', { class: 'choice-label', text: label, 'aria-hidden': 'true' }),
    h(
      'div',
      { class: 'choice-row' },
      ...options.map(([key, words]) =>
        button(words, () => change(key), { 'aria-pressed': String(key === value), data: { key } }),
      ),
    ),
  );
}

/**
 * A whole number with buttons to step it.
 *
 * @param {string} label
 * @param {number} value
 * @param {[number, number]} range
 * @param {(value: number) => void} change
 */
export function stepper(label, value, [low, high], change) {
  const step = (/** @type {number} */ by) => change(Math.max(low, Math.min(high, value + by)));
  return h(
    'div',
    { class: 'choice', role: 'group', 'aria-label': label },
    h('span', { class: 'choice-label', text: label, 'aria-hidden': 'true' }),
    h(
      'div',
      { class: 'choice-row' },
      button('−', () => step(-1), { 'aria-label': `${label}: less`, disabled: value <= low }),
      h('output', { text: value, 'aria-label': label }),
      button('+', () => step(1), { 'aria-label': `${label}: more`, disabled: value >= high }),
    ),
  );
}

/** @param {Event} event */
export function valueOf(event) {
  return /** @type {HTMLInputElement} */ (event.target).value;
}

/**
 * Put new children in the place of the old ones; the keyboard's focus stays on the control of the
 * same name.
 *
 * @param {Element} element
 * @param {...Child} children
 */
export function replace(element, ...children) {
  const focused = document.activeElement;
  const name = focused && element.contains(focused) ? nameOf(focused) : null;
  element.replaceChildren();
  append(element, children);
  if (!name) return;
  for (const one of element.querySelectorAll('button, select, input, textarea, [tabindex]')) {
    if (nameOf(one) === name) {
      /** @type {HTMLElement} */ (one).focus({ preventScroll: true });
      return;
    }
  }
}

/** @param {Element} element */
function nameOf(element) {
  const group = element.closest('[role=group], label')?.getAttribute('aria-label') ?? '';
  const label = element.getAttribute('aria-label') ?? element.getAttribute('data-key');
  const words = element.closest('label')?.firstChild?.textContent;
  return `${element.tagName} ${group} ${label ?? words ?? element.textContent}`;
}

/** Say something to people who use a screen reader. @param {string} words */
export function announce(words) {
  const region = document.getElementById('live');
  if (region && region.textContent !== words) region.textContent = words;
}

/** Whether the system asks for little movement. */
export function isCalm() {
  return matchMedia('(prefers-reduced-motion: reduce)').matches;
}

/**
 * Let `element` grow from where `from` was.
 *
 * @param {DOMRect} from
 * @param {Element} element
 */
export function growFrom(from, element) {
  const to = element.getBoundingClientRect();
  if (isCalm() || !to.width || !from.width) return;
  element.animate(
    [
      {
        transformOrigin: '0 0',
        transform: `translate(${from.left - to.left}px, ${from.top - to.top}px) scale(${from.width / to.width}, ${from.height / to.height})`,
      },
      { transformOrigin: '0 0', transform: 'none' },
    ],
    { duration: 280, easing: 'cubic-bezier(.2, .7, .2, 1)' },
  );
}
