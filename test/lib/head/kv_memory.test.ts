/** What becomes of requests when KV blocks are few, and when prompts begin alike. Everything but sockets and processes is real. */
import { expect } from 'chai';
import { statsJson } from '../../../lib/commands/generate/stats_json.js';
import type { EngineStats } from '../../../lib/head/engine.js';
import type { MlaForm } from '../../../lib/model/spec/spec.js';
import type { GenerationRequest, TokenEvent } from '../../../lib/protocol/request.js';
import { tinyGolden } from '../../kit/model/goldens.js';
import { startLocalEngine, type LocalEngine, type LocalEngineOptions } from '../../kit/engine/local_engine.js';
import { tinyModel } from '../../kit/paths.js';
import { replicated } from '../../kit/engine/placements.js';
import { watchLogits } from '../../kit/engine/watched_logits.js';

const MODEL = 'tiny-deepseek-v3';
const PROMPT = tinyGolden(MODEL).prompt_token_ids;
const NUM_NEW = 16;
/** 24 + 16 − 1 tokens: as many blocks of four. */
const NUM_BLOCKS = 10;
const SAMPLING = { temperature: 1.5, repetitionPenalty: 1.3, frequencyPenalty: 0.4, presencePenalty: 0.3, seed: 11 };

interface Outcome {
  readonly tokenIds: readonly (readonly number[])[];
  readonly logits: ReadonlyMap<string, Buffer>;
  readonly stats: EngineStats;
  readonly json: object;
  /** Most KV blocks that a rank held after a step. */
  readonly peakBlocks: number;
  /** KV blocks that ranks hold when all is over. */
  readonly numLeftBehind: number;
}

/** Starts an engine, has it do something, and looks at what was computed and what is left. */
async function outcomeOf(
  options: LocalEngineOptions,
  use: (local: LocalEngine) => Promise<readonly (readonly number[])[]>,
): Promise<Outcome> {
  const local = await startLocalEngine(tinyModel(MODEL), options);
  try {
    const watched = watchLogits(local);
    let peakBlocks = 0;
    for (const executor of local.executors) {
      const run = executor.run.bind(executor);
      executor.run = async (plan, signal) => {
        const result = await run(plan, signal);
        peakBlocks = Math.max(peakBlocks, executor.stats().numKvBlocks);
        return result;
      };
    }
    const tokenIds = await use(local);
    const logits = new Map(watched);
    const stats = local.engine.stats();
    const json = statsJson(local.engine, { elapsedMs: 1000, firstTokenMs: 10 });
    expect(local.engine.resetPrefixCache(), 'no request holds a block').to.equal(true);
    // A step comes behind everything that ranks were told before: what they hold then is its own block.
    await local.engine.score({ tokenIds: [1, 2] });
    const { ranks, lostRanks } = local.engine.stats();
    const heldBlocks = ranks.flatMap(({ numKvBlocks }, rank) => (lostRanks.includes(rank) ? [] : [numKvBlocks]));
    const numLeftBehind = heldBlocks.reduce((sum, count) => sum + count, -1);
    return { tokenIds, logits, stats, json, peakBlocks, numLeftBehind };
  } finally {
    await local.close();
  }
}

async function generate({ engine }: LocalEngine, request: Partial<GenerationRequest>, onToken = (): void => undefined) {
  const events: TokenEvent[] = [];
  const defaults = { promptTokenIds: PROMPT, maxNewTokens: NUM_NEW, ignoreEos: true };
  for await (const event of engine.generate({ ...defaults, ...request })) {
    events.push(event);
    if (event.kind === 'token') onToken();
  }
  return events.flatMap((event) => (event.kind === 'token' ? [event.tokenId] : []));
}

describe('few KV blocks', function () {
  this.timeout(60_000);
  /** Greedy ones and ones whose samples and penalties see the whole history. */
  const batch = (local: LocalEngine) =>
    Promise.all(
      [PROMPT, PROMPT.slice(3, 20), PROMPT.slice(0, 7), PROMPT.slice(5, 9), PROMPT.slice(2, 19)].map(
        (promptTokenIds, i) => generate(local, { promptTokenIds, ...(i % 2 === 1 && { sampling: SAMPLING }) }),
      ),
    );
  const limits = ['engine.block_size=4', 'engine.max_num_seqs=5', 'engine.max_num_batched_tokens=9'];
  const options = (mla: MlaForm, ...more: string[]) => ({ mla, numRanks: 1, set: [...limits, ...more] });

  const kinds = [
    ['kernels', 'auto'],
    ['kernels', 'naive'],
    ['kernels', 'absorbed'],
    ['tensors', 'auto'],
  ] as const;
  for (const [compute, mla] of kinds) {
    it(`sequences give way and are computed anew: tokens and logits are those of ample memory to the bit, ${compute}, mla ${mla}`, async () => {
      const ample = await outcomeOf(options(mla, `compute=${compute}`), batch);
      const scarce = await outcomeOf(options(mla, `compute=${compute}`, `engine.num_kv_blocks=${NUM_BLOCKS}`), batch);
      expect(ample.stats.numPreempted).to.equal(0);
      expect(scarce.stats.numPreempted).to.be.above(0);
      expect(scarce.tokenIds).to.deep.equal(ample.tokenIds);
      expect(scarce.logits).to.deep.equal(ample.logits);
      expect(scarce.logits.size).to.equal(5 * NUM_NEW);
      expect(scarce.peakBlocks).to.be.within(NUM_BLOCKS - 1, NUM_BLOCKS);
      expect(scarce.numLeftBehind).to.equal(0);
    });
  }

  it('a rank that is lost beside it changes nothing either', async () => {
    const ample = await outcomeOf(options('auto'), batch);
    const fault = { rank: 1, at: { kind: 'after_step' as const, step: 9 } };
    const scarce = await outcomeOf(
      {
        ...options('auto', `engine.num_kv_blocks=${NUM_BLOCKS}`),
        ...{ numRanks: 2, placement: replicated(2), faults: [fault] },
      },
      batch,
    );
    expect(scarce.stats.lostRanks).to.deep.equal([1]);
    expect(scarce.stats.numPreempted).to.be.above(0);
    expect(scarce.tokenIds).to.deep.equal(ample.tokenIds);
    expect(scarce.logits).to.deep.equal(ample.logits);
    expect(scarce.numLeftBehind).to.equal(0);
  });
});

