import { expect } from 'chai';
import type { SequenceStart } from '../../../lib/protocol/step_plan.js';
import { outputPart, promptPart, startLocalJob, startOf } from '../../kit/engine/local_job.js';
import { tinyModel } from '../../kit/paths.js';

const PROMPT = [5, 17, 3, 40, 8, 21, 9];

/** Wants its tokens alone: no logits are copied for it. */
const quiet: SequenceStart = {
  ...startOf(0),
  wants: { routedExperts: false, logprobs: null, promptLogprobs: null, logits: false },
};

describe('a job of one rank', () => {
  for (const name of ['tiny-deepseek-v3', 'tiny-qwen3-moe'])
    it(`copies choices and no rows, of a prompt and of a token: ${name}`, async () => {
      const job = await startLocalJob(tinyModel(name), { numRanks: 1 });
      const [executor] = job.executors;
      const { layers, moe } = job.spec;
      const numMoe = layers.filter(({ kind }) => kind === 'moe').length;
      // Their experts and weights.
      const bytesOf = (numTokens: number): number => numTokens * numMoe * moe.gate.numTopk * 8;
      const start = executor!.stats();
      await job.step([[promptPart(0, PROMPT)]], [[quiet]]);
      const middle = executor!.stats();
      expect(middle.copiedBytes - start.copiedBytes).to.equal(bytesOf(PROMPT.length));
      await job.step([[outputPart(0, 11, PROMPT.length)]]);
      const end = executor!.stats();
      expect(end.copiedBytes - middle.copiedBytes).to.equal(bytesOf(1));
      expect(end.numCopies - middle.numCopies, 'one a layer').to.equal(numMoe);
      await job.close();
    });
});
