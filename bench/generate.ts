/** `expertwire bench generate`: prefill and decoding speed over ranks × batch, and where the time goes. */
import { STEP_PHASES, type StepPhase } from '../compute/base/stopwatch.js';
import type { CommandContext } from '../lib/commands/base/context.js';
import { loadConfig } from '../lib/config/load.js';
import { seedNumber, wholeNumber, wholeNumbers } from '../lib/commands/base/numbers.js';
import { Engine, type EngineStats } from '../lib/head/engine.js';
import { uniform } from '../base/philox.js';
import { bytes, table } from '../lib/metrics/charts.js';
import { DEMO_MODEL } from '../lib/config/package_files.js';
import { median, thisMachine } from './base/machine.js';
import { plainMatmulGflops } from './matmul.js';
import { accepted, benchParser } from './base/options.js';

interface Options {
  readonly model: string;
  readonly backend: string;
  readonly ranks: readonly number[];
  readonly batches: readonly number[];
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly repeats: number;
  readonly seed: number;
  readonly set: readonly string[];
  readonly json: boolean;
}

/** Figures of one (ranks, batch); medians over the repeats. */
export interface GenerateRow {
  readonly ranks: number;
  readonly batch: number;
  readonly prefill_tokens_per_s: number;
  readonly prefill_ratio: number;
  readonly decode_tokens_per_s: number;
  readonly decode_ratio: number;
  readonly prefill_bytes_per_token: number;
  readonly decode_bytes_per_token: number;
  readonly decode_ops_per_layer: number;
  readonly decode_calls_per_layer: number;
  readonly decode_copies_per_layer: number;
  readonly prefill_shares: Readonly<Record<StepPhase, number>>;
  readonly decode_shares: Readonly<Record<StepPhase, number>>;
}

/** How long the slowest rank of a job loaded, and the most memory that one took. */
export interface JobRow {
  readonly ranks: number;
  readonly load_ms: number;
  readonly peak_rss_bytes: number;
}

/** Runs the benchmark and writes a report, or one JSON object with --json, to `stdout`. @throws UsageError for options that can't be measured. */
export async function benchGenerate(args: readonly string[], { stdout, signal }: CommandContext): Promise<void> {
  const options = accepted(parse(args));
  const gflops = await plainMatmulGflops('wasm');
  const rows: GenerateRow[] = [];
  const jobs: JobRow[] = [];
  for (const ranks of options.ranks) {
    const engine = await start(options, ranks, signal);
    try {
      await warmUp(engine, options, signal);
      for (const batch of options.batches) rows.push(await measure(engine, options, ranks, batch, rows, signal));
      const { loadReports, ranks: rankStats } = engine.stats();
      const peak = Math.max(...rankStats.map(({ peakRssBytes }) => peakRssBytes));
      jobs.push({ ranks, load_ms: Math.max(...loadReports.map(({ loadMs }) => loadMs)), peak_rss_bytes: peak });
    } finally {
      await engine.close();
    }
  }
  const machine = thisMachine();
  if (options.json) {
    const { seed, promptTokens: prompt_tokens, newTokens: new_tokens, repeats } = options;
    const settings = { seed, prompt_tokens, new_tokens, repeats };
    stdout.write(`${JSON.stringify({ machine, ...settings, plain_matmul_gflops: gflops, rows, jobs })}\n`);
    return;
  }
  stdout.write(report(options, gflops, rows, jobs));
}

function parse(args: readonly string[]): Options {
  const what = 'Prefill and decode tokens/s over ranks × batch, against one rank and a plain matmul of the same run.';
  const parsed = benchParser('generate', args, what)
    .option('model', {
      type: 'string',
      default: DEMO_MODEL,
      defaultDescription: 'models/moe-7m',
      describe: 'model folder',
    })
    .option('backend', { type: 'string', default: 'auto', describe: 'auto, tensorflow, webgpu, wasm or cpu' })
    .option('ranks', {
      type: 'string',
      default: '1,2,4',
      describe: 'numbers of ranks; 1 is the baseline',
    })
    .option('batches', { type: 'string', default: '1,8,32', describe: 'sequences at a time' })
    .option('prompt-tokens', { type: 'number', default: 32, describe: 'tokens of each prompt' })
    .option('new-tokens', { type: 'number', default: 32, describe: 'tokens to decode per sequence' })
    .option('repeats', { type: 'number', default: 3, describe: 'runs; the median counts' })
    .option('seed', { type: 'number', default: 1, describe: 'of the random prompts' })
    .option('set', { type: 'string', array: true, nargs: 1, default: [], describe: 'any configuration key' })
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object' })
    .parseSync();
  const { promptTokens, newTokens, repeats } = parsed;
  const counts = { 'prompt-tokens': promptTokens, 'new-tokens': newTokens, repeats };
  for (const [name, value] of Object.entries(counts)) wholeNumber(`--${name}`, value, 1);
  seedNumber('--seed', parsed.seed);
  return {
    ...parsed,
    ranks: wholeNumbers('--ranks', parsed.ranks),
    batches: wholeNumbers('--batches', parsed.batches),
  };
}

