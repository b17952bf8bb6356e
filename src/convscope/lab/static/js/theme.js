/** Light or dark: what the system says, until someone switches. */

const KEY = 'convscope-theme';
/** @type {Set<() => void>} */
const listeners = new Set();
const system = matchMedia('(prefers-color-scheme: dark)');

/** @returns {import('./colours.js').Theme} */
export function theme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === 'light' || chosen === 'dark') return chosen;
  return system.matches ? 'dark' : 'light';
}

export function switchTheme() {
  const next = theme() === 'dark' ? 'light' : 'dark';
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    /* a browser without storage forgets the choice */
  }
  for (const listener of listeners) listener();
}

/** @param {() => void} listener */
export function onTheme(listener) {
  listeners.add(listener);
}

export function startTheme() {
  try {
    const chosen = localStorage.getItem(KEY);
    if (chosen) document.documentElement.dataset.theme = chosen;
  } catch {
    /* as above */
  }
  system.addEventListener('change', () => {
    for (const listener of listeners) listener();
  });
}
