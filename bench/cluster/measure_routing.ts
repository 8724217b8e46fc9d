/** Which instance gets a request: by what it has in its prefix cache, against policies that don't look, and against one instance that has all. */
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { cachedFigures } from '../serve/figures/cached_tokens.js';
import { isCompleted, ttftMs, type RequestRecord } from '../serve/figures/record.js';
import { playLoad } from '../serve/play_load.js';
import { BenchError } from '../base/errors.js';
import type { FigureRow, Measured } from '../base/measured.js';
import type { ClusterBench } from './measurement.js';
import { withCluster } from './started_cluster.js';

const NUM_INSTANCES = 3;
/** Who is asked. The first has all that was ever computed. */
const SETUPS = [
  { name: 'one instance', instances: 1, policy: 'round_robin' },
  { name: 'kv', instances: NUM_INSTANCES, policy: 'kv' },
  { name: 'least_load', instances: NUM_INSTANCES, policy: 'least_load' },
  { name: 'round_robin', instances: NUM_INSTANCES, policy: 'round_robin' },
] as const;
type SetupName = (typeof SETUPS)[number]['name'];

/** Loads of `bench serve`, with as many requests each. */
const LOADS = {
  turns: (requests: number) => [
    ...['--dataset', 'turns', '--num-prompts', String(Math.floor(requests / 4)), '--num-turns', '4'],
    ...['--input-len', '64', '--output-len', '16', '--request-rate', '2', '--think-ms', '300'],
  ],
  prefix: (requests: number) => [
    ...['--dataset', 'prefix', '--num-prompts', String(requests), '--num-prefixes', '8', '--prefix-len', '256'],
    ...['--input-len', '32', '--output-len', '8', '--request-rate', '6'],
  ],
} as const;
type LoadName = keyof typeof LOADS;
const LOAD_NAMES = Object.keys(LOADS) as LoadName[];

const BLOCK_SIZE = 16;

/** What came of a load. */
export interface LoadFigures {
  readonly requests: number;
  readonly promptTokens: number;
  /** Of prompts, those that no cache had. */
  readonly computedTokens: number;
  readonly ttftMs: number;
}

/** A row per load and policy. */
export async function measureRouting(bench: ClusterBench): Promise<Measured> {
  const results = new Map<SetupName, Readonly<Record<LoadName, LoadFigures>>>();
  for (const { name, instances, policy } of SETUPS) {
    const set = [`engine.block_size=${BLOCK_SIZE}`, 'comm.reduce=source', 'parallel.threads=1'];
    const shape = { name: name.replace(' ', '-'), model: DEMO_MODEL, instances, policy, set };
    const figures = await withCluster(bench, shape, async (url) => ({
      turns: await load(url, 'turns', bench),
      prefix: await load(url, 'prefix', bench),
    }));
    results.set(name, figures);
  }
  const one = results.get('one instance')!;
  return {
    formula:
      'computed: tokens of prompts − cached_tokens, as usage tells; computed_ratio: of those of one instance, whose cache never fills; ttft: mean time to the first token',
    baseline: `one instance has all that was ever computed; round_robin and least_load look at no cache (${NUM_INSTANCES} instances each)`,
    aim: 'kv computes at most 1.05 times as much as one instance',
    rows: LOAD_NAMES.flatMap((name) =>
      [...results].map(([policy, figures]) => routingRow(name, policy, figures[name], one[name])),
    ),
    answers: 0,
    changed: 0,
  };
}

/** Pure. */
export const routingRow = (load: string, policy: string, figures: LoadFigures, one: LoadFigures): FigureRow => ({
  load,
  policy,
  requests: figures.requests,
  prompt_tokens: figures.promptTokens,
  computed: figures.computedTokens,
  computed_ratio: figures.computedTokens / one.computedTokens,
  ttft_ms: figures.ttftMs,
  ttft_ratio: figures.ttftMs / one.ttftMs,
});

/** Of records as a client has them. Pure. @throws BenchError NOT_UNDERSTOOD: a request failed, or nobody says what was cached */
export function loadFigures(records: readonly RequestRecord[]): LoadFigures {
  const completed = records.filter(isCompleted);
  const failure = records.find((record) => record.failure !== null)?.failure;
  const { measured } = cachedFigures(records, BLOCK_SIZE);
  if (failure != null || measured === null) {
    const why = failure == null ? 'usage tells of no cached tokens' : `${failure.kind}: ${failure.reason}`;
    throw new BenchError('NOT_UNDERSTOOD', `a load came to nothing (${why}); look at what the instances say`);
  }
  return {
    requests: completed.length,
    promptTokens: measured.promptTokens,
    computedTokens: measured.promptTokens - measured.cachedTokens,
    ttftMs: completed.reduce((sum, record) => sum + ttftMs(record), 0) / completed.length,
  };
}

async function load(url: string, name: LoadName, { requests, seed, signal }: ClusterBench): Promise<LoadFigures> {
  const warmUps = ['--num-warmups', String(4 * NUM_INSTANCES)];
  const args = ['--seed', String(seed), ...warmUps, ...LOADS[name](requests)];
  return loadFigures(await playLoad(url, args, signal));
}
