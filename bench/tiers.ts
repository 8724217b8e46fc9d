/** `expertwire bench tiers`: decoding where a part of the experts is in memory, against all of them, and how often what is wanted is there. */
import { dtypesIn } from '../compute/base/expert_dtypes.js';
import { expertBytes } from '../compute/wasm/experts/kernel_expert.js';
import type { LayerCounts, TierStats } from '../experts/tiers/tier_counts.js';
import { TIER_POLICIES } from '../experts/tiers/tier_policy.js';
import { loadConfig } from '../lib/config/load.js';
import { DEMO_MODEL } from '../lib/config/package_files.js';
import { UsageError, type CommandContext } from '../lib/commands/base/context.js';
import { list, seedNumber, wholeNumber, wholeNumbers } from '../lib/commands/base/numbers.js';
import { Engine } from '../lib/head/engine.js';
import { Agreement } from '../lib/compare/agreement.js';
import { bytes, table } from '../lib/metrics/charts.js';
import { expertSizesOf } from '../lib/model/spec/spec.js';
import { scoredLogits } from './base/scored_logits.js';
import { median, thisMachine } from './base/machine.js';
import { accepted, benchParser } from './base/options.js';

interface Options {
  readonly model: string;
  readonly caps: readonly number[];
  readonly policies: readonly string[];
  readonly warm: readonly string[];
  readonly warmShare: number;
  readonly newTokens: number;
  readonly repeats: number;
  readonly seed: number;
  readonly json: boolean;
}

/** One rank with so many of its experts in memory; medians over the repeats, in turns. */
export interface TiersRow {
  /** Of the bytes of all experts, in percent; 100: all are in memory, without tiers. */
  readonly cap: number;
  /** Null where all are in memory. */
  readonly policy: string | null;
  /** Of copies, which have a part of the same bytes; null: there are none. */
  readonly warm_dtype: string | null;
  readonly resident_bytes: number;
  readonly tokens_per_s: number;
  /** Against all in memory. */
  readonly ratio: number;
  /** Shares of the experts that calls wanted: that were there as they are, of these those that were read ahead, that were computed with copies, and those that were predicted. */
  readonly hits: number;
  readonly warm: number;
  readonly ahead: number;
  readonly predicted: number;
  /** What `hits` would be if those that are used most in these runs stayed in all places. */
  readonly bound: number;
  readonly read_bytes_per_token: number;
  readonly wait_ms_per_token: number;
  /** Of what the model wrote, token by token, from all in memory, in nats; null where there are no copies: 0. */
  readonly divergence: number | null;
}

/** Runs the benchmark and writes a report, or one JSON object with --json, to `stdout`. @throws UsageError for options that can't be measured. */
export async function benchTiers(args: readonly string[], { stdout, signal }: CommandContext): Promise<void> {
  const options = accepted(parse(args));
  const rows = await measure(options, signal);
  const { seed, newTokens: new_tokens, repeats, model } = options;
  const settings = { model, seed, new_tokens, repeats };
  const result = { machine: thisMachine(), ...settings, rows };
  stdout.write(options.json ? `${JSON.stringify(result)}\n` : report(options, rows));
}

function parse(args: readonly string[]): Options {
  const what = 'Decoding with some of the experts in memory against all of them, on one rank, one sequence at a time.';
  const parsed = benchParser('tiers', args, what)
    .option('model', {
      type: 'string',
      default: DEMO_MODEL,
      defaultDescription: 'models/moe-7m',
      describe: 'model folder',
    })
    .option('caps', { type: 'string', default: '10,25,50', describe: 'experts in memory, in percent of their bytes' })
    .option('policies', { type: 'string', default: TIER_POLICIES.join(), describe: 'which expert goes' })
    .option('warm', { type: 'string', default: '', describe: 'types of copies, as int8,int4 (experts.warm)' })
    .option('warm-share', { type: 'number', default: 50, describe: 'of those bytes, in percent, that copies get' })
    .option('new-tokens', { type: 'number', default: 128, describe: 'tokens of a run, sampled by the model' })
    .option('repeats', { type: 'number', default: 5, describe: 'runs in turns; the median counts' })
    .option('seed', { type: 'number', default: 1, describe: 'of the samples' })
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object' })
    .parseSync();
  wholeNumber('--new-tokens', parsed.newTokens, 2);
  wholeNumber('--repeats', parsed.repeats, 1);
  wholeNumber('--warm-share', parsed.warmShare, 1, 99);
  seedNumber('--seed', parsed.seed);
  const caps = wholeNumbers('--caps', parsed.caps);
  const large = caps.find((cap) => cap >= 100);
  if (large !== undefined) throw new UsageError(`--caps: ${large} is all or more; give percents from 1 to 99`);
  return { ...parsed, caps, policies: list(parsed.policies), warm: parsed.warm === '' ? [] : list(parsed.warm) };
}

