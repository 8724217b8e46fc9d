import type { CommandContext } from './base/context.js';

/** Runs a benchmark with the arguments that follow its name. */
export type Bench = (args: readonly string[], context: CommandContext) => Promise<void>;

/** Benchmarks stand on top of this folder and are compiled by themselves: a name that the compiler doesn't follow. */
const BENCHES = '../../bench/index.js';

/** `expertwire bench NAME`: loads the benchmarks, and only then. */
export const bench: Bench = async (args, context) => {
  const { runBench } = (await import(BENCHES)) as { readonly runBench: Bench };
  await runBench(args, context);
};
