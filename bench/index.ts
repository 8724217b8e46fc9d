/** Benchmarks behind `expertwire bench NAME`. */
import type { CommandContext } from '../lib/commands/context.js';
import { UsageError } from '../lib/commands/context.js';
import { benchCodec } from './codec.js';
import { benchGenerate } from './generate.js';

const BENCHES: Readonly<Record<string, (args: readonly string[], context: CommandContext) => Promise<void>>> = {
  codec: benchCodec,
  generate: benchGenerate,
};

/** @throws UsageError naming the benchmarks. */
export async function runBench([name = '', ...args]: readonly string[], context: CommandContext): Promise<void> {
  const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
  if (bench === undefined)
    throw new UsageError(`no benchmark '${name}'; there are: ${Object.keys(BENCHES).join(', ')}`);
  await bench(args, context);
}
