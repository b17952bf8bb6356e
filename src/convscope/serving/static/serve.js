// A picture in, its classes out. Names come from the model, which may be a stranger's: they are
// shown as text alone, with hidden characters spelled out.

/**
 * @template {Element} T
 * @param {string} id
 * @param {new (...args: never[]) => T} kind
 * @returns {T}
 */
function part(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`no ${id} in the page`);
  return found;
}

const drop = part('drop', HTMLElement);
const picture = part('picture', HTMLImageElement);
const hint = part('hint', HTMLElement);
const file = part('file', HTMLInputElement);
const message = part('message', HTMLElement);
const list = part('guesses', HTMLElement);

let latest = 0;

/** @param {string} text */
function printable(text) {
  return text.replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** @param {Blob} blob */
async function classify(blob) {
  const mine = ++latest;
  show(blob);
  say('…');
  list.replaceChildren();
  const started = performance.now();
  const kind = blob.type.startsWith('image/') ? blob.type : 'image/x-unknown';
  try {
    const answer = await fetch('/predict?top=5', {
      method: 'POST',
      body: blob,
      headers: { 'Content-Type': kind },
    });
    const found = await answer.json();
    if (mine !== latest) return;
    if (!answer.ok) {
      say(printable(String(found.error)), true);
      return;
    }
    say(`${Math.round(performance.now() - started)} ms`);
    list.replaceChildren(...found.guesses.map(line));
  } catch {
    if (mine === latest) say('The server does not answer.', true);
  }
}

/** @param {{name: string, probability: number}} guess */
function line(guess) {
  const item = document.createElement('li');
  const name = document.createElement('bdi');
  name.className = 'name';
  name.textContent = printable(guess.name);
  const share = document.createElement('span');
  share.textContent = percent(guess.probability);
  const bar = document.createElement('div');
  bar.className = 'bar';
  const filled = document.createElement('i');
  filled.style.width = `${100 * guess.probability}%`;
  bar.append(filled);
  item.append(name, share, bar);
  return item;
}

/** @param {number} share */
function percent(share) {
  if (share > 0.999 && share < 1) return '> 99.9 %';
  if (share > 0 && share < 0.001) return '< 0.1 %';
  return `${(100 * share).toFixed(1)} %`;
}

/** @param {Blob} blob */
function show(blob) {
  if (picture.src) URL.revokeObjectURL(picture.src);
  picture.hidden = true;
  picture.src = URL.createObjectURL(blob);
}

/**
 * @param {string} text
 * @param {boolean} [wrong]
 */
function say(text, wrong = false) {
  message.textContent = text;
  message.className = wrong ? 'error' : 'quiet';
}

picture.addEventListener('load', () => {
  picture.hidden = false;
  hint.hidden = true;
});

file.addEventListener('change', () => {
  const chosen = file.files?.[0];
  if (chosen) classify(chosen);
  file.value = '';
});

part('example', HTMLButtonElement).addEventListener('click', async () => {
  const answer = await fetch('/example.png');
  if (answer.ok) await classify(await answer.blob());
});

for (const name of ['dragenter', 'dragover']) {
  addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add('over');
  });
}

addEventListener('dragleave', (event) => {
  if (event.relatedTarget === null) drop.classList.remove('over');
});

addEventListener('drop', (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  const dropped = event.dataTransfer?.files[0];
  if (dropped) classify(dropped);
});

addEventListener('paste', (event) => {
  const pasted = event.clipboardData?.files[0];
  if (pasted) classify(pasted);
});
