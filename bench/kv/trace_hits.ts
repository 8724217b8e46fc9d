/** Hits of whole traces, in virtual time: decisions are those of real instances and routers, and nobody computes. */
import type { FigureRow } from '../base/measured.js';
import { kv } from '../../lib/cluster/routing/policies/kv.js';
import { firstLines } from '../serve/datasets/first_lines.js';
import { traceRows } from '../serve/datasets/trace_rows.js';
import { infiniteCache } from './simulation/infinite_cache.js';
import { simulated, type Simulated } from './simulation/simulated_cluster.js';
import { traceLoad } from './simulation/trace_load.js';

/** More requests than a trace has. */
const MAX_REQUESTS = 2 ** 20;
const NUM_INSTANCES = 4;
/** Of each instance. */
const NUM_BLOCKS = 2000;
const NUM_TIER_BLOCKS = 20_000;
/** Of computing a token, as measured between instances of one machine. */
const COPY_SHARE = 1 / 16;

const SETUPS = [
  { name: 'per instance', isPooled: false, numTierBlocks: 0 },
  { name: 'pooled', isPooled: true, numTierBlocks: 0 },
  { name: 'per instance, tiers', isPooled: false, numTierBlocks: NUM_TIER_BLOCKS },
  { name: 'pooled, tiers', isPooled: true, numTierBlocks: NUM_TIER_BLOCKS },
] as const;

/** What rows are of. */
export const TRACE_HITS_ABOUT = `whole: all requests of a trace on ${NUM_INSTANCES} instances in virtual time, 60 % busy, of ${NUM_BLOCKS} blocks, and ${NUM_TIER_BLOCKS} in tiers`;

/** A row per setup. @throws ServeBenchError BAD_DATASET */
export async function traceHits(path: string, name: string, scale: number): Promise<readonly FigureRow[]> {
  const rows = traceRows(await firstLines(path, MAX_REQUESTS), path);
  const { conversations, blockSize, prefillTokensPerMs } = traceLoad(rows, scale, NUM_INSTANCES);
  const numTokens = conversations.reduce((sum, { turns }) => sum + turns[0]!.said.length, 0);
  const bound = 1 - infiniteCache(conversations, blockSize) / numTokens;
  return SETUPS.map(({ name: setup, ...kept }) => {
    const speeds = { prefillTokensPerMs, copiedTokensPerMs: prefillTokensPerMs / COPY_SHARE };
    const shape = { ...kept, ...speeds, blockSize, numInstances: NUM_INSTANCES, numBlocks: NUM_BLOCKS };
    return rowOf(simulated(conversations, kv(), shape), { load: `${name}, whole`, setup, numTokens, bound });
  });
}

function rowOf(
  { tokens, numRequests, meanTtftMs }: Simulated,
  { load, setup, numTokens, bound }: Readonly<{ load: string; setup: string; numTokens: number; bound: number }>,
): FigureRow {
  const hit = 1 - tokens.computed / numTokens;
  return {
    ...{ load, setup, requests: numRequests.reduce((sum, count) => sum + count, 0), prompt_tokens: numTokens },
    ...{ hit_share: hit, bound_share: bound, hit_ratio: bound === 0 ? 1 : hit / bound, ttft_ms: meanTtftMs },
  };
}
