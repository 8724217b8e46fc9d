/** Requests that go on in another instance: two whole engines, of which everything but sockets and processes is real. */
import { expect } from 'chai';
import { PROMPT } from '../../../kit/engine/masking.js';
import { pausedWith, TwoEngines } from '../../../kit/engine/two_engines.js';
import { tinyModel } from '../../../kit/paths.js';

const NUM_NEW = 8;

const GREEDY = { promptTokenIds: PROMPT.slice(0, 13), maxNewTokens: NUM_NEW, ignoreEos: true };
const SAMPLED = { ...GREEDY, sampling: { temperature: 1.5, repetitionPenalty: 1.3, seed: 11 } };

const set = (blockSize: number, ...others: string[]): { set: string[] } => ({
  set: [`engine.block_size=${blockSize}`, ...others],
});

const SCENES = [
  { model: 'tiny-qwen3-moe', from: 1, to: 2, blocks: [4, 8] },
  { model: 'tiny-qwen3-moe', from: 2, to: 1, blocks: [8, 3] },
  { model: 'tiny-deepseek-v3', from: 1, to: 2, blocks: [8, 4] },
  { model: 'tiny-deepseek-v3', from: 2, to: 1, blocks: [4, 16] },
] as const;

describe('a request that goes on in another instance', () => {
  for (const { model, from, to, blocks } of SCENES) {
    it(`has the tokens of one, whenever it moves: ${model}, ${from} to ${to} ranks`, async () => {
      const engines = [
        { numRanks: from, ...set(blocks[0], 'engine.prefix_cache=off') },
        { numRanks: to, ...set(blocks[1], 'engine.prefix_cache=off') },
      ] as const;
      await TwoEngines.use(tinyModel(model), engines, async (two) => {
        for (const request of [GREEDY, SAMPLED]) {
          const expected = await two.alone(request);
          for (let at = 0; at < NUM_NEW; at++) {
            const before = two.to.engine.stats();
            const { tokenIds, numTold, numResumed, end } = await two.move(request, pausedWith(at));
            expect({ tokenIds, numTold, numResumed, end }).to.deep.equal({
              ...{ tokenIds: expected, numTold: at, numResumed: at, end: 'moved' },
            });
            const numRows = at === 0 ? 0 : PROMPT.slice(0, 13).length + at - 1;
            const { numArrivedTokens } = two.to.engine.stats();
            expect(numArrivedTokens - before.numArrivedTokens, 'rows that were read').to.equal(numRows);
            two.checkEmpty();
          }
        }
      });
    });
  }
});
