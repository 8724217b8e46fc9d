import { loadBenches } from './base/benches.js';
import type { CommandContext } from './base/context.js';

/** Benchmarks, as help lists them. */
export const BENCH_NAMES = [
  'balance',
  'chaos',
  'cluster',
  'codec',
  'compute',
  'dispatch',
  'engine',
  'eplb',
  'formats',
  'generate',
  'hooks',
  'kv',
  'peers',
  'pull',
  'resume',
  'scale',
  'scenarios',
  'serve',
  'slow',
  'tokenizer',
] as const;

/** One of {@link BENCH_NAMES}. */
export type BenchName = (typeof BENCH_NAMES)[number];

/** Runs a benchmark with the arguments that follow its name. */
export type Bench = (args: readonly string[], context: CommandContext) => Promise<void>;

/** `expertwire bench NAME`: loads the benchmarks, and only then. */
export const bench: Bench = async (args, context) => {
  const { runBench } = await loadBenches<{ readonly runBench: Bench }>();
  await runBench(args, context);
};
