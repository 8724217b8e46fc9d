/** Engines whose keys and values are kept as bf16 and int8. Everything but sockets and processes is real. */
import { expect } from 'chai';
import type { GenerationRequest } from '../../../../lib/protocol/request.js';
import { startLocalEngine, type LocalEngine, type LocalEngineOptions } from '../../../kit/engine/local_engine.js';
import { watchLogits } from '../../../kit/engine/watched_logits.js';
import { readConformance, writeConformanceModel } from '../../../kit/model/conformance.js';
import { tinyGolden } from '../../../kit/model/goldens.js';
import { tinyModel } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import { largestDifference } from '../../../refs/random.js';

const NUM_NEW = 12;
const SAMPLING = { temperature: 1.5, repetitionPenalty: 1.3, seed: 11 };
const LENGTHS = [
  [0, 24],
  [0, 19],
  [3, 20],
  [0, 7],
  [5, 9],
] as const;

interface Model {
  readonly dir: string;
  readonly tokens: readonly number[];
}

interface Outcome {
  readonly tokenIds: readonly (readonly number[])[];
  readonly logits: ReadonlyMap<string, Buffer>;
  readonly numPreempted: number;
  readonly numSharedTokens: number;
}

async function answer({ engine }: LocalEngine, request: Partial<GenerationRequest>): Promise<number[]> {
  const tokenIds: number[] = [];
  const whole = { promptTokenIds: [1], maxNewTokens: NUM_NEW, ignoreEos: true, ...request };
  for await (const event of engine.generate(whole)) if (event.kind === 'token') tokenIds.push(event.tokenId);
  return tokenIds;
}

/** Greedy requests and sampled ones, some of which begin alike; one after the other, or at once. */
async function outcomeOf({ dir, tokens }: Model, options: LocalEngineOptions, isApart: boolean): Promise<Outcome> {
  const local = await startLocalEngine(dir, options);
  try {
    const logits = watchLogits(local);
    const requests = LENGTHS.map(([from, to], i) => ({
      promptTokenIds: tokens.slice(from, to),
      ...(i % 2 === 1 && { sampling: SAMPLING }),
    }));
    const tokenIds: number[][] = [];
    if (isApart) for (const request of requests) tokenIds.push(await answer(local, request));
    else tokenIds.push(...(await Promise.all(requests.map((request) => answer(local, request)))));
    const { numPreempted, numSharedTokens } = local.engine.stats();
    expect(local.engine.load.ranks.every(({ numUsedBlocks }) => numUsedBlocks === 0)).to.equal(true);
    return { tokenIds, logits: new Map(logits), numPreempted, numSharedTokens };
  } finally {
    await local.close();
  }
}

const set = (...more: string[]) => ({
  set: ['engine.block_size=4', 'engine.max_model_len=64', 'engine.state_interval=4', ...more],
});

const onDisk = (name: string) => (use: (model: Model) => Promise<void>) =>
  use({ dir: tinyModel(name), tokens: tinyGolden(name).prompt_token_ids });

const conformance = (family: string, variant: string) => (use: (model: Model) => Promise<void>) =>
  withTempFolder(async (dir) => {
    const { tokens, cases } = readConformance(family);
    const found = cases.find(({ name }) => name === variant)!;
    await writeConformanceModel(dir, found, new Map());
    await use({ dir, tokens: Array.from({ length: 24 }, (_, i) => tokens[i % tokens.length]!) });
  });

describe('keys and values that are kept as bf16 and int8', function () {
  this.timeout(60_000);
  const models = [
    ['latent attention', onDisk('tiny-deepseek-v3')],
    ['grouped-query attention', onDisk('tiny-qwen3-moe')],
    ['an indexer', conformance('deepseek_v32', 'index_topk: 8')],
    ['sliding windows and sinks', conformance('gpt_oss', 'base')],
    ['states', conformance('lfm2_moe', 'base')],
  ] as const;
  for (const [name, withModel] of models) {
    for (const dtype of ['bf16', 'int8'] as const) {
      it(`have the same bits on any ranks, beside others, in chunks, found again and computed anew, in ${dtype}: ${name}`, () =>
        withModel(async (model) => {
          const kv = `engine.kv_dtype=${dtype}`;
          const off = 'engine.prefix_cache=off';
          const alone = await outcomeOf(model, { numRanks: 1, mla: 'auto', ...set(kv, off) }, true);
          const exact = await outcomeOf(model, { numRanks: 1, mla: 'auto', ...set(off) }, true);
          const limits = ['engine.num_kv_blocks=16', 'engine.max_num_seqs=5', 'engine.max_num_batched_tokens=9'];
          const busy = await outcomeOf(model, { numRanks: 1, mla: 'auto', ...set(kv, ...limits) }, false);
          const many = { numRanks: 2, numMemories: 2, mla: 'auto' } as const;
          const found = await outcomeOf(model, { ...many, ...set(kv) }, true);
          expect(busy.numPreempted).to.be.above(0);
          expect(found.numSharedTokens).to.be.above(0);
          for (const other of [busy, found]) {
            expect(other.tokenIds).to.deep.equal(alone.tokenIds);
            for (const [key, row] of other.logits) expect(row.equals(alone.logits.get(key)!), key).to.equal(true);
          }
          const [first, rounded] = [exact, alone].map(({ logits }) => floatsOf(logits.get('0:23')!));
          expect(largestDifference(first!, rounded!)).to.be.within(1e-6, dtype === 'bf16' ? 0.02 : 0.1);
        }));
    }
  }
});

const floatsOf = (bytes: Buffer): Float32Array => new Float32Array(new Uint8Array(bytes).buffer);