/** An engine, and what its runs came to. */
interface Variant {
  readonly cap: number;
  readonly policy: string | null;
  readonly warm: string | null;
  readonly engine: Engine;
  readonly speeds: number[];
  divergence: number | null;
  before: ReturnType<typeof totalsOf> | null;
}

async function measure(options: Options, signal: AbortSignal): Promise<TiersRow[]> {
  const variants: Variant[] = [];
  const start = async (at: Pick<Variant, 'cap' | 'policy' | 'warm'>, keys: readonly string[] = []): Promise<Engine> => {
    const overrides = [...ONE_AT_A_TIME, 'compute=kernels', 'backend=wasm', ...keys];
    const config = await loadConfig({ base: { model: options.model }, overrides });
    const engine = await Engine.start({ config, signal });
    variants.push({ ...at, engine, speeds: [], before: null, divergence: null });
    return engine;
  };
  try {
    const whole = await start({ cap: 100, policy: null, warm: null });
    const all = bytesOfExperts(whole);
    for (const cap of options.caps) {
      const limit = all.each * Math.max(1, Math.ceil((cap * all.number) / 100));
      for (const policy of options.policies) {
        for (const warm of [null, ...options.warm])
          await start({ cap, policy, warm }, keysOf(limit, policy, warm, all.each, options.warmShare));
      }
    }
    let written: readonly number[] = [];
    for (let i = 0; i <= options.repeats; i++) {
      for (const variant of variants) {
        const { speed, tokenIds } = await run(variant.engine, options, options.seed + i, signal);
        if (variant.engine === whole) written = tokenIds;
        if (i === 0)
          variant.before = totalsOf(variant.engine); // the first warms up
        else variant.speeds.push(speed);
      }
    }
    const most = median(variants[0]!.speeds);
    const divergence = await divergencesFrom(whole, written, signal);
    const rows = variants.map((variant) => rowOf(variant, most, all, options));
    for (const [i, { warm, engine }] of variants.entries())
      if (warm !== null) rows[i] = { ...rows[i]!, divergence: await divergence(engine) };
    return rows;
  } finally {
    for (const { engine } of variants) await engine.close();
  }
}

interface ExpertsOfModel {
  readonly number: number;
  /** Of the largest type. */
  readonly each: number;
}

function bytesOfExperts(engine: Engine): ExpertsOfModel {
  const { spec } = engine;
  const { resident, expertLoad } = engine.stats();
  const sizes = expertSizesOf(spec);
  const each = Math.max(...dtypesIn(resident.experts).map((dtype) => expertBytes(sizes, dtype, spec.moe.activation)));
  return { each, number: expertLoad.reduce((sum, load_E) => sum + load_E.length, 0) };
}

/** Prompts too: what is scored meets experts as what is generated does. */
const ONE_AT_A_TIME = ['engine.prefix_cache=off', 'engine.max_num_seqs=1', 'engine.max_num_batched_tokens=1'];

/** Copies get `share` of the limit, and what is resident the rest, at least one expert. */
function keysOf(limit: number, policy: string, warm: string | null, least: number, share: number): string[] {
  const ofWarm = warm === null ? 0 : Math.min(Math.floor((limit * share) / 100), limit - least);
  const tiers = [`experts.max_resident_bytes=${limit - ofWarm}`, `experts.tier_policy=${policy}`];
  return warm === null ? tiers : [...tiers, `experts.warm.bytes=${ofWarm}`, `experts.warm.dtype=${warm}`];
}

/** Mean Σ p · ln(p / q) of the places of a text, in nats. */
async function divergencesFrom(
  whole: Engine,
  tokenIds: readonly number[],
  signal: AbortSignal,
): Promise<(other: Engine) => Promise<number>> {
  const { logits } = await scoredLogits(whole, tokenIds, signal);
  return async (other) => {
    const agreement = new Agreement(whole.spec.vocabSize);
    agreement.add(logits, (await scoredLogits(other, tokenIds, signal)).logits);
    return agreement.meanDivergence;
  };
}

