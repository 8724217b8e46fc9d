/** `expertwire bench hooks`: what looking inside costs per step, point by point, and that who doesn't look pays nothing. */
import { uniform } from '../base/philox.js';
import { loadConfig } from '../lib/config/load.js';
import { DEMO_MODEL } from '../lib/config/package_files.js';
import type { CommandContext } from '../lib/commands/base/context.js';
import { seedNumber, wholeNumber, wholeNumbers } from '../lib/commands/base/numbers.js';
import { Engine } from '../lib/head/engine.js';
import { bytes, table } from '../lib/metrics/charts.js';
import type { Hook, HookPoint } from '../lib/protocol/hook.js';
import { median, thisMachine } from './base/machine.js';
import { accepted, benchParser } from './base/options.js';

const POINTS: readonly HookPoint[] = [
  ...(['hiddenBefore', 'hiddenAfter', 'lensLogits', 'moeInput', 'routerLogits', 'routerScores', 'routing'] as const),
  'expertOutputs',
];

interface Options {
  readonly model: string;
  readonly ranks: readonly number[];
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly repeats: number;
  readonly seed: number;
  readonly json: boolean;
}

/** What one request cost, per step; medians over the repeats. Counts are those of all ranks. */
export interface HooksRow {
  readonly ranks: number;
  /** 'off', a point in all layers, or all points at a tenth of the tokens. */
  readonly hooks: string;
  readonly step_ms: number;
  /** Of the same run without hooks. */
  readonly ratio: number;
  readonly events: number;
  readonly kernel_calls: number;
  readonly copies: number;
  readonly copied_bytes: number;
  /** Between ranks. */
  readonly exchanged_bytes: number;
  /** That ranks tell the head beside tokens. */
  readonly told_bytes: number;
}

/** Runs the benchmark and writes a report, or one JSON object with --json, to `stdout`. @throws UsageError for options that can't be measured. */
export async function benchHooks(args: readonly string[], { stdout, signal }: CommandContext): Promise<void> {
  const options = accepted(parse(args));
  const rows: HooksRow[] = [];
  for (const ranks of options.ranks) rows.push(...(await measure(options, ranks, signal)));
  const machine = thisMachine();
  const { seed, promptTokens: prompt_tokens, newTokens: new_tokens, repeats } = options;
  const settings = { seed, prompt_tokens, new_tokens, repeats };
  stdout.write(options.json ? `${JSON.stringify({ machine, ...settings, rows })}\n` : report(options, rows));
}

function parse(args: readonly string[]): Options {
  const what =
    'Time, kernel calls, copies and bytes of a step, without hooks and with one at each point in all layers.';
  const parsed = benchParser('hooks', args, what)
    .option('model', {
      type: 'string',
      default: DEMO_MODEL,
      defaultDescription: 'models/moe-7m',
      describe: 'model folder',
    })
    .option('ranks', { type: 'string', default: '1,2', describe: 'numbers of ranks' })
    .option('prompt-tokens', { type: 'number', default: 16, describe: 'tokens of the prompt' })
    .option('new-tokens', { type: 'number', default: 32, describe: 'tokens to decode' })
    .option('repeats', { type: 'number', default: 5, describe: 'runs in turns; the median counts' })
    .option('seed', { type: 'number', default: 1, describe: 'of the random prompt' })
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object' })
    .parseSync();
  const { promptTokens, newTokens, repeats } = parsed;
  const counts = { 'prompt-tokens': promptTokens, 'new-tokens': newTokens, repeats };
  for (const [name, value] of Object.entries(counts)) wholeNumber(`--${name}`, value, 1);
  seedNumber('--seed', parsed.seed);
  return { ...parsed, ranks: wholeNumbers('--ranks', parsed.ranks) };
}

interface Variant {
  readonly name: string;
  readonly hooks: readonly Hook[];
}

/** Those without hooks come first and last, so that what hooks leave behind would show. */
function variantsOf(onEvent: () => void): readonly Variant[] {
  const all = Object.fromEntries(POINTS.map((point) => [point, 'all' as const]));
  return [
    { name: 'off', hooks: [] },
    ...POINTS.map((point) => ({ name: point, hooks: [{ points: { [point]: 'all' as const }, onEvent }] })),
    { name: 'all, share 0.1', hooks: [{ points: all, share: 0.1, onEvent }] },
    { name: 'off again', hooks: [] },
  ];
}

