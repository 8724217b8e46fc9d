/** `expertwire bench kv`: what it gains to keep keys and values, each figure against a baseline of the same run. */
import { setMaxListeners } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closing } from '../../lib/commands/base/closing.js';
import type { CommandContext } from '../../lib/commands/base/context.js';
import { checkOutputs } from '../../lib/commands/base/output_file.js';
import { writeFigures } from '../base/figures_file.js';
import { thisMachine } from '../base/machine.js';
import { checkTokens, type Measured } from '../base/measured.js';
import { header, section } from '../base/measured_text.js';
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

/** Runs the measurements one after the other, prints each as it ends, and writes the file that was asked for. @throws UsageError, OutputError, BenchError; TOKENS_DIFFER in the end */
export async function benchKv(args: readonly string[], { stdout, env, signal: given }: CommandContext): Promise<void> {
  const signal = AbortSignal.any([given]);
  setMaxListeners(0, signal); // a listener per request
  const options = parseOptions(args);
  const { json, names, ...settings } = options;
  await checkOutputs({ '--json': json });
  const machine = thisMachine();
  stdout.write(header(machine, options));
  const results: Record<string, Measured> = {};
  const folder = await mkdtemp(join(tmpdir(), 'expertwire-bench-'));
  await closing(
    () => rm(folder, { recursive: true, force: true }),
    async () => {
      for (const name of names) {
        signal.throwIfAborted();
        results[name] = await MEASURES[name]({ ...settings, folder, env: { ...env, HOME: folder }, signal });
        stdout.write(section(name, results[name]));
      }
    },
  );
  await writeFigures(json, { machine, ...settings, results });
  checkTokens(Object.values(results), settings.seed);
}
