/** `expertwire jobs fetch`: the files of a run. */
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { printable } from '../../../base/foreign_text.js';
import { writeOutputs } from '../../jobs/outputs/node_outputs.js';
import { UsageError } from '../base/context.js';
import { outputFailed } from '../base/output_file.js';
import { JobError } from '../../jobs/base/errors.js';
import { runNamed, type JobsRun } from './jobs_run.js';

/** A folder for each node that did something; of a single node its files straight. @throws UsageError, JobError, OutputError */
export async function fetchRun(jobsRun: JobsRun): Promise<void> {
  const { args, bus, context, names } = jobsRun;
  const run = await runNamed(names[0]!, jobsRun);
  if (args.node !== undefined && !Object.hasOwn(run.nodes, args.node))
    throw new UsageError(
      `${run.job.name} has no node ${printable(args.node)}; it has ${Object.keys(run.nodes).join(', ')}`,
    );
  const folder = resolve(args.output ?? run.id);
  const there = await readdir(folder).catch(() => []);
  if (there.length > 0) throw new UsageError(`${folder} isn't empty; give --output another folder`);
  const all = Object.entries(run.nodes).filter(([, { shardTotal }]) => shardTotal !== null);
  const wanted = all.filter(([name]) => args.node === undefined || name === args.node);
  const isAlone = run.job.nodes.length === 1 || args.node !== undefined;
  for (const [node, { of }] of wanted) {
    const path = isAlone ? folder : join(folder, node);
    await writeOutputs(bus, { run: of, node }, path).catch((cause: unknown) => {
      throw cause instanceof JobError ? cause : outputFailed('--output', path, cause);
    });
  }
  if (wanted.length === 0) throw new UsageError(`nothing of ${run.id} has begun yet, it is ${run.state}; wait for it`);
  context.stdout.write(args.json === true ? `${JSON.stringify({ run: run.id, folder })}\n` : `${folder}\n`);
}
