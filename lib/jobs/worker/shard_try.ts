/** One delivery of a shard's task, from its record to its record. Why: docs/decisions/jobs.md#a-shard-is-committed-once */
import { randomUUID } from 'node:crypto';
import { JobError } from '../base/errors.js';
import type { Delivery, JobBus, JobClock } from '../base/job_bus.js';
import { runOf } from '../base/parse.js';
import { ENDED, type TaskError } from '../base/run.js';
import { runRecord, type OutputFile, type Shard, type Task } from '../base/task.js';
import type { TryContext, TryResult } from './execution.js';
import { taskErrorOf } from './run_measure.js';
import { afterFailure, beginningOf } from './shard_decisions.js';
import { ShardFolder, tryPrefix } from './shard_folder.js';
import { ShardRecord } from './shard_record.js';
import type { ShardWatch } from './shard_watch.js';
import { TryLog } from './try_log.js';

/** What a worker has for all of its tries. */
export interface TryHost {
  readonly worker: string;
  readonly bus: Pick<JobBus, 'records' | 'blobs' | 'logs'>;
  readonly clock: JobClock;
  /** Folder where folders of tries are made. */
  readonly scratch: string;
  readonly watch: ShardWatch;
  readonly execute: (context: TryContext) => Promise<TryResult>;
  /** What a try is given beside its own. */
  readonly context: Omit<TryContext, 'task' | 'folder' | 'blobs' | 'log' | 'signal' | 'rights'> & {
    readonly rights: Omit<TryContext['rights'], 'folder'>;
  };
  /** The worker ends: what runs is given back. */
  readonly ending: AbortSignal;
}

/** Why a try ended before its end. */
type Break = 'stopped' | 'timed out' | 'given back';

/** Ends with one of the delivery's verbs. @throws JobError BUS_FAILED: it is delivered again */
export async function tryShard(task: Task, delivery: Delivery, host: TryHost): Promise<void> {
  const { bus, worker, clock } = host;
  const record = new ShardRecord(bus.records, task.key);
  const shard = await record.read();
  const beginning = beginningOf(shard, delivery.deliveries);
  if (beginning.kind === 'over' || (delivery.deliveries > 1 && (await isOver(task, bus)))) return delivery.done();
  if (host.ending.aborted) return delivery.again(0);
  if (beginning.kind === 'lost') {
    const { failures } = beginning;
    const error = { code: 'TASK_LOST', message: lostText(delivery.deliveries - 1 - failures) };
    const lost = { error, worker, attempts: delivery.deliveries, endedMs: clock.now() };
    await record.write(shard, () => ({ state: 'failed', ...lost }));
    return delivery.dead(error.message);
  }
  const { attempt } = beginning;
  const beganMs = clock.now();
  const ended = await attempted(task, attempt, host);
  if (ended.kind === 'broken off') return ended.why === 'stopped' ? delivery.done() : delivery.again(0);
  const failed = async (error: TaskError): Promise<void> => {
    const after = { againMs: null as number | null };
    await record.write(shard, (now) => {
      const next = afterFailure(now, error, task.retries, { worker, attempt, nowMs: clock.now() });
      after.againMs = next.againMs;
      return next.shard;
    });
    return after.againMs === null ? delivery.done() : delivery.again(after.againMs);
  };
  if (ended.kind === 'failed') return failed(ended.error);
  const done: Shard = {
    ...{ state: 'done', files: ended.files, value: ended.value, worker },
    ...{ attempts: attempt, beganMs, endedMs: clock.now() },
  };
  const written = await record
    .write(shard, () => done)
    .catch((error: unknown) => {
      // The bus has no room for all that the shard left: that comes again however often it is tried.
      if (error instanceof JobError && error.code === 'TOO_MANY') return error;
      throw error;
    });
  // Somebody else was first, or nobody: nobody reads these.
  if (written instanceof JobError || !written.isOurs) await bus.blobs.remove(ended.prefix);
  return written instanceof JobError ? failed({ code: written.code, message: written.text }) : delivery.done();
}

const lostText = (numLosses: number): string =>
  `workers died with it ${numLosses} times, or gave it back; look into their logs, and whether memory ran out`;

/** Its run has ended; where there is no record of a run, whoever put the task in line waits for it. */
async function isOver({ key }: Task, { records }: Pick<JobBus, 'records'>): Promise<boolean> {
  const record = await records.read(runRecord(key.run));
  return record !== null && ENDED.has(runOf(record).state);
}

type Attempted =
  | {
      readonly kind: 'done';
      readonly files: readonly OutputFile[];
      readonly value: TryResult['value'];
      readonly prefix: string;
    }
  | { readonly kind: 'failed'; readonly error: TaskError }
  | { readonly kind: 'broken off'; readonly why: Exclude<Break, 'timed out'> };

/** Runs it, in a folder that is gone afterwards. */
async function attempted(task: Task, attempt: number, host: TryHost): Promise<Attempted> {
  const { bus, clock, scratch, watch, ending, execute, context } = host;
  const folder = await ShardFolder.make(scratch);
  const log = new TryLog(bus.logs, { ...task.key, attempt }, clock);
  const stop = new AbortController();
  const breaks: Break[] = [];
  const breakOff = (why: Break) => (): void => {
    breaks.push(why);
    stop.abort(new JobError('RUN_STOPPED', `the shard was ${why}; see its run`));
  };
  const giveBack = breakOff('given back');
  const unwatch = watch.watch(task.key, breakOff('stopped'));
  const cancelTimer = clock.after(task.timeoutMs + slackOf(task), breakOff('timed out'));
  if (ending.aborted) giveBack();
  ending.addEventListener('abort', giveBack);
  try {
    const rights = { ...context.rights, folder: folder.path };
    await folder.fetch(bus, task);
    const { files, value } = await execute({
      ...context,
      rights,
      task,
      folder,
      blobs: bus.blobs,
      log: (line) => log.line(line),
      signal: stop.signal,
    });
    const prefix = tryPrefix(task.key, `${attempt}-${randomUUID().slice(0, 8)}`);
    return {
      kind: 'done',
      files: await folder.keep(bus.blobs, files ?? (await folder.outputs()), prefix),
      value,
      prefix,
    };
  } catch (error) {
    const [why] = breaks;
    if (error instanceof JobError && error.code === 'BUS_FAILED') throw error;
    if (why === 'stopped' || why === 'given back') return { kind: 'broken off', why };
    const failure = why === 'timed out' ? { code: 'TASK_TIMED_OUT', message: lateText(task) } : taskErrorOf(error);
    log.line(`${failure.code}: ${failure.message}`);
    return { kind: 'failed', error: failure };
  } finally {
    cancelTimer();
    unwatch();
    ending.removeEventListener('abort', giveBack);
    await log.close();
    await folder.remove();
  }
}

/** A measure's runner has the time limit itself, and better words for it. */
const slackOf = ({ work }: Task): number => (work.kind === 'measure' ? MEASURE_SLACK_MS : 0);
const MEASURE_SLACK_MS = 30_000;

const lateText = ({ timeoutMs }: Task): string =>
  `it took longer than timeout_s (${timeoutMs / 1000} s); raise it, or cut the work into more shards`;
