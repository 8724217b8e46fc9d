/** `expertwire bench cluster`: what many instances cost and gain, each figure against a baseline of the same run. */
import type { CommandContext } from '../../lib/commands/base/context.js';
import { accepted } from '../base/options.js';
import { writeLongModel } from './long_model.js';
import { measureHandover } from './measure_handover.js';
import { measureMigration } from './measure_migration.js';
import { measureRouting } from './measure_routing.js';
import { checkTokens, type Measured } from '../base/measured.js';
import { header, section } from '../base/measured_text.js';
import { runMeasurements } from '../base/run_measurements.js';
import type { ClusterBench } from './measurement.js';
import { parseOptions, type MeasurementName } from './options.js';
import { measureRouter } from './measure_router.js';

const MEASURES: Readonly<Record<MeasurementName, (bench: ClusterBench) => Promise<Measured>>> = {
  migration: measureMigration,
  handover: measureHandover,
  routing: measureRouting,
  router: measureRouter,
};

/** @throws UsageError, OutputError, BenchError; TOKENS_DIFFER in the end */
export async function benchCluster(args: readonly string[], context: CommandContext): Promise<void> {
  const options = accepted(parseOptions(args));
  const results = await runMeasurements(context, options, {
    header: (machine) => header(machine, options),
    section,
    begin: async ({ folder, signal }) => {
      const longModel = await writeLongModel(folder, options.seed, signal);
      const bench = { ...options, folder, longModel, env: { ...context.env, HOME: folder }, signal };
      return (name: MeasurementName) => MEASURES[name](bench);
    },
  });
  checkTokens(results, options.seed);
}
