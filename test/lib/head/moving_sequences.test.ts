/** Sequences that go on on another rank, in a whole engine. Everything but sockets and processes is real. */
import { expect } from 'chai';
import { ExpertError } from '../../../compute/base/errors.js';
import type { EngineStats } from '../../../lib/head/engine.js';
import type { ObservedStep } from '../../../lib/head/observing/step_observer.js';
import type { RequestNews } from '../../../lib/head/observing/request_news.js';
import { LAYER, lostOf, PROMPT } from '../../kit/engine/masking.js';
import {
  startLocalEngine,
  type Fault,
  type LocalEngine,
  type LocalEngineOptions,
} from '../../kit/engine/local_engine.js';
import { replicated } from '../../kit/engine/placements.js';
import { watchLogits } from '../../kit/engine/watched_logits.js';
import { readConformance, writeConformanceModel } from '../../kit/model/conformance.js';
import { tinyModel } from '../../kit/paths.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const NUM_NEW = 24;
/** Before this step rank 1 begins to leave. */
const LEAVES_AT = 8;
const MODEL = 'tiny-deepseek-v3';

type Moved = Extract<RequestNews, { kind: 'moved' }>;

interface Outcome {
  /** By prompt. */
  readonly tokenIds: readonly (readonly number[])[];
  /** Of every row that was asked for, each once. */
  readonly bits: readonly string[];
  readonly moved: readonly Moved[];
  readonly stats: EngineStats;
  /** Steps of each sequence that computed tokens of it, by sequence. */
  readonly stepsOf: ReadonlyMap<number, readonly number[]>;
  /** Tokens that were computed twice. */
  readonly numReplayed: number;
  /** Of ranks, in the order in which they went. */
  readonly left: readonly number[];
  readonly local: LocalEngine;
}

interface Scene extends Partial<LocalEngineOptions> {
  /** What goes wrong. */
  readonly spoil?: (local: LocalEngine) => void;
  /** Default: rank 1. */
  readonly leaving?: readonly number[];
  readonly prompts?: readonly (readonly number[])[];
}

/** Greedy sequences and sampled ones, whose penalties see the whole history. */
async function generate({ engine }: LocalEngine, promptTokenIds: readonly number[], index: number): Promise<number[]> {
  const sampling = index % 2 === 1 && {
    sampling: { temperature: 1.5, repetitionPenalty: 1.3, seed: 11, choice: index },
  };
  const tokenIds: number[] = [];
  for await (const event of engine.generate({ promptTokenIds, maxNewTokens: NUM_NEW, ignoreEos: true, ...sampling })) {
    if (event.kind === 'token') tokenIds.push(event.tokenId);
  }
  return tokenIds;
}

const PROMPTS = [PROMPT, PROMPT.slice(0, 7), PROMPT.slice(3, 20), PROMPT.slice(5, 9), PROMPT.slice(2, 15)];

async function outcomeOf(
  modelDir: string,
  { leaving = [1], prompts = PROMPTS, spoil, ...options }: Scene,
): Promise<Outcome> {
  const placement = replicated(options.numRanks ?? 3);
  const local = await startLocalEngine(modelDir, { numRanks: 3, placement, ...options });
  try {
    const { engine, job } = local;
    const watched = watchLogits(local);
    spoil?.(local);
    const moved: Moved[] = [];
    const stepsOf = new Map<number, number[]>();
    const left: number[] = [];
    let numReplayed = 0;
    const isIdle = (rank: number): boolean =>
      engine.load.ranks.some((use) => use.rank === rank && use.numRunning === 0);
    engine.watch({
      step: ({ step, plans }: ObservedStep) => {
        for (const { sequence, isReplay, tokenIds } of plans.flatMap(({ parts }) => parts)) {
          stepsOf.set(sequence, [...(stepsOf.get(sequence) ?? []), step]);
          if (isReplay) numReplayed += tokenIds.length;
        }
        for (const rank of leaving) {
          if (step === LEAVES_AT) void job.setLeaving(rank, true);
          if (step <= LEAVES_AT || left.includes(rank) || !isIdle(rank)) continue;
          left.push(rank);
          void job.retire(rank);
        }
      },
      request: (news) => {
        if (news.kind === 'moved') moved.push(news);
      },
    });
    const tokenIds = await Promise.all(prompts.map((prompt, i) => generate(local, prompt, i)));
    expect(engine.load.ranks.every(({ numUsedBlocks }) => numUsedBlocks === 0)).to.equal(true);
    const bits = [...new Set([...watched.values()].map((row) => row.toString('base64')))].sort();
    return { tokenIds, bits, moved, stats: engine.stats(), stepsOf, numReplayed, left, local };
  } finally {
    await local.close();
  }
}

/** The longest time in steps from one token of a sequence to the next. */
const longestPause = ({ stepsOf }: Outcome): number =>
  Math.max(...[...stepsOf.values()].flatMap((steps) => steps.slice(1).map((step, i) => step - steps[i]!)));

function expectSame(outcome: Outcome, alone: Outcome): void {
  expect(outcome.tokenIds).to.deep.equal(alone.tokenIds);
  expect(outcome.bits).to.deep.equal(alone.bits);
}

