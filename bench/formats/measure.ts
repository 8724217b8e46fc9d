/** Jobs of one format: what loading took, what ranks hold, how fast they generate. */
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';
import { uniform } from '../../base/philox.js';
import { median } from '../base/machine.js';
import { modelIn, readRate } from './models.js';
import type { FormatName, FormatsOptions } from './options.js';

/** Figures of one format and number of ranks; medians over the rounds, of the rank that has most. */
export interface FormatRow {
  readonly format: FormatName;
  readonly ranks: number;
  /** Of tensors, by rank. */
  readonly bytes_read: readonly number[];
  readonly load_ms: number;
  /** Of the slowest rank: its bytes over its time, over what a plain read of the same round took. */
  readonly load_ratio: number;
  readonly read_bytes_per_s: number;
  /** Weights and KV cache in memories of the kernels. */
  readonly resident_bytes: number;
  /** Of the process, loading and first step. */
  readonly peak_rss_bytes: number;
  readonly prefill_tokens_per_s: number;
  readonly decode_tokens_per_s: number;
}

type Round = Omit<FormatRow, 'format' | 'ranks'>;

/** All formats and numbers of ranks, round by round, so that what changes on the machine meets all of them. */
export async function measureFormats(options: FormatsOptions, signal: AbortSignal): Promise<FormatRow[]> {
  const models = new Map<FormatName, string>();
  for (const format of options.formats) models.set(format, await modelIn(options, format, signal));
  for (const model of models.values()) await readRate(model); // into the page cache
  const pairs = options.formats.flatMap((format) => options.ranks.map((ranks) => ({ format, ranks })));
  const rounds = pairs.map((): Round[] => []);
  for (let round = 0; round < options.rounds; round++) {
    for (const [i, { format, ranks }] of pairs.entries())
      rounds[i]!.push(await runJob(models.get(format)!, ranks, options, signal));
  }
  return pairs.map((pair, i) => ({ ...pair, ...medians(rounds[i]!) }));
}

async function runJob(model: string, ranks: number, options: FormatsOptions, signal: AbortSignal): Promise<Round> {
  signal.throwIfAborted();
  const rate = await readRate(model);
  const flags = { model, parallel: { ranks } };
  const config = await loadConfig({ flags, overrides: ['engine.prefix_cache=off', ...options.set] });
  const engine = await Engine.start({ config, signal });
  try {
    const speed = await generate(engine, options, signal);
    const { loadReports, ranks: stats } = engine.stats();
    const slowest = loadReports.reduce((a, b) => (b.loadMs > a.loadMs ? b : a));
    return {
      bytes_read: loadReports.map(({ bytesRead }) => bytesRead),
      load_ms: slowest.loadMs,
      load_ratio: (1000 * slowest.bytesRead) / slowest.loadMs / rate,
      read_bytes_per_s: rate,
      resident_bytes: Math.max(...stats.map(({ kernelBytes, tensorBytes }) => kernelBytes + tensorBytes)),
      peak_rss_bytes: Math.max(...stats.map(({ peakRssBytes }) => peakRssBytes)),
      ...speed,
    };
  } finally {
    await engine.close();
  }
}

/** One sequence, after another that warms up. */
async function generate(
  engine: Engine,
  { promptTokens, newTokens, seed }: FormatsOptions,
  signal: AbortSignal,
): Promise<Pick<Round, 'prefill_tokens_per_s' | 'decode_tokens_per_s'>> {
  const { vocabSize } = engine.spec;
  const times: number[] = [];
  for (const stream of [0, 1]) {
    const promptTokenIds = Array.from({ length: promptTokens }, (_, i) =>
      Math.floor(uniform(seed, stream, i) * vocabSize),
    );
    times.length = 0;
    times.push(performance.now());
    for await (const event of engine.generate({ promptTokenIds, maxNewTokens: newTokens, ignoreEos: true }, signal))
      if (event.kind === 'token') times.push(performance.now());
  }
  const [start, first, last] = [times[0]!, times[1]!, times.at(-1)!];
  return {
    prefill_tokens_per_s: (1000 * promptTokens) / (first - start),
    decode_tokens_per_s: (1000 * (newTokens - 1)) / (last - first),
  };
}

function medians(rounds: readonly Round[]): Round {
  const of = (key: Exclude<keyof Round, 'bytes_read'>): number => median(rounds.map((round) => round[key]));
  return {
    bytes_read: rounds[0]!.bytes_read,
    load_ms: of('load_ms'),
    load_ratio: of('load_ratio'),
    read_bytes_per_s: of('read_bytes_per_s'),
    resident_bytes: of('resident_bytes'),
    peak_rss_bytes: of('peak_rss_bytes'),
    prefill_tokens_per_s: of('prefill_tokens_per_s'),
    decode_tokens_per_s: of('decode_tokens_per_s'),
  };
}
