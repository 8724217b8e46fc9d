/** Checkpoints with fewer experts, as transformers reads them. */
import { expect } from 'chai';
import { join } from 'node:path';
import type { Compute } from '../../../lib/model/weights/residence.js';
import { scoreIds } from '../../kit/engine/engines.js';
import { startLocalEngine } from '../../kit/engine/local_engine.js';
import { PRUNED_MODELS, prunedName, readPrunedGolden, writePrunedModel } from '../../kit/model/pruned_models.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const TOLERANCE = 1e-4;

describe('a pruned checkpoint in transformers', function () {
  this.timeout(60_000);

  const { tokens, logits } = readPrunedGolden();
  for (const [name, isMerged] of PRUNED_MODELS) {
    it(`${prunedName(name, isMerged)} has the same logits there, within ${TOLERANCE} of the largest`, async () => {
      const expected = logits[prunedName(name, isMerged)]!.flat();
      const size = Math.max(1, ...expected.map(Math.abs));
      await withTempFolder(async (parent) => {
        const dir = join(parent, 'pruned');
        await writePrunedModel(name, isMerged, dir);
        for (const compute of ['kernels', 'tensors'] satisfies Compute[]) {
          const local = await startLocalEngine(dir, { numRanks: 2, set: [`compute=${compute}`] });
          const { logits: actual } = await scoreIds(local.engine, tokens).finally(() => local.close());
          expect(actual).to.have.length(expected.length);
          const error = Math.max(...expected.map((value, i) => Math.abs(value - actual[i]!))) / size;
          expect(error, compute).to.be.lessThan(TOLERANCE);
        }
      });
    });
  }
});
