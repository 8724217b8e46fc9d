/** What runs are called: the same cause always gives the same name, so that it is made once. Why: docs/decisions/jobs.md#who-leads-decides-and-a-stale-leader-writes-nothing */
import type { JobRun } from '../base/run.js';
import type { ShardKey } from '../base/task.js';
import { textHash } from './text_hash.js';

/** Of a firing: `nightly-20261130-030000`, with milliseconds where there are some. */
export const scheduledRunId = (job: string, dueMs: number): string => `${job}-${stamp(dueMs)}`;

/** Of whoever asks: `salt` tells those of one moment apart; letters and digits. The ask's record has the same id. */
export const askedRunId = (job: string, atMs: number, salt: string): string => `${job}-${stamp(atMs)}-${salt}`;

/** The id of an ask to stop a run. */
export const stopAskId = (run: string): string => `stop-${run}`;

/** Of a job that follows another one's run. */
export const followingRunId = (job: string, run: JobRun): string =>
  `${job}-${stamp(run.endedMs ?? run.madeMs)}-${textHash(run.id).toString(16).padStart(8, '0')}`;

/** Of a shard's task: one that is sent to another worker is another task. */
export const taskId = ({ run, node, index }: ShardKey, moves: number): string => `${run}.${node}.${index}.${moves}`;

/** Where the record lies of which workers a node's shards went to. */
export const placedRecord = (run: string, node: string): string => `placed.${run}.${node}`;

/** Where the record lies of the schedules that the bus was told of a job. */
export const scheduledRecord = (job: string): string => `scheduled.${job}`;

/** Where the record lies of the run of a job that began last: whoever begins one writes it first. */
export const turnRecord = (job: string): string => `turn.${job}`;

/** The folder of a job's blobs: those that it was applied with. That of a run is its id. */
export const jobBlobs = (job: string): string => `job.${job}`;

/** 20261130-030000, of UTC; `-250` behind it for milliseconds. */
function stamp(ms: number): string {
  const [date, time, milliseconds] = new Date(ms).toISOString().split(/[T.]/) as [string, string, string];
  const seconds = `${date.replaceAll('-', '')}-${time.replaceAll(':', '')}`;
  return ms % 1000 === 0 ? seconds : `${seconds}-${milliseconds.slice(0, 3)}`;
}