async function measure(options: Options, ranks: number, signal: AbortSignal): Promise<HooksRow[]> {
  const base = { model: options.model, parallel: { ranks } };
  const config = await loadConfig({ base, overrides: ['engine.prefix_cache=off'] });
  const engine = await Engine.start({ config, signal });
  let numEvents = 0;
  let toldBytes = 0;
  engine.watch({
    step: ({ results }) => {
      const outputs = results.flatMap((result) => result?.outputs ?? []);
      for (const { tables = [] } of outputs) for (const { rows } of tables) toldBytes += rows.byteLength;
    },
  });
  const variants = variantsOf(() => {
    numEvents++;
  });
  const runs = new Map(variants.map(({ name }) => [name, [] as Omit<HooksRow, 'ranks' | 'hooks' | 'ratio'>[]]));
  try {
    for (let i = 0; i <= options.repeats; i++) {
      for (const { name, hooks } of variants) {
        [numEvents, toldBytes] = [0, 0];
        const { steps, ...counts } = await stepsOf(engine, options, hooks, signal);
        const own = { ...counts, events: numEvents / steps, told_bytes: toldBytes / steps };
        if (i > 0) runs.get(name)!.push(own); // the first warms up
      }
    }
  } finally {
    await engine.close();
  }
  const stepMsOf = (name: string): number => median(runs.get(name)!.map(({ step_ms }) => step_ms));
  return variants.map(({ name }) => {
    const counts = runs.get(name)!.at(-1)!;
    return { ...counts, ranks, hooks: name, step_ms: stepMsOf(name), ratio: stepMsOf(name) / stepMsOf('off') };
  });
}

/** One request, per step. */
async function stepsOf(
  engine: Engine,
  { promptTokens, newTokens, seed }: Options,
  hooks: readonly Hook[],
  signal: AbortSignal,
): Promise<
  Pick<HooksRow, 'step_ms' | 'kernel_calls' | 'copies' | 'copied_bytes' | 'exchanged_bytes'> & {
    readonly steps: number;
  }
> {
  const { vocabSize } = engine.spec;
  const promptTokenIds = Array.from({ length: promptTokens }, (_, i) => Math.floor(uniform(seed, 0, i) * vocabSize));
  const before = totalsOf(engine);
  const startMs = performance.now();
  const request = { promptTokenIds, maxNewTokens: newTokens, ignoreEos: true, hooks };
  for await (const event of engine.generate(request, signal)) if (event.kind === 'finished') break;
  const elapsedMs = performance.now() - startMs;
  const after = totalsOf(engine);
  const steps = after.steps - before.steps;
  const perStep = (key: keyof typeof after): number => (after[key] - before[key]) / steps;
  return {
    ...{ steps, step_ms: elapsedMs / steps, kernel_calls: perStep('calls'), copies: perStep('copies') },
    ...{ copied_bytes: perStep('copied'), exchanged_bytes: perStep('exchanged') },
  };
}

function totalsOf(engine: Engine) {
  const { ranks, numSteps: steps, dispatchBytes, combineBytes } = engine.stats();
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return {
    steps,
    calls: sum(ranks.map(({ numKernelCalls }) => numKernelCalls)),
    copies: sum(ranks.map(({ numCopies }) => numCopies)),
    copied: sum(ranks.map(({ copiedBytes }) => copiedBytes)),
    exchanged: sum([...dispatchBytes, ...combineBytes].flat()),
  };
}

function report({ promptTokens, newTokens, repeats, seed }: Options, rows: readonly HooksRow[]): string {
  const { cpu, cores, memory, node } = thisMachine();
  const head = [
    'ranks',
    'hooks',
    'ms/step',
    'ratio',
    'events',
    'kernel calls',
    'copies',
    'copied',
    'between ranks',
    'told',
  ];
  const cells = rows.map((row) => [
    ...[String(row.ranks), row.hooks, row.step_ms.toFixed(2), `${row.ratio.toFixed(2)}x`, row.events.toFixed(1)],
    ...[row.kernel_calls.toFixed(1), row.copies.toFixed(1)],
    ...[row.copied_bytes, row.exchanged_bytes, row.told_bytes].map(bytes),
  ]);
  return [
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; ${promptTokens} prompt tokens, ${newTokens} new ones, medians of ${repeats}, seed ${seed}`,
    'per step, of all ranks; told: what ranks tell the head beside tokens; ratio: time against that without hooks',
    table([head, ...cells]),
    '',
  ].join('\n');
}
