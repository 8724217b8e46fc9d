/** What a rank reads of a checkpoint, whatever the format: its own experts' bytes and the dense part's, each once. */
import { expect } from 'chai';
import { GOLDEN_MODELS } from '../../contracts/golden_contract.js';
import { startLocalJob } from '../../kit/engine/local_job.js';
import { tinyModel } from '../../kit/paths.js';
import { holderOf, tensorBytesByRank } from '../../refs/rank_bytes.js';

describe('the bytes that a rank reads', () => {
  for (const name of GOLDEN_MODELS) {
    it(`are those of the tensors and parts of tensors that it holds: ${name}`, async () => {
      const dir = tinyModel(name);
      for (const compute of ['kernels', 'tensors'] as const) {
        for (const numRanks of [1, 2, 4]) {
          const job = await startLocalJob(dir, { numRanks, placement: 'round_robin', residence: { compute } });
          const { numExperts } = job.spec.moe.gate;
          const expected = tensorBytesByRank(dir, numRanks, (expert, rank) =>
            Number(holderOf('round_robin', expert, numExperts, numRanks) === rank),
          );
          expect(job.bytesRead, `${numRanks} ranks, ${compute}`).to.deep.equal(expected);
          await job.close();
        }
      }
    });
  }
});
