import { announce, button, h } from './dom.js';

/** A line of code that can be copied. @param {string} code */
export function codeLine(code) {
  return h(
    'p',
    { class: 'code-line' },
    h('code', { text: code }),
    button(
      'Copy',
      async () => {
        try {
          await navigator.clipboard.writeText(code);
          announce('Copied.');
        } catch {
          announce('The browser does not allow copying here.');
        }
      },
      { 'aria-label': `Copy ${code}` },
    ),
  );
}