/** Tokens per second behind the first one: of what the model writes from the first token of its vocabulary on. */
async function run(
  engine: Engine,
  { newTokens }: Options,
  seed: number,
  signal: AbortSignal,
): Promise<{ readonly speed: number; readonly tokenIds: readonly number[] }> {
  const sampling = { temperature: 0.8, topP: 0.95, seed };
  const request = { promptTokenIds: [0], maxNewTokens: newTokens, ignoreEos: true, sampling };
  let startMs: number | null = null;
  const tokenIds = [0];
  for await (const event of engine.generate(request, signal)) {
    if (event.kind !== 'token') continue;
    startMs ??= performance.now();
    tokenIds.push(event.tokenId);
  }
  return { speed: (1000 * (newTokens - 1)) / (performance.now() - startMs!), tokenIds };
}

function totalsOf(engine: Engine) {
  const { expertLoad, ranks } = engine.stats();
  const tiers = ranks[0]?.tiers ?? null;
  const uses = (kind: keyof LayerCounts): number => sumOf(tiers?.layers[kind] ?? []);
  return {
    load: expertLoad.flatMap((load_E) => [...load_E]),
    ...{ tiers, hits: uses('hits'), ahead: uses('ahead') },
    ...{ warm: uses('warm'), waits: uses('waits'), predicted: uses('predicted') },
    ...{ readBytes: tiers?.readBytes ?? 0, waitMs: tiers?.waitMs ?? 0 },
  };
}

const bytesOf = (tiers: TierStats | null): number | null =>
  tiers && tiers.residentBytes + (tiers.warm?.residentBytes ?? 0);

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

function rowOf(
  { cap, policy, warm, engine, speeds, before, divergence }: Variant,
  most: number,
  all: ExpertsOfModel,
  { newTokens, repeats }: Options,
): TiersRow {
  const after = totalsOf(engine);
  const of = (key: keyof LayerCounts | 'readBytes' | 'waitMs'): number => after[key] - before![key];
  const numUses = Math.max(1, of('hits') + of('ahead') + of('warm') + of('waits'));
  const load = after.load.map((count, e) => count - before!.load[e]!).sort((a, b) => b - a);
  const numSlots = after.tiers?.numSlots ?? all.number;
  const numTokens = newTokens * repeats;
  const isTiered = after.tiers !== null;
  return {
    ...{ cap, policy, warm_dtype: warm, divergence },
    resident_bytes: bytesOf(after.tiers) ?? all.number * all.each,
    ...{ tokens_per_s: median(speeds), ratio: median(speeds) / most },
    hits: isTiered ? (of('hits') + of('ahead')) / numUses : 1,
    warm: of('warm') / numUses,
    ahead: of('ahead') / numUses,
    predicted: of('predicted') / numUses,
    bound: sumOf(load.slice(0, numSlots)) / Math.max(1, sumOf(load)),
    read_bytes_per_token: of('readBytes') / numTokens,
    wait_ms_per_token: of('waitMs') / numTokens,
  };
}

const WARM_LINE =
  'warm: computed with copies of the type that stands behind the policy, which have a part of the bytes; KL: of what the model wrote, from all in memory';

function report({ model, newTokens, repeats, seed }: Options, rows: readonly TiersRow[]): string {
  const { cpu, cores, memory, node } = thisMachine();
  const head = ['in memory', 'policy', 'bytes', 'tokens/s', 'of all', 'hits', 'bound', 'ahead', 'warm', 'predicted'];
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const cells = rows.map((row) => [
    ...[
      `${row.cap} %`,
      [row.policy, row.warm_dtype].filter((name) => name !== null).join(', '),
      bytes(row.resident_bytes),
      row.tokens_per_s.toFixed(0),
    ],
    ...[`${row.ratio.toFixed(2)}x`, ...[row.hits, row.bound, row.ahead, row.warm, row.predicted].map(percent)],
    ...[bytes(row.read_bytes_per_token), `${row.wait_ms_per_token.toFixed(2)} ms`],
    row.divergence?.toPrecision(2) ?? '',
  ]);
  return [
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; ${model}, one rank, one sequence of ${newTokens} sampled tokens, medians of ${repeats} in turns, seed ${seed}`,
    'hits: wanted experts that were in memory (ahead: of all wanted, read before); bound: hits if the most used ones stayed; predicted: wanted ones that were expected',
    ...(rows.some(({ warm_dtype }) => warm_dtype !== null) ? [WARM_LINE] : []),
    table([[...head, 'read/token', 'waited/token', 'KL, nats'], ...cells]),
    '',
  ].join('\n');
}
