/** The short paragraph of each view: what one sees, the formula, and where it was published. */

import { h } from './dom.js';

/** @typedef {{title: string, words: string, formula: string, source: string}} Text */

/** @type {Record<string, Text>} */
const TEXTS = {
  look: {
    title: 'How a picture becomes an answer',
    words:
      'Each column is a layer; each picture in it is a map. A convolution slides one small window of weights over the maps before it: the same weights everywhere, so a map says where its one pattern is. Pooling makes maps smaller and lets a pattern move a little. The last layers weigh all of it. Open a layer, then a unit, to see every product.',
    formula: 'y(m, r, c) = f( bₘ + Σᵢ Σᵤ Σᵥ w(m, i, u, v) · x(i, r·s + u, c·s + v) )',
    source:
      'LeCun, Bottou, Bengio & Haffner 1998, section II-A and II-B · Krizhevsky, Sutskever & Hinton 2012, section 3',
  },
  pooling: {
    title: 'What pooling keeps and what it throws away',
    words:
      'Every window becomes one number. Max keeps the strongest answer, and its whole gradient goes to that one winner; average keeps the mean and shares the gradient; L2 lies between; LeNet’s subsampling is a sum with a trained coefficient and bias. Windows that overlap (size 3, stride 2) see more of their neighbours. Padding is −∞ for max, and does not count in the mean. What no window reaches is thrown away.',
    formula: 'out = ⌊(in + padding − size) / stride⌋ + 1',
    source:
      'LeCun 1998, section II-B (subsampling) · Krizhevsky 2012, section 3.4 (overlapping max pooling: 0.4 % fewer errors)',
  },
  padding: {
    title: 'What stands at the border',
    words:
      'A window needs neighbours that the edge does not have. Valid takes only whole windows, so maps shrink. Same adds just enough that out = ⌈in / stride⌉; full lets every overlap count. The border may be zeros (an edge that was never in the picture), the picture mirrored, its last pixel repeated, or its other side. Hatched cells were made up: see which outputs depend on them.',
    formula: 'out = ⌊(in + before + after − kernel) / stride⌋ + 1',
    source:
      'LeCun 1998, section II-B pads 28 × 28 digits to 32 × 32 and then uses none · Krizhevsky 2012, section 3.5: conv3 to conv5 stay at 13 × 13, as their program pads by 1',
  },
  mistakes: {
    title: 'Where it is wrong',
    words:
      'A row is what the picture is, a column what the network said. The diagonal is right. Choose a cell to see its pictures, worst first, and one of them to look inside. The curve beside it says whether the network knows when it guesses: of all answers given with 80 % confidence, 80 % should be right.',
    formula: 'loss = −ln p(true class)',
    source:
      'LeCun 1998: LeNet-5 got 0.95 % of the test digits wrong, 0.8 % with 540,000 distorted ones added to its training',
  },
  training: {
    title: 'How it learned',
    words:
      'Each epoch shows the network every training picture once, and moves each weight a little against its gradient. Where the loss of the validation pictures stops falling while that of the training pictures goes on, it begins to learn them by heart. A training that you start here is the same as convscope train in the terminal.',
    formula: 'w ← w − η · ∂loss/∂w',
    source:
      'LeCun 1998, section III-B (20 passes, falling step sizes) · Krizhevsky 2012, section 5 (momentum 0.9, decay 5·10⁻⁴)',
  },
  whatif: {
    title: 'What would happen if',
    words:
      'Switch maps off and see which answers they carry: a map that changes nothing is spare. Or exchange pooling, padding or activation and keep the weights: how far the answers fall shows how much the weights rely on it. Trained anew, a network often recovers.',
    formula: 'effect = score(as it is) − score(changed)',
    source:
      'Zeiler & Fergus 2014, section 5.1 (layers taken out) · Krizhevsky 2012, section 4.2 (dropout: switching off at random)',
  },
  anatomy: {
    title: 'What each layer costs and sees',
    words:
      'Few weights, many uses: a convolution’s weights are shared by all places, so that its multiply-adds outnumber its parameters by far; the dense layers are the other way round. The receptive field is the part of the picture that one unit can depend on. Choose a layer to see it on the picture.',
    formula: 'fieldₗ = fieldₗ₋₁ + (kernelₗ − 1) · jumpₗ₋₁ ,  jumpₗ = jumpₗ₋₁ · strideₗ',
    source:
      'LeCun 1998, section II-B: LeNet-5 has 60,000 parameters and 340,908 connections · Krizhevsky 2012, section 3.5: AlexNet in two columns has 60,965,224',
  },
};

/** @param {keyof typeof TEXTS} view */
export function explanation(view) {
  const { title, words, formula, source } = TEXTS[view];
  return h(
    'section',
    { class: 'explanation', 'aria-label': title },
    h('h2', { text: title }),
    h('p', { text: words }),
    h('p', { class: 'big-formula', text: formula }),
    h('p', { class: 'quiet', text: source }),
  );
}
