/** The page of a snapshot: the views that need no server. */

import { AnatomyView } from '../anatomy.js';
import { LookInside } from '../look.js';
import { startPage } from '../page.js';

startPage([
  ['look', 'Look inside', () => new LookInside(null)],
  ['anatomy', 'Anatomy', () => new AnatomyView()],
]);