async function start(options: Options, ranks: number, signal: AbortSignal): Promise<Engine> {
  const flags = { model: options.model, parallel: { ranks } };
  // Batches of one size have prompts of smaller ones among them, and each is to be computed.
  const own = [
    `backend=${options.backend}`,
    'engine.prefix_cache=off',
    `engine.max_num_waiting=${Math.max(...options.batches)}`,
  ];
  const config = await loadConfig({ flags, overrides: [...own, ...options.set] });
  return Engine.start({ config, signal });
}

/** V8 compiles a rank's hot loops over the first hundred steps or so. */
const WARM_UP_TOKENS = 200;

async function warmUp(engine: Engine, options: Options, signal: AbortSignal): Promise<void> {
  const most = engine.limits.maxModelLen - options.promptTokens;
  await generateAll(engine, [randomPrompt(engine, options, 0)], Math.min(WARM_UP_TOKENS, most), signal);
}

interface Run {
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly start: EngineStats;
  readonly middle: EngineStats;
  readonly end: EngineStats;
}

async function measure(
  engine: Engine,
  options: Options,
  ranks: number,
  batch: number,
  earlier: readonly GenerateRow[],
  signal: AbortSignal,
): Promise<GenerateRow> {
  await runOnce(engine, options, batch, 0, signal); // warms up for this batch
  const runs: Run[] = [];
  for (let i = 1; i <= options.repeats; i++) runs.push(await runOnce(engine, options, batch, i, signal));
  const numPrefill = batch * options.promptTokens;
  const numDecode = batch * (options.newTokens - 1);
  const prefill = median(runs.map(({ prefillMs }) => (1000 * numPrefill) / prefillMs));
  const decode = median(runs.map(({ decodeMs }) => (1000 * numDecode) / decodeMs));
  const baseline = earlier.find((row) => row.ranks === 1 && row.batch === batch);
  const { start, middle, end } = runs.at(-1)!;
  const perLayer = (count: 'numKernelRuns' | 'numKernelCalls' | 'numCopies'): number =>
    (end.ranks[0]![count] - middle.ranks[0]![count]) / (end.numSteps - middle.numSteps) / engine.spec.layers.length;
  return {
    ranks,
    batch,
    prefill_tokens_per_s: prefill,
    prefill_ratio: prefill / (baseline?.prefill_tokens_per_s ?? prefill),
    decode_tokens_per_s: decode,
    decode_ratio: decode / (baseline?.decode_tokens_per_s ?? decode),
    prefill_bytes_per_token: (bytesOf(middle) - bytesOf(start)) / numPrefill,
    decode_bytes_per_token: (bytesOf(end) - bytesOf(middle)) / numDecode,
    decode_ops_per_layer: perLayer('numKernelRuns'),
    decode_calls_per_layer: perLayer('numKernelCalls'),
    decode_copies_per_layer: perLayer('numCopies'),
    prefill_shares: shares(start, middle),
    decode_shares: shares(middle, end),
  };
}

/** One batch from prompts to last tokens; its prefill ends when the last prompt has its first token. */
async function runOnce(
  engine: Engine,
  options: Options,
  batch: number,
  run: number,
  signal: AbortSignal,
): Promise<Run> {
  const prompts = Array.from({ length: batch }, (_, i) => randomPrompt(engine, options, run * batch + i));
  const first = engine.stats();
  const {
    firstTokenMs: prefillMs,
    stats: middle,
    totalMs,
  } = await generateAll(engine, prompts, options.newTokens, signal);
  return { prefillMs, decodeMs: totalMs - prefillMs, start: first, middle, end: engine.stats() };
}

