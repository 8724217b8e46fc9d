/** `expertwire bench kv`: what it gains to keep keys and values, each figure against a baseline of the same run. */
import type { CommandContext } from '../../lib/commands/base/context.js';
import { checkTokens, type Measured } from '../base/measured.js';
import { header, section } from '../base/measured_text.js';
import { runMeasurements } from '../base/run_measurements.js';
import { accepted } from '../base/options.js';
import type { KvBench } from './kv_bench.js';
import { measureDisk } from './measure_disk.js';
import { measureHits } from './measure_hits.js';
import { measureInt8 } from './measure_int8.js';
import { measureTransfer } from './measure_transfer.js';
import { parseOptions, type MeasurementName } from './options.js';

/** A file per measurement. */
const MEASURES: Readonly<Record<MeasurementName, (bench: KvBench) => Promise<Measured>>> = {
  hits: measureHits,
  transfer: measureTransfer,
  disk: measureDisk,
  int8: measureInt8,
};

/** @throws UsageError, OutputError, BenchError; TOKENS_DIFFER in the end */
export async function benchKv(args: readonly string[], context: CommandContext): Promise<void> {
  const options = accepted(parseOptions(args));
  const results = await runMeasurements(context, options, {
    header: (machine) => header(machine, options),
    section,
    begin: ({ folder, signal }) => {
      const bench = { ...options, folder, env: { ...context.env, HOME: folder }, signal };
      return Promise.resolve((name: MeasurementName) => MEASURES[name](bench));
    },
  });
  checkTokens(results, options.seed);
}
