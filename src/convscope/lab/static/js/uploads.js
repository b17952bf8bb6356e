/** Pictures from files, from a drop, and from the camera. */

import { button, h } from './dom.js';
import { report } from './session.js';

const MOST_BYTES = 8_000_000;

/**
 * Check a file, look at it, and hand it on; `dark` says that its ink is darker than its paper.
 *
 * @param {Blob} file
 * @param {(file: Blob, picture: ImageBitmap, dark: boolean) => void} use
 */
export async function takeFile(file, use) {
  if (!file.type.startsWith('image/')) {
    report('That file is no picture. Give a PNG, JPEG, BMP, GIF or WebP file.');
    return;
  }
  if (file.size > MOST_BYTES) {
    report('That picture has more than 8 MB. Make it smaller first.');
    return;
  }
  try {
    const picture = await createImageBitmap(file);
    use(file, picture, hasLightBorder(picture));
  } catch {
    report('That picture could not be read. Is the file complete?');
  }
}

/** @param {ImageBitmap} picture */
function hasLightBorder(picture) {
  const side = 32;
  const canvas = new OffscreenCanvas(side, side);
  const context = canvas.getContext('2d');
  if (!context) return false;
  context.drawImage(picture, 0, 0, side, side);
  const { data } = context.getImageData(0, 0, side, side);
  let sum = 0;
  let count = 0;
  for (let i = 0; i < side * side; i += 1) {
    const row = Math.floor(i / side);
    const column = i % side;
    if (row > 1 && row < side - 2 && column > 1 && column < side - 2) continue;
    sum += data[i * 4] + data[i * 4 + 1] + data[i * 4 + 2];
    count += 3;
  }
  return sum / count > 127;
}

/**
 * Let files be dropped on an element.
 *
 * @param {HTMLElement} element
 * @param {(file: Blob) => void} use
 */
export function acceptDrops(element, use) {
  element.addEventListener('dragover', (event) => {
    event.preventDefault();
    element.classList.add('dropping');
  });
  element.addEventListener('dragleave', () => element.classList.remove('dropping'));
  element.addEventListener('drop', (event) => {
    event.preventDefault();
    element.classList.remove('dropping');
    const file = event.dataTransfer?.files[0];
    if (file) use(file);
  });
}

/**
 * Ask for a file.
 *
 * @param {(file: Blob) => void} use
 */
export function chooseFile(use) {
  const input = h('input', {
    type: 'file',
    accept: 'image/*',
    on: {
      change: () => {
        const file = input.files?.[0];
        if (file) use(file);
      },
    },
  });
  input.click();
}

/**
 * Show what the camera sees, and take one square picture of it.
 *
 * @param {(file: Blob) => void} use
 */
export async function openCamera(use) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  } catch {
    report('No camera, or the browser does not allow it for this page.');
    return;
  }
  const video = h('video', { playsinline: true, muted: true, autoplay: true });
  video.srcObject = stream;
  const take = button('Take the picture', () => {
    const side = Math.min(video.videoWidth, video.videoHeight, 512);
    const from = Math.min(video.videoWidth, video.videoHeight);
    const canvas = h('canvas', { width: side, height: side });
    const left = (video.videoWidth - from) / 2;
    const top = (video.videoHeight - from) / 2;
    canvas.getContext('2d')?.drawImage(video, left, top, from, from, 0, 0, side, side);
    canvas.toBlob((blob) => {
      if (blob) use(blob);
      dialog.close();
    }, 'image/png');
  });
  const dialog = h(
    'dialog',
    {
      class: 'camera',
      'aria-label': 'Camera',
      on: {
        close: () => {
          for (const track of stream.getTracks()) track.stop();
          dialog.remove();
        },
      },
    },
    video,
    h(
      'div',
      { class: 'row' },
      take,
      button('Cancel', () => dialog.close()),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}