async function generateAll(
  engine: Engine,
  prompts: readonly (readonly number[])[],
  maxNewTokens: number,
  signal: AbortSignal,
): Promise<{ firstTokenMs: number; totalMs: number; stats: EngineStats }> {
  const startMs = performance.now();
  let numStarted = 0;
  let firstTokenMs = 0;
  let stats = engine.stats();
  await Promise.all(
    prompts.map(async (promptTokenIds) => {
      let isFirst = true;
      for await (const event of engine.generate({ promptTokenIds, maxNewTokens, ignoreEos: true }, signal)) {
        if (!isFirst || event.kind !== 'token') continue;
        isFirst = false;
        if (++numStarted < prompts.length) continue;
        // The last prompt is prefilled: what follows is decoding.
        firstTokenMs = performance.now() - startMs;
        stats = engine.stats();
      }
    }),
  );
  return { firstTokenMs, totalMs: performance.now() - startMs, stats };
}

function randomPrompt(engine: Engine, { promptTokens, seed }: Options, stream: number): number[] {
  const { vocabSize } = engine.spec;
  return Array.from({ length: promptTokens }, (_, i) => Math.floor(uniform(seed, stream, i) * vocabSize));
}

const bytesOf = ({ dispatchBytes, combineBytes }: EngineStats): number =>
  [...dispatchBytes, ...combineBytes].flat().reduce((sum, count) => sum + count, 0);

/** Parts of the ranks' time in steps, which sum to 1. */
function shares(from: EngineStats, to: EngineStats): Record<StepPhase, number> {
  const spent = STEP_PHASES.map((phase) => [phase, to.phasesMs[phase] - from.phasesMs[phase]] as const);
  const total = spent.reduce((sum, [, ms]) => sum + ms, 0);
  return Object.fromEntries(spent.map(([phase, ms]) => [phase, ms / total])) as Record<StepPhase, number>;
}

function report(options: Options, gflops: number, rows: readonly GenerateRow[], jobs: readonly JobRow[]): string {
  const { cpu, cores, memory, node } = thisMachine();
  const speed = rows.map((row) => [
    `${row.ranks} × ${row.batch}`,
    row.prefill_tokens_per_s.toFixed(0),
    `${row.prefill_ratio.toFixed(2)}x`,
    row.decode_tokens_per_s.toFixed(0),
    `${row.decode_ratio.toFixed(2)}x`,
    row.prefill_bytes_per_token.toFixed(0),
    row.decode_bytes_per_token.toFixed(0),
    row.decode_ops_per_layer.toFixed(0),
    row.decode_calls_per_layer.toFixed(1),
    row.decode_copies_per_layer.toFixed(1),
  ]);
  const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
  const shareTable = (of: 'prefill_shares' | 'decode_shares'): string =>
    table([
      [of === 'prefill_shares' ? 'prefill' : 'decode', ...STEP_PHASES],
      ...rows.map((row) => [`${row.ranks} × ${row.batch}`, ...STEP_PHASES.map((phase) => percent(row[of][phase]))]),
    ]);
  return `${[
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${options.seed}; ${options.promptTokens} prompt tokens, ` +
      `${options.newTokens} new; median of ${options.repeats}, after a warm-up`,
    `baseline of this run: plain 512³ matmul ${gflops.toFixed(1)} GFLOP/s in one process; ratios are against 1 rank, same batch`,
    'prefill tokens/s = batch × prompt tokens / time until every prompt has its first token; decode tokens/s = batch × (new − 1) / rest;',
    'bytes = dispatch + combine between ranks, headers included; ops = TensorFlow.js kernels, calls = calls of',
    'fused kernels, copies = activations and logits copied in or out of their memory, of rank 0 per layer and decoding step',
    '',
    table([
      [
        'ranks × batch',
        'prefill/s',
        'ratio',
        'decode/s',
        'ratio',
        'bytes/token prefill',
        'decode',
        'ops/layer',
        'calls',
        'copies',
      ],
      ...speed,
    ]),
    '',
    shareTable('prefill_shares'),
    '',
    shareTable('decode_shares'),
    '',
    table([
      ['ranks', 'load', 'peak memory per rank'],
      ...jobs.map((job) => [String(job.ranks), `${(job.load_ms / 1000).toFixed(2)} s`, bytes(job.peak_rss_bytes)]),
    ]),
  ].join('\n')}\n`;
}
