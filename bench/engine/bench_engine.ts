/** `expertwire bench engine`: what the engine makes of its model, each figure against a baseline of the same run. */
import { join } from 'node:path';
import type { CommandContext } from '../../lib/commands/base/context.js';
import { makeRandomCheckpoint } from '../../lib/model/random_checkpoint.js';
import { readModelFiles } from '../../lib/weights/model_files.js';
import { runMeasurements, type Place } from '../base/run_measurements.js';
import { accepted } from '../base/options.js';
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

/** @throws UsageError, OutputError */
export async function benchEngine(args: readonly string[], context: CommandContext): Promise<void> {
  const options = accepted(parseOptions(args));
  await runMeasurements(context, options, {
    header: (machine) => header(machine, options),
    section,
    begin: async (place) => {
      const bench = { ...options, longModel: await writeLongModel(options, place), signal: place.signal };
      return (name: MeasurementName) => MEASURES[name](bench);
    },
  });
}

/** Positions of the model for long prompts. */
const LONG_POSITIONS = 4096;

/** Random weights in the model's own shape, but for room for long prompts. */
async function writeLongModel({ model, seed }: EngineBenchOptions, { folder, signal }: Place): Promise<string> {
  const { config } = await readModelFiles(model);
  const dir = join(folder, 'long');
  const longer = { ...config, max_position_embeddings: LONG_POSITIONS, rope_scaling: null };
  await makeRandomCheckpoint(dir, { config: longer, dtype: 'BF16', seed, signal });
  return dir;
}
