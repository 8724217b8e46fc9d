/** Conversations whose turns find what earlier ones left in the cache of their rank. Everything but sockets and processes is real. */
import { expect } from 'chai';
import type { EngineStats } from '../../../lib/head/engine.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import { tinyGolden } from '../../kit/model/goldens.js';
import { startLocalEngine, type LocalEngine, type LocalEngineOptions } from '../../kit/engine/local_engine.js';
import { tinyModel } from '../../kit/paths.js';
import { replicated } from '../../kit/engine/placements.js';
import { errorOf } from '../../kit/rejects.js';
import { watchLogits } from '../../kit/engine/watched_logits.js';

const BLOCK_SIZE = 4;
const NUM_NEW = 13;
const TURNS = [9, 6, 3];

interface Turn {
  readonly promptTokenIds: readonly number[];
  readonly tokenIds: readonly number[];
  readonly numCachedTokens: number;
}

interface Outcome {
  /** Of each conversation. */
  readonly turns: readonly (readonly Turn[])[];
  readonly logits: ReadonlyMap<string, Buffer>;
  readonly stats: EngineStats;
}

async function answer({ engine }: LocalEngine, promptTokenIds: readonly number[]): Promise<Turn> {
  const tokenIds: number[] = [];
  for await (const event of engine.generate({ promptTokenIds, maxNewTokens: NUM_NEW, ignoreEos: true })) {
    if (event.kind === 'token') tokenIds.push(event.tokenId);
    if (event.kind === 'finished') return { promptTokenIds, tokenIds, numCachedTokens: event.numCachedTokens };
  }
  throw new Error('no finished event');
}

/** Each turn's prompt is all that was said before and something new. */
async function converse(local: LocalEngine, said: readonly number[]): Promise<Turn[]> {
  const turns: Turn[] = [];
  let before: number[] = [];
  for (const [i, numNew] of TURNS.entries()) {
    const turn = await answer(local, [...before, ...said.slice(i, i + numNew)]);
    turns.push(turn);
    before = [...turn.promptTokenIds, ...turn.tokenIds];
  }
  return turns;
}

async function outcomeOf(model: string, options: LocalEngineOptions, numConversations = 1): Promise<Outcome> {
  const set = [`engine.block_size=${BLOCK_SIZE}`, ...(options.set ?? [])];
  const local = await startLocalEngine(tinyModel(model), { ...options, set });
  try {
    const watched = watchLogits(local);
    const said = tinyGolden(model).prompt_token_ids;
    const starts = Array.from({ length: numConversations }, (_, i) => said.slice(i));
    const turns = await Promise.all(starts.map((start) => converse(local, start)));
    expect(local.engine.load.ranks.every(({ numUsedBlocks }) => numUsedBlocks === 0)).to.equal(true);
    return { turns, logits: new Map(watched), stats: local.engine.stats() };
  } finally {
    await local.close();
  }
}

/** Tokens of full blocks. */
const inBlocks = (numTokens: number): number => Math.floor(numTokens / BLOCK_SIZE) * BLOCK_SIZE;

/** What each turn can find: of the turn before all that was computed, or, where forms count, its prompt. */
const idealOf = (turns: readonly Turn[], withAnswers: boolean): number[] =>
  turns.map((_, i) => {
    const before = turns[i - 1];
    if (before === undefined) return 0;
    return inBlocks(before.promptTokenIds.length + (withAnswers ? NUM_NEW - 1 : 0));
  });

const tokensOf = ({ turns }: Outcome) => turns.map((each) => each.map(({ tokenIds }) => tokenIds));
/** In any order: requests are numbered as they come. */
const bitsOf = ({ logits }: Outcome) => [...logits.values()].map((row) => row.toString('base64')).sort();
const cachedOf = ({ turns }: Outcome) => turns.map((each) => each.map(({ numCachedTokens }) => numCachedTokens));

