/** Which share of prompts is found in caches of several instances, against one cache without end that all of them share. */
import { BenchError } from '../base/errors.js';
import type { FigureRow, Measured } from '../base/measured.js';
import { withCluster } from '../cluster/started_cluster.js';
import { HASH_BLOCK_TOKENS } from '../serve/datasets/trace_rows.js';
import { cachedFigures } from '../serve/figures/cached_tokens.js';
import { isCompleted, ttftMs, type RequestRecord } from '../serve/figures/record.js';
import { playLoad } from '../serve/play_load.js';
import type { KvBench } from './kv_bench.js';
import { TRACE_HITS_ABOUT, traceHits } from './trace_hits.js';

const NUM_INSTANCES = 3;
/** Of each instance: fewer than the loads want. */
const NUM_KV_BLOCKS = 96;

/** What instances keep besides their block caches. */
const SETUPS = [
  { name: 'per instance', set: ['engine.kv_pool=off'] },
  { name: 'pooled', set: ['engine.kv_pool=on'] },
  { name: 'per instance, tiers', set: ['engine.kv_pool=off', 'engine.kv_tiers=[{ram: 256MiB}]'] },
  { name: 'pooled, tiers', set: ['engine.kv_pool=on', 'engine.kv_tiers=[{ram: 256MiB}]'] },
] as const;

/** A load as options of `bench serve`. */
interface Load {
  readonly name: string;
  readonly args: readonly string[];
}

/** A row per load and setup. */
export async function measureHits(bench: KvBench): Promise<Measured> {
  const blockSize = blockSizeOf(bench.traceScale);
  const rows: FigureRow[] = [];
  for (const load of loadsOf(bench)) {
    for (const setup of SETUPS) {
      const records = await recordsOf(bench, load, setup, blockSize);
      rows.push({ load: load.name, setup: setup.name, ...hitFigures(records, blockSize) });
    }
  }
  for (const path of bench.traces) rows.push(...(await traceHits(path, nameOf(path), bench.traceScale)));
  return {
    formula:
      'hit: cached_tokens / tokens of prompts, as usage tells; bound: of one cache without end, by prompts and answers in the order of sending; ttft: mean time to the first token',
    baseline: `the bound; per instance: ${NUM_INSTANCES} instances of ${NUM_KV_BLOCKS} blocks of ${blockSize} tokens with their block caches alone; tiers: 256 MiB of memory each; ${TRACE_HITS_ABOUT}`,
    aim: 'hit / bound near 1 where instances share and keep what they have',
    rows,
    answers: 0,
    changed: 0,
  };
}

/** Blocks are as large as what a hash id of a trace stands for. */
const blockSizeOf = (traceScale: number): number => Math.max(1, Math.round(HASH_BLOCK_TOKENS * traceScale));

const loadsOf = ({ requests, traces, traceScale, seed }: KvBench): readonly Load[] => {
  const common = ['--seed', String(seed), '--num-warmups', String(4 * NUM_INSTANCES)];
  const turns = ['--dataset', 'turns', '--num-prompts', String(Math.floor(requests / 4)), '--num-turns', '4'];
  return [
    { name: 'turns', args: [...common, ...turns, '--input-len', '64', '--output-len', '16', '--request-rate', '2'] },
    ...traces.map((path) => ({
      name: nameOf(path),
      args: [
        ...common,
        ...['--dataset', 'trace', '--file', path, '--scale', String(traceScale)],
        ...['--num-prompts', String(requests), '--request-rate', '4'],
      ],
    })),
  ];
};

/** Of a file, without what it is. */
const nameOf = (path: string): string => path.replace(/^.*\//, '').replace(/\..*$/, '');

function recordsOf(
  bench: KvBench,
  load: Load,
  { name, set }: (typeof SETUPS)[number],
  blockSize: number,
): Promise<readonly RequestRecord[]> {
  const keys = [`engine.block_size=${blockSize}`, `engine.num_kv_blocks=${NUM_KV_BLOCKS}`, 'comm.reduce=source'];
  const shape = {
    ...{ name: `${load.name}-${name}`.replace(/\W/g, '-'), model: bench.model, instances: NUM_INSTANCES },
    ...{ policy: 'kv', set: [...keys, 'parallel.threads=1', ...set] },
  };
  return withCluster(bench, shape, (url) => playLoad(url, load.args, bench.signal));
}

/** Of records as a client has them. Pure. @throws BenchError NOT_UNDERSTOOD: a request failed, or nobody says what was cached */
export function hitFigures(records: readonly RequestRecord[], blockSize: number): FigureRow {
  const completed = records.filter(isCompleted);
  const failure = records.find((record) => record.failure !== null)?.failure;
  const { measured, ideal } = cachedFigures(records, blockSize);
  if (failure != null || measured === null || ideal === null) {
    const why = failure == null ? 'usage tells of no cached tokens' : `${failure.kind}: ${failure.reason}`;
    throw new BenchError('NOT_UNDERSTOOD', `a load came to nothing (${why}); look at what the instances say`);
  }
  const hit = measured.cachedTokens / measured.promptTokens;
  const bound = ideal.ofAnswers / ideal.promptTokens;
  return {
    requests: completed.length,
    prompt_tokens: measured.promptTokens,
    hit_share: hit,
    bound_share: bound,
    hit_ratio: bound === 0 ? 1 : hit / bound,
    ttft_ms: completed.reduce((sum, record) => sum + ttftMs(record), 0) / completed.length,
  };
}
