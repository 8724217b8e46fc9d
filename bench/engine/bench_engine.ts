/** `expertwire bench engine`: what the engine makes of its model, each figure against a baseline of the same run. */
import { setMaxListeners } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closing } from '../../lib/commands/base/closing.js';
import type { CommandContext } from '../../lib/commands/base/context.js';
import { checkOutputs } from '../../lib/commands/base/output_file.js';
import { makeRandomCheckpoint } from '../../lib/model/random_checkpoint.js';
import { readModelFiles } from '../../lib/weights/model_files.js';
import { writeFigures } from '../base/figures_file.js';
import { thisMachine } from '../base/machine.js';
import { measureAlone } from './measure_alone.js';
import { measureBatching } from './measure_batching.js';
import { measureHead } from './measure_head.js';
import { measureHttp } from './measure_http.js';
import { measureLongPrompts } from './measure_long_prompts.js';
import { measureMoving } from './measure_moving.js';
import { measurePrefix } from './measure_prefix.js';
import { measureWaste } from './measure_waste.js';
import type { Bench, Measured } from './measurement.js';
import { parseOptions, type EngineBenchOptions, type MeasurementName } from './options.js';
import { header, section } from './report.js';

const MEASURES: Readonly<Record<MeasurementName, (bench: Bench) => Promise<Measured>>> = {
  batching: measureBatching,
  long_prompts: measureLongPrompts,
  alone: measureAlone,
  head: measureHead,
  prefix: measurePrefix,
  moving: measureMoving,
  waste: measureWaste,
  http: measureHttp,
};

/** Runs the measurements one after the other, prints each as it ends, and writes the file that was asked for. @throws UsageError, OutputError */
export async function benchEngine(args: readonly string[], { stdout, signal: given }: CommandContext): Promise<void> {
  const signal = AbortSignal.any([given]);
  setMaxListeners(0, signal); // a listener per request
  const options = parseOptions(args);
  const { json, names, ...settings } = options;
  await checkOutputs({ '--json': json });
  const machine = thisMachine();
  stdout.write(header(machine, options));
  const results: Record<string, Measured> = {};
  await withLongModel(options, signal, async (longModel) => {
    for (const name of names) {
      signal.throwIfAborted();
      results[name] = await MEASURES[name]({ ...settings, longModel, signal });
      stdout.write(section(name, results[name]));
    }
  });
  await writeFigures(json, { machine, ...settings, results });
}

/** Positions of the model for long prompts. */
const LONG_POSITIONS = 4096;

/** A folder with random weights in the model's own shape, but for room for long prompts; it is gone afterwards. */
async function withLongModel(
  { model, seed }: EngineBenchOptions,
  signal: AbortSignal,
  use: (dir: string) => Promise<void>,
): Promise<void> {
  const { config } = await readModelFiles(model);
  const folder = await mkdtemp(join(tmpdir(), 'expertwire-bench-'));
  await closing(
    () => rm(folder, { recursive: true, force: true }),
    async () => {
      const dir = join(folder, 'long');
      const longer = { ...config, max_position_embeddings: LONG_POSITIONS, rope_scaling: null };
      await makeRandomCheckpoint(dir, { config: longer, dtype: 'BF16', seed, signal });
      await use(dir);
    },
  );
}