describe('the prefix cache over turns of a conversation', function () {
  this.timeout(60_000);
  const kinds = [
    { model: 'tiny-deepseek-v3', compute: 'kernels', mla: 'naive', withAnswers: true },
    { model: 'tiny-deepseek-v3', compute: 'kernels', mla: 'absorbed', withAnswers: true },
    { model: 'tiny-deepseek-v3', compute: 'kernels', mla: 'auto', withAnswers: false },
    { model: 'tiny-deepseek-v3', compute: 'tensors', mla: 'absorbed', withAnswers: true },
    { model: 'tiny-deepseek-v3', compute: 'tensors', mla: 'auto', withAnswers: false },
    { model: 'tiny-qwen3-moe', compute: 'kernels', mla: 'auto', withAnswers: true },
    { model: 'tiny-qwen3-moe', compute: 'tensors', mla: 'auto', withAnswers: true },
  ] as const;
  for (const { model, compute, mla, withAnswers } of kinds) {
    const what = withAnswers ? 'answers are found too' : 'answers are computed again, as prompts';
    it(`in the bitwise tier changes no bit, and finds all that it may: ${what}, ${model}, ${compute}, mla ${mla}`, async () => {
      const options: LocalEngineOptions = { numRanks: 1, reduce: 'source', mla };
      const without = await outcomeOf(model, {
        ...options,
        set: [`compute=${compute}`, 'engine.prefix_cache=off'],
      });
      const having = await outcomeOf(model, { ...options, set: [`compute=${compute}`] });
      expect(tokensOf(having)).to.deep.equal(tokensOf(without));
      expect(having.logits).to.deep.equal(without.logits);
      expect(having.logits.size).to.equal(TURNS.length * NUM_NEW);
      expect(cachedOf(without).flat()).to.deep.equal([0, 0, 0]);
      const ideal = idealOf(having.turns[0]!, withAnswers);
      expect(cachedOf(having)).to.deep.equal([ideal]);
      const numHits = ideal.reduce((a, b) => a + b, 0);
      const numQueries = having.turns[0]!.reduce((sum, { promptTokenIds }) => sum + promptTokenIds.length, 0);
      expect(having.stats).to.include({
        numPrefixQueries: numQueries,
        numPrefixHits: numHits,
        numSharedTokens: numHits,
      });
      expect(having.stats.numPromptTokens).to.equal(without.stats.numPromptTokens - numHits);
      expect(without.stats).to.include({ numPrefixQueries: 0, numSharedTokens: 0, numEvictedBlocks: 0 });
    });
  }

  for (const [model, mla] of [
    ['tiny-deepseek-v3', 'absorbed'],
    ['tiny-qwen3-moe', 'auto'],
  ] as const) {
    it(`in a cache spread over several memories changes no bit, with blocks so few that they are evicted too: ${model}`, async () => {
      const alone: LocalEngineOptions = { numRanks: 1, reduce: 'source', mla };
      const without = await outcomeOf(model, { ...alone, set: ['engine.prefix_cache=off'] }, 5);
      const spread = { ...alone, numMemories: 3 };
      const ample = await outcomeOf(model, spread, 5);
      const set = ['engine.num_kv_blocks=18', 'engine.max_num_seqs=5', 'engine.max_num_batched_tokens=11'];
      const scarce = await outcomeOf(model, { ...spread, set }, 5);
      for (const { stats, ...having } of [ample, scarce]) {
        expect(tokensOf({ ...having, stats })).to.deep.equal(tokensOf(without));
        expect(stats.numPrefixHits).to.be.above(0);
      }
      expect(bitsOf(ample)).to.deep.equal(bitsOf(without));
      expect(scarce.stats.numEvictedBlocks).to.be.above(0);
    });
  }

  it('elsewhere shares answers in whatever form they were computed, with the same tokens', async () => {
    const options: LocalEngineOptions = { numRanks: 1, reduce: 'rank', mla: 'auto' };
    const without = await outcomeOf('tiny-deepseek-v3', { ...options, set: ['engine.prefix_cache=off'] });
    const having = await outcomeOf('tiny-deepseek-v3', options);
    expect(cachedOf(having)).to.deep.equal([idealOf(having.turns[0]!, true)]);
    expect(tokensOf(having)).to.deep.equal(tokensOf(without));
    // What `exact` is there for: the bits are others.
    expect(having.logits).not.to.deep.equal(without.logits);
    const differences = [...having.logits].map(([name, row]) => mostApart(row, without.logits.get(name)!));
    expect(Math.max(...differences)).to.be.within(1e-9, 1e-4);
  });

  it('may be chosen: exact shares no answers outside the bitwise tier, any shares them in it', async () => {
    for (const [choice, reduce, withAnswers] of [
      ['exact', 'rank', false],
      ['any', 'source', true],
    ] as const) {
      const set = [`engine.prefix_cache=${choice}`];
      const having = await outcomeOf('tiny-deepseek-v3', { numRanks: 1, reduce, mla: 'auto', set });
      expect(cachedOf(having), choice).to.deep.equal([idealOf(having.turns[0]!, withAnswers)]);
    }
  });

  it('with several ranks and conversations, and with blocks so few that they are evicted and sequences give way, changes no bit', async () => {
    const alone: LocalEngineOptions = { numRanks: 1, reduce: 'source', mla: 'absorbed' };
    const without = await outcomeOf('tiny-deepseek-v3', { ...alone, set: ['engine.prefix_cache=off'] }, 5);
    const ample = await outcomeOf('tiny-deepseek-v3', { ...alone, numRanks: 2 }, 5);
    expect(tokensOf(ample)).to.deep.equal(tokensOf(without));
    expect(bitsOf(ample)).to.deep.equal(bitsOf(without));
    expect(ample.stats.numPrefixHits).to.be.above(0);
    const set = ['engine.num_kv_blocks=18', 'engine.max_num_seqs=5', 'engine.max_num_batched_tokens=11'];
    const scarce = await outcomeOf('tiny-deepseek-v3', { ...alone, set }, 5);
    expect(tokensOf(scarce)).to.deep.equal(tokensOf(without));
    expect(bitsOf(scarce)).to.deep.equal(bitsOf(without));
    for (const count of ['numPreempted', 'numEvictedBlocks', 'numPrefixHits'] as const)
      expect(scarce.stats[count], count).to.be.above(0);
  });
});

