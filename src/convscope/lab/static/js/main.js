/** The lab's page: its seven views. */

import { AnatomyView } from './anatomy.js';
import { LookInside } from './look.js';
import { MistakesView } from './mistakes.js';
import { PaddingBench } from './padding-bench.js';
import { startPage } from './page.js';
import { PoolingBench } from './pooling-bench.js';
import { TrainingView } from './training.js';
import { WhatIfView } from './what-if.js';
import { Why } from './why.js';

startPage([
  ['look', 'Look inside', () => new LookInside(new Why())],
  ['pooling', 'Pooling', () => new PoolingBench()],
  ['padding', 'Padding', () => new PaddingBench()],
  ['mistakes', 'Mistakes', () => new MistakesView()],
  ['training', 'Training', () => new TrainingView()],
  ['whatif', 'What if', () => new WhatIfView()],
  ['anatomy', 'Anatomy', () => new AnatomyView()],
]);