describe('sequences of a rank that leaves', function () {
  this.timeout(120_000);
  const blocks = 'engine.block_size=4';

  for (const compute of ['kernels', 'tensors']) {
    for (const mla of ['absorbed', 'auto'] as const) {
      it(`go on elsewhere with the same bits, none of their tokens computed twice, a step later at most: ${compute}, mla ${mla}`, async () => {
        const set = [blocks, `compute=${compute}`];
        const alone = await outcomeOf(tinyModel(MODEL), { leaving: [], mla, set });
        const outcome = await outcomeOf(tinyModel(MODEL), { mla, set });
        expectSame(outcome, alone);
        expect(outcome.left).to.deep.equal([1]);
        expect(outcome.moved.map(({ from }) => from)).to.deep.equal([1, 1]);
        expect(outcome.stats).to.include({ numMoved: 2, numPreempted: 0 });
        expect(outcome.stats.numMovedTokens).to.be.above(2 * 8);
        expect(outcome.numReplayed).to.equal(0);
        expect(longestPause(outcome)).to.equal(2);
      });
    }
  }

  it('go on elsewhere with the same bits where keys and values are int8', async () => {
    const set = [blocks, 'engine.kv_dtype=int8'];
    for (const model of [MODEL, 'tiny-qwen3-moe']) {
      const alone = await outcomeOf(tinyModel(model), { leaving: [], set });
      const outcome = await outcomeOf(tinyModel(model), { set });
      expectSame(outcome, alone);
      expect(outcome.stats).to.include({ numMoved: 2, numPreempted: 0 });
      expect(outcome.numReplayed).to.equal(0);
    }
  });

  it('pay few bytes per step, for longer, and pause no longer', async () => {
    const set = [blocks, 'load_balance.bytes_per_step=1'];
    const alone = await outcomeOf(tinyModel(MODEL), { leaving: [], set });
    const outcome = await outcomeOf(tinyModel(MODEL), { set });
    expectSame(outcome, alone);
    expect([outcome.left, outcome.numReplayed, longestPause(outcome)]).to.deep.equal([[1], 0, 2]);
  });

  it('go on even where their prompt is being computed, and where all ranks but one leave', async () => {
    const set = [blocks, 'engine.max_num_batched_tokens=4', 'engine.max_num_seqs=4'];
    const prompts = [...PROMPTS.slice(0, 3), [...PROMPT, ...PROMPT, ...PROMPT]];
    const alone = await outcomeOf(tinyModel(MODEL), { leaving: [], prompts, set });
    const outcome = await outcomeOf(tinyModel(MODEL), { leaving: [1, 2], prompts, set });
    expectSame(outcome, alone);
    expect([...outcome.left].sort()).to.deep.equal([1, 2]);
    expect(outcome.moved.length).to.be.above(1);
    expect(outcome.numReplayed).to.equal(0);
  });

  it('whose old or new rank is lost meanwhile are computed anew, with the same bits', async () => {
    const set = [blocks, 'load_balance.bytes_per_step=1'];
    const alone = await outcomeOf(tinyModel(MODEL), { leaving: [], set });
    for (const rank of [0, 1, 2]) {
      for (const step of [LEAVES_AT + 1, LEAVES_AT + 4]) {
        const faults: Fault[] = [{ rank, at: { kind: 'frame', step, layer: LAYER, phase: 'dispatch', numSent: 1 } }];
        const outcome = await outcomeOf(tinyModel(MODEL), { faults, set });
        expectSame(outcome, alone);
        expect(lostOf(outcome.local)).to.deep.equal([[rank]]);
      }
    }
  });

  it('that find no memory there, or can’t be read here, are computed anew, and no token comes twice', async () => {
    const set = [blocks];
    const alone = await outcomeOf(tinyModel(MODEL), { leaving: [], set });
    const noRoom = ({ models }: LocalEngine): void => {
      for (const rank of [0, 2]) {
        models[rank]!.cache.write = () => {
          throw new ExpertError('OUT_OF_MEMORY', 'no room for a block');
        };
      }
    };
    const unreadable = ({ models }: LocalEngine): void => {
      models[1]!.cache.read = () => Promise.reject(new Error('the GPU is gone'));
    };
    for (const spoil of [noRoom, unreadable]) {
      const outcome = await outcomeOf(tinyModel(MODEL), { set, spoil });
      expectSame(outcome, alone);
      expect(outcome.left).to.deep.equal([1]);
      expect(outcome.stats).to.include({ numMoved: 0, numPreempted: 2 });
      expect(outcome.numReplayed).to.be.above(0);
    }
  });

  for (const { family, variant } of [
    { family: 'lfm2_moe', variant: 'base' },
    { family: 'qwen3_next', variant: 'base' },
    { family: 'deepseek_v32', variant: 'index_topk: 8' },
  ]) {
    it(`take what layers know of earlier tokens along: ${family}`, () =>
      withTempFolder(async (dir) => {
        const { tokens, cases } = readConformance(family);
        await writeConformanceModel(
          dir,
          cases.find(({ name }) => name === variant)!,
          new Map(),
        );
        const prompts = [0, 1, 2, 3].map((start) => tokens.slice(start, start + 9 + 3 * start));
        const set = [blocks, 'compute=kernels', 'engine.state_interval=8'];
        const alone = await outcomeOf(dir, { leaving: [], prompts, set });
        for (const numMemories of [1, 2]) {
          const outcome = await outcomeOf(dir, { prompts, set, numMemories });
          expectSame(outcome, alone);
          expect(outcome.left).to.deep.equal([1]);
          expect(outcome.stats.numMovedTokens).to.be.above(8);
          expect(outcome.numReplayed, 'behind the last state that was kept').to.be.below(2 * 4);
        }
      }));
  }
});