describe('the prefix cache of an engine', function () {
  this.timeout(60_000);
  const PROMPT = tinyGolden('tiny-deepseek-v3').prompt_token_ids;
  const set = [`engine.block_size=${BLOCK_SIZE}`];

  it('is forgotten by every rank on request, unless requests run', async () => {
    const local = await startLocalEngine(tinyModel('tiny-deepseek-v3'), { numRanks: 2, set });
    try {
      const { engine, executors } = local;
      await Promise.all([answer(local, PROMPT), answer(local, PROMPT.slice(3))]);
      const heldBy = () => executors.map((executor) => executor.stats().numKvBlocks);
      const events = engine.generate({ promptTokenIds: PROMPT, maxNewTokens: 4 });
      await events.next();
      const held = engine.load.ranks.map(({ numCachedBlocks }) => numCachedBlocks);
      expect(engine.resetPrefixCache()).to.equal(false);
      expect(engine.load.ranks.map(({ numCachedBlocks }) => numCachedBlocks)).to.deep.equal(held);
      await events.return();
      expect(engine.resetPrefixCache()).to.equal(true);
      expect((await answer(local, PROMPT)).numCachedTokens).to.equal(0);
      expect(engine.resetPrefixCache()).to.equal(true);
      await engine.score({ tokenIds: [1, 2] }); // a step behind what ranks were told
      expect(heldBy()).to.deep.equal([1, 0]);
    } finally {
      await local.close();
    }
  });

  it('frees what only a request had that its caller gave up, and keeps its full blocks', async () => {
    const local = await startLocalEngine(tinyModel('tiny-deepseek-v3'), { numRanks: 1, set });
    try {
      const caller = new AbortController();
      const events = local.engine.generate(
        { promptTokenIds: PROMPT, maxNewTokens: 40, ignoreEos: true },
        caller.signal,
      );
      for (let i = 0; i < 3; i++) await events.next();
      caller.abort();
      await errorOf(EngineError, () => events.next());
      const [rank] = local.engine.load.ranks;
      expect(rank).to.include({ numUsedBlocks: 0, numRunning: 0 });
      expect(rank!.numCachedBlocks).to.be.within(6, 7);
      expect((await answer(local, PROMPT)).numCachedTokens).to.equal(20);
    } finally {
      await local.close();
    }
  });

  it('a rank that is lost takes its cache along', async () => {
    const options = { numRanks: 2, placement: replicated(2), set };
    const local = await startLocalEngine(tinyModel('tiny-deepseek-v3'), options);
    try {
      await answer(local, PROMPT);
      expect((await answer(local, PROMPT)).numCachedTokens).to.equal(20);
      const lost = new Promise<void>((resolve) => local.engine.watch({ loss: () => resolve() }));
      local.fail(0);
      await lost;
      expect((await answer(local, PROMPT)).numCachedTokens).to.equal(0);
      expect((await answer(local, PROMPT)).numCachedTokens).to.equal(20);
    } finally {
      await local.close();
    }
  });
});

/** Of two rows of float32. */
function mostApart(a: Buffer, b: Buffer): number {
  const [x, y] = [a, b].map((row) => new Float32Array(row.buffer, row.byteOffset, row.byteLength / 4));
  return Math.max(...x!.map((value, i) => Math.abs(value - y![i]!)));
}
