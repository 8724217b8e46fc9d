/** `expertwire bench jobs`: what jobs add to what they run. */
import type { CommandContext } from '../../lib/commands/base/context.js';
import type { Measured } from '../base/measured.js';
import { section } from '../base/measured_text.js';
import { accepted } from '../base/options.js';
import { runMeasurements } from '../base/run_measurements.js';
import { measureQueue } from './measure_queue.js';
import { measureTasks } from './measure_tasks.js';
import { measureTriggers } from './measure_triggers.js';
import { parseOptions, type JobsBenchOptions, type MeasurementName } from './options.js';
import type { SiteOptions } from './site.js';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';

const MEASURES: Readonly<Record<MeasurementName, (bench: JobsBenchOptions & SiteOptions) => Promise<Measured>>> = {
  queue: measureQueue,
  tasks: measureTasks,
  triggers: measureTriggers,
};

/** @throws UsageError, OutputError, JobError, BenchError */
export async function benchJobs(args: readonly string[], context: CommandContext): Promise<void> {
  const options = accepted(parseOptions(args));
  await runMeasurements(context, options, {
    header: ({ cpu, cores, memory, node }) =>
      `${cpu}, ${cores} cores, ${memory}, Node ${node}; nothing is drawn by chance\n`,
    section,
    begin: ({ folder, signal }) =>
      Promise.resolve(async (name: MeasurementName) =>
        MEASURES[name]({ ...options, folder: await mkdtemp(join(folder, 'site-')), signal }),
      ),
  });
}