describe('prompts that begin alike', function () {
  this.timeout(60_000);
  const others: Partial<GenerationRequest>[] = [
    { promptTokenIds: PROMPT, sampling: SAMPLING },
    { promptTokenIds: [...PROMPT.slice(0, 14), 3, 5] },
    { promptTokenIds: PROMPT.slice(0, 16), sampling: SAMPLING },
  ];
  /** The others come when the first one's prompt is in the cache; `apart`: when it is over, one after the other. */
  const staggered = (apart: boolean) => async (local: LocalEngine) => {
    let begin: () => void = () => undefined;
    const computed = new Promise<void>((resolve) => (begin = resolve));
    const first = generate(local, {}, begin);
    await (apart ? first : computed);
    const tokenIds: number[][] = [];
    if (apart) for (const request of others) tokenIds.push(await generate(local, request));
    else tokenIds.push(...(await Promise.all(others.map((request) => generate(local, request)))));
    return [await first, ...tokenIds];
  };
  const options: LocalEngineOptions = { numRanks: 1, mla: 'auto', set: ['engine.block_size=4'] };
  const without = { ...options, set: [...options.set!, 'engine.prefix_cache=off'] };

  for (const compute of ['kernels', 'tensors'] as const) {
    it(`are computed once while they run together: tokens and logits are those of requests one by one to the bit, ${compute}`, async () => {
      const own = { ...options, set: [...options.set!, `compute=${compute}`] };
      const alone = await outcomeOf({ ...own, set: [...own.set, 'engine.prefix_cache=off'] }, staggered(true));
      const together = await outcomeOf(own, staggered(false));
      expect(alone.stats.numSharedTokens).to.equal(0);
      // All but the last token, in blocks of four: 20 of 24, 12 of 16 that begin with 14 like the first, 12 of 16.
      expect(together.stats.numSharedTokens).to.equal(20 + 12 + 12);
      expect(together.json).to.include({ shared_tokens: 44, preempted: 0 });
      expect(together.stats.numPromptTokens).to.equal(alone.stats.numPromptTokens - 44);
      expect(together.tokenIds).to.deep.equal(alone.tokenIds);
      expect(together.logits).to.deep.equal(alone.logits);
      expect(together.logits.size).to.equal(4 * NUM_NEW);
      expect(together.numLeftBehind).to.equal(0);
    });
  }

  it('with few blocks, where who shares gives way, too', async () => {
    const alone = await outcomeOf(without, staggered(true));
    const set = ['engine.block_size=4', 'engine.num_kv_blocks=13'];
    const scarce = await outcomeOf({ ...options, set }, staggered(false));
    expect(scarce.stats.numPreempted).to.be.above(0);
    expect(scarce.stats.numSharedTokens).to.be.above(0);
    expect(scarce.tokenIds).to.deep.equal(alone.tokenIds);
    expect(scarce.logits).to.deep.equal(alone.logits);
  });

  it('when their rank is lost they are computed anew elsewhere', async () => {
    const alone = await outcomeOf(without, staggered(true));
    const faults = [{ rank: 0, at: { kind: 'after_step' as const, step: 4 } }];
    const moved = await outcomeOf({ ...options, numRanks: 2, placement: replicated(2), faults }, staggered(false));
    expect(moved.stats.lostRanks).to.deep.equal([0]);
    expect(moved.tokenIds).to.deep.equal(alone.tokenIds);
  });

  it('nothing is shared where each token is recorded, or sent to experts that depend on its request', async () => {
    const observer = { wantsTokens: true, add: () => Promise.resolve() };
    const recorded = await outcomeOf({ ...options, observer }, staggered(false));
    expect(recorded.stats.numSharedTokens).to.equal(0);
    const set = [...options.set!, 'experts.routing=uniform'];
    const forced = await outcomeOf({ ...options, set }, staggered(false));
    expect(forced.stats.numSharedTokens).to.equal(0);
  });
});
