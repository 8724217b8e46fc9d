/** Models whose layers don't all have keys and values, or don't attend to all keys, in a whole engine. Everything but sockets and processes is real. */
import { expect } from 'chai';
import type { EngineStats } from '../../../lib/head/engine.js';
import {
  startLocalEngine,
  type Fault,
  type LocalEngine,
  type LocalEngineOptions,
} from '../../kit/engine/local_engine.js';
import { replicated } from '../../kit/engine/placements.js';
import { watchLogits } from '../../kit/engine/watched_logits.js';
import { readConformance, writeConformanceModel } from '../../kit/model/conformance.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const BLOCK_SIZE = 4;
const NUM_NEW = 13;
const TURNS = [9, 6, 3];

interface Outcome {
  /** [conversation][turn] */
  readonly tokenIds: readonly (readonly (readonly number[])[])[];
  readonly numCached: readonly (readonly number[])[];
  /** Of all rows that were asked for, in any order. */
  readonly bits: readonly string[];
  readonly stats: EngineStats;
  readonly local: LocalEngine;
}

async function converse({ engine }: LocalEngine, said: readonly number[]) {
  const [answers, numCached]: [number[][], number[]] = [[], []];
  let prompt: number[] = [];
  for (const [i, numSaid] of TURNS.entries()) {
    prompt = [...prompt, ...said.slice(i, i + numSaid)];
    const answer: number[] = [];
    for await (const event of engine.generate({ promptTokenIds: prompt, maxNewTokens: NUM_NEW, ignoreEos: true })) {
      if (event.kind === 'token') answer.push(event.tokenId);
      if (event.kind === 'finished') numCached.push(event.numCachedTokens);
    }
    answers.push(answer);
    prompt = [...prompt, ...answer];
  }
  return { answers, numCached };
}

const MODELS = [
  { family: 'lfm2_moe', variant: 'base', hasStates: true },
  { family: 'qwen3_next', variant: 'base', hasStates: true },
  { family: 'deepseek_v32', variant: 'index_topk: 8', hasStates: false },
  { family: 'glm_moe_dsa', variant: 'shared indexers that choose', hasStates: false },
] as const;

describe('models with states and indexers', function () {
  this.timeout(120_000);

  for (const { family, variant, hasStates } of MODELS) {
    describe(family, () => {
      const { tokens, cases } = readConformance(family);
      const model = cases.find(({ name }) => name === variant)!;

      /** Conversations that begin alike, and go on at once. */
      const outcomeOf = (options: Partial<LocalEngineOptions>, numConversations = 4): Promise<Outcome> =>
        withTempFolder(async (dir) => {
          await writeConformanceModel(dir, model, new Map());
          const set = [`engine.block_size=${BLOCK_SIZE}`, 'compute=kernels', ...(options.set ?? [])];
          const local = await startLocalEngine(dir, { numRanks: 1, ...options, set });
          try {
            const watched = watchLogits(local);
            const starts = Array.from({ length: numConversations }, (_, i) => tokens.slice(2 * (i % 3)));
            const all = await Promise.all(starts.map((start) => converse(local, start)));
            const bits = [...new Set([...watched.values()].map((row) => row.toString('base64')))].sort();
            expect(local.engine.load.ranks.every(({ numUsedBlocks }) => numUsedBlocks === 0)).to.equal(true);
            const stats = local.engine.stats();
            expect(local.engine.resetPrefixCache()).to.equal(true);
            return {
              ...{ bits, stats, local },
              tokenIds: all.map(({ answers }) => answers),
              numCached: all.map(({ numCached }) => numCached),
            };
          } finally {
            await local.close();
          }
        });
      let alone: Outcome;

      const expectSame = ({ tokenIds, bits }: Outcome): void => {
        expect(tokenIds).to.deep.equal(alone.tokenIds);
        expect(bits).to.deep.equal(alone.bits);
      };

      before(async () => {
        alone = await outcomeOf({ set: ['engine.prefix_cache=off'] });
        expect(alone.stats).to.include({ numSharedTokens: 0, numPreempted: 0 });
      });

      it('a turn of a conversation begins where the one before ended, with the same bits', async () => {
        const one = await outcomeOf({}, 1);
        expect(one.tokenIds[0]).to.deep.equal(alone.tokenIds[0]);
        const blocksOf = (numTokens: number): number => BLOCK_SIZE * Math.floor(numTokens / BLOCK_SIZE);
        expect(one.numCached[0]).to.deep.equal([0, blocksOf(9 + NUM_NEW - 1), blocksOf(9 + 6 + 2 * NUM_NEW - 1)]);
      });

      it('chunks of prompts, ranks and memories change no bit, and prefixes are found', async () => {
        for (const options of [
          { set: ['engine.max_num_batched_tokens=5', 'engine.max_num_seqs=4'] },
          { numRanks: 3 },
          { numMemories: 2, numRanks: 2 },
        ]) {
          const outcome = await outcomeOf(options);
          expectSame(outcome);
          expect(outcome.stats.numPrefixHits).to.be.above(0);
        }
      });

      it('blocks and states so few that both are evicted and sequences give way change no bit', async () => {
        const few = ['engine.num_kv_blocks=16', 'engine.max_num_seqs=4', 'engine.max_num_batched_tokens=11'];
        for (const states of ['engine.kept_states=0', 'engine.kept_states=2']) {
          const outcome = await outcomeOf({ set: [...few, states, 'engine.state_interval=8'] });
          expectSame(outcome);
          expect(outcome.stats.numPreempted).to.be.above(0);
        }
      });

      it('a lost rank sends sequences back, those with states to the last of them, with the same bits', async () => {
        const fault: Fault = { rank: 2, at: { kind: 'before_result', step: 9 } };
        const outcome = await outcomeOf({ numRanks: 3, placement: replicated(2), faults: [fault] });
        expectSame(outcome);
        expect(outcome.local.losses).to.have.length(1);
        const { numRecomputed } = outcome.local.losses[0]!;
        if (hasStates) expect(numRecomputed, 'those of the other ranks too').to.equal(4);
        else expect(numRecomputed, 'its own').to.be.within(1, 3);
        expect(outcome.stats.numSharedTokens, 'they go on from their own blocks').to.be.above(0);
      });
    });
  }
});
