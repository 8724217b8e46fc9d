// Writes the tiny checkpoints with half of their experts, after a build: node pruned.mjs FOLDER
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { PRUNED_MODELS, prunedName, writePrunedModel } from '../../dist/test/kit/model/pruned_models.js';

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
for (const [name, isMerged] of PRUNED_MODELS)
  await writePrunedModel(name, isMerged, join(folder, prunedName(name, isMerged)));
