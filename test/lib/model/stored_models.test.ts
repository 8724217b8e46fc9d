/** Every format of stored weights decodes as its makers' readers do: transformers ran what numpy made of the same bytes (scripts/conformance/stored_models.py). */
import { expect } from 'chai';
import { promptPart, startLocalJob, startOf } from '../../kit/engine/local_job.js';
import { readStoredModels, writeStoredModel, type StoredModelCase } from '../../kit/model/stored_models.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** Of the largest logit. */
const TOLERANCE = 1e-4;

describe('stored formats, against transformers on their decoded weights', () => {
  const { tokens, positions, cases } = readStoredModels();

  const logitsOf = (golden: StoredModelCase, numRanks: number): Promise<number[]> =>
    withTempFolder(async (dir) => {
      await writeStoredModel(dir, golden);
      const job = await startLocalJob(dir, { numRanks });
      const [outputs] = await job.step([[promptPart(0, tokens)]], [[startOf(0)]]);
      await job.close();
      const logits = outputs![0]!.logits!;
      const width = logits.length / tokens.length;
      return positions.flatMap((position) => [...logits.subarray(position * width, (position + 1) * width)]);
    });

  for (const golden of cases) {
    it(`${golden.name}: logits agree within ${TOLERANCE}`, async () => {
      const expected = golden.logits.flat();
      const size = Math.max(...expected.map(Math.abs));
      for (const numRanks of [1, 2]) {
        const actual = await logitsOf(golden, numRanks);
        const error = Math.max(...expected.map((value, i) => Math.abs(value - actual[i]!)));
        expect(error / size, `${numRanks} ranks`).to.be.below(TOLERANCE);
      }
    });
  }
});
