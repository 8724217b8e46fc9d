/** `expertwire jobs logs`: what the shards of a run say. */
import { printable } from '../../../base/foreign_text.js';
import type { LogLine } from '../../jobs/base/job_bus.js';
import { ENDED, type JobRun } from '../../jobs/base/run.js';
import { UsageError } from '../base/context.js';
import { wholeNumber } from '../base/numbers.js';
import { endedRun } from './ended_run.js';
import { runNamed, type JobsRun } from './jobs_run.js';

const MAX_CHARS = 8000;

/** @throws UsageError, JobError NO_SUCH_RUN, BUS_FAILED */
export async function logs(jobsRun: JobsRun): Promise<void> {
  const { args, bus, context, names } = jobsRun;
  const run = await runNamed(names[0]!, jobsRun);
  const index = wholeNumber('--shard', args.shard, 0);
  if (args.node !== undefined && !Object.hasOwn(run.nodes, args.node))
    throw new UsageError(
      `${run.job.name} has no node ${printable(args.node)}; it has ${Object.keys(run.nodes).join(', ')}`,
    );
  const what = {
    run: run.id,
    ...(args.node !== undefined && { node: args.node }),
    ...(index !== undefined && { index }),
  };
  const print = (line: LogLine): void => {
    context.stdout.write(
      args.json === true ? `${JSON.stringify(line)}\n` : `${placeOf(line, run)}${printable(line.text, MAX_CHARS)}\n`,
    );
  };
  let numPrinted = 0;
  if (args.follow === true && !ENDED.has(run.state)) {
    const over = new AbortController();
    const ended = endedRun(bus, run.id, context.signal).finally(() => over.abort());
    for await (const line of bus.logs.read(what, over.signal)) {
      numPrinted++;
      print(line);
    }
    await ended;
  }
  // Whatever was written before the run's end is there now.
  for await (const line of bus.logs.read(what, null)) if (--numPrinted < 0) print(line);
}

/** Which shard it is of, where there are several. */
function placeOf({ node, index, attempt }: LogLine, { nodes }: JobRun): string {
  const isAlone = Object.keys(nodes).length === 1 && (nodes[node]?.shardTotal ?? 1) === 1;
  const which = isAlone ? '' : `${node}/${index}`;
  const tries = attempt === 1 ? '' : `#${attempt}`;
  return which + tries === '' ? '' : `${which}${tries} | `;
}
