/** The benchmarks that there are, for command lines and experiments. What they do stands in `bench`. */

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
  'experiment',
  'formats',
  'generate',
  'hooks',
  'jobs',
  'kv',
  'launch',
  'peers',
  'pull',
  'resume',
  'scale',
  'scenarios',
  'serve',
  'slow',
  'tiers',
  'tokenizer',
] as const;

/** One of {@link BENCH_NAMES}. */
export type BenchName = (typeof BENCH_NAMES)[number];
