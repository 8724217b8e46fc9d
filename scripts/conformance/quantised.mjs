// Writes quantised checkpoints of random weights, after a build: node quantised.mjs FOLDER
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { QUANTISED_MODELS, writeQuantisedModel } from '../../dist/test/kit/model/quantised_models.js';

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
for (const model of QUANTISED_MODELS)
  if (model.isInTransformers) await writeQuantisedModel(model, join(folder, model.name));
