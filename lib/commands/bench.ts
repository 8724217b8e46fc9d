import { loadBenches } from './base/benches.js';
import type { CommandContext } from './base/context.js';

export { BENCH_NAMES, type BenchName } from '../experiment/base/bench_names.js';

/** Runs a benchmark with the arguments that follow its name. */
export type Bench = (args: readonly string[], context: CommandContext) => Promise<void>;

/** `expertwire bench NAME`: loads the benchmarks, and only then. */
export const bench: Bench = async (args, context) => {
  const { runBench } = await loadBenches<{ readonly runBench: Bench }>();
  await runBench(args, context);
};
