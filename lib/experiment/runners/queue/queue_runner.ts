/**
 * Runs as tasks of a bus, which workers take: a worker that dies has its task taken from it, and what a run left is there once.
 * Why: docs/decisions/experiments.md#elsewhere-a-run-has-the-runner-of-its-machine-beside-it
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { InternalError } from '../../../../base/coded_error.js';
import { jsonOrUndefined } from '../../../../base/foreign_text.js';
import { writeWhole } from '../../../../base/whole_file.js';
import { JobError } from '../../../jobs/base/errors.js';
import type { JobBus } from '../../../jobs/base/job_bus.js';
import { shardRecord, type Shard, type ShardKey } from '../../../jobs/base/task.js';
import { ExperimentError } from '../../base/errors.js';
import type { RunEnd, Runner } from '../../base/run.js';
import { clearRun, readResult, readRun, RUN_FILES } from '../../runs/run_folder.js';
import { endOfFailed, keyOf, taskOf, type EndedShard } from './run_tasks.js';

/** How runs are given to workers. */
export interface QueueRunnerOptions {
  /** Closed with the runner. */
  readonly bus: JobBus;
  /** Of `sessionOf`: letters, digits, - and _. */
  readonly session: string;
  /** Runs in line at a time; how many run, workers say. */
  readonly width: number;
  /** Told once, where no worker is there. Default: nobody. */
  readonly onNotice?: (line: string) => void;
}

/** A run that was asked for. */
interface Wanted {
  readonly key: ShardKey;
  readonly resolve: (shard: EndedShard) => void;
}

/** Puts runs in line and fetches what workers leave. */
export class QueueRunner implements Runner {
  readonly width: number;
  private readonly closing = new AbortController();
  private readonly running = new Set<Promise<unknown>>();
  private readonly wanted = new Map<string, Wanted>();
  private readonly stops: (() => void)[];
  private closed: Promise<void> | null = null;
  private isTold = false;

  constructor(private readonly options: QueueRunnerOptions) {
    const { bus, session, width } = options;
    this.width = width;
    const changed = (key: string, text: string | null): void => this.heard(key, text);
    this.stops = [
      bus.records.watch(`shard.${session}`, { changed }),
      bus.roster.watch((all) => this.count(all.length)),
    ];
  }

  /** @throws `signal`'s reason; InternalError after {@link close}; ExperimentError RUNNER_FAILED; what the file system throws */
  async run(folder: string, timeoutMs: number, signal: AbortSignal): Promise<RunEnd> {
    const either = AbortSignal.any([signal, this.closing.signal]);
    const run = this.runOnce(folder, timeoutMs, either).catch((error: unknown) => {
      either.throwIfAborted();
      throw error instanceof JobError ? new ExperimentError('RUNNER_FAILED', error.text, { cause: error }) : error;
    });
    const over = run.catch(() => undefined);
    this.running.add(over);
    try {
      return await run;
    } finally {
      this.running.delete(over);
    }
  }

  /** Stops what runs, and leaves nothing of it on the bus. Idempotent. */
  close(): Promise<void> {
    return (this.closed ??= this.end());
  }

  private async end(): Promise<void> {
    this.closing.abort(new InternalError('the runner of a run was closed'));
    await Promise.all(this.running);
    for (const stop of this.stops) stop();
    const { bus, session } = this.options;
    try {
      await bus.tasks.drop({ run: session });
      const left = await bus.records.list(`shard.${session}`);
      await Promise.all(left.map(({ key }) => bus.records.remove(key)));
      await bus.blobs.remove(session);
      await bus.logs.remove(session);
    } catch (error) {
      if (!(error instanceof JobError)) throw error; // what is left there harms nobody
    } finally {
      await bus.close();
    }
  }

  private async runOnce(folder: string, timeoutMs: number, signal: AbortSignal): Promise<RunEnd> {
    signal.throwIfAborted();
    const run = await readRun(folder);
    await clearRun(folder);
    const key = keyOf(this.options.session, run);
    const name = shardRecord(key);
    const { bus } = this.options;
    const ended = new Promise<EndedShard>((resolve) => this.wanted.set(name, { key, resolve }));
    try {
      if (!(await this.isDone(name))) {
        const task = taskOf(key, run, timeoutMs, Date.now());
        await bus.tasks.add([{ id: `${key.run}-${key.node}-${randomUUID().slice(0, 8)}`, to: null, task }]);
      }
      const shard = await Promise.race([ended, aborted(signal)]);
      return await this.fetched(folder, key, shard);
    } catch (error) {
      if (signal.aborted) await this.stop(name);
      throw error;
    } finally {
      this.wanted.delete(name);
    }
  }

  /** By a runner that was killed before it could look. What else there is of an earlier one is none of this one's. */
  private async isDone(name: string): Promise<boolean> {
    const { records } = this.options.bus;
    const record = await records.read(name);
    if (record === null) return false;
    const shard = endedIn(record.text);
    if (shard?.state === 'done') {
      this.wanted.get(name)?.resolve(shard);
      return true;
    }
    await records.remove(name);
    return false;
  }

  private heard(name: string, text: string | null): void {
    const shard = text === null ? null : endedIn(text);
    if (shard !== null) this.wanted.get(name)?.resolve(shard);
  }

  /** Whoever does it hears of that, unless it is over. */
  private async stop(name: string): Promise<void> {
    const { records } = this.options.bus;
    const error = { code: 'RUN_STOPPED', message: 'the experiment was ended; run it again' };
    const stopped: Shard = { state: 'stopped', error, worker: '', attempts: 0, endedMs: Date.now() };
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const record = await records.read(name).catch(() => null);
      if (record !== null && endedIn(record.text) !== null) return;
      const written = records.write(name, JSON.stringify(stopped), record?.revision ?? 0);
      if (await written.then(() => true, () => false)) return; // prettier-ignore
    }
  }

  private async fetched(folder: string, key: ShardKey, shard: EndedShard): Promise<RunEnd> {
    if (shard.state !== 'done') {
      await writeWhole(join(folder, RUN_FILES.log), await this.logOf(key));
      return endOfFailed(shard);
    }
    const names: readonly string[] = [RUN_FILES.result, RUN_FILES.log];
    for (const { name, blob } of shard.files)
      if (names.includes(name)) await writeWhole(join(folder, name), await bytesOf(this.options.bus.blobs.get(blob)));
    const result = await readResult(folder);
    const { beganMs, endedMs, worker } = shard;
    if (result !== null)
      return { status: 'ok', result, times: { startedAt: new Date(beganMs), durationMs: endedMs - beganMs } };
    const message = `worker ${worker} left no result that this version can read; give all machines the same version`;
    return { status: 'failed', error: { code: 'RUN_FAILED', message } };
  }

  private async logOf({ run, node, index }: ShardKey): Promise<string> {
    const lines: string[] = [];
    for await (const { text } of this.options.bus.logs.read({ run, node, index }, null)) lines.push(`${text}\n`);
    return lines.join('');
  }

  private count(numWorkers: number): void {
    if (numWorkers > 0 || this.isTold) return;
    this.isTold = true;
    this.options.onNotice?.(
      'no worker takes runs yet: start `expertwire worker --bus …` on any machine that sees the bus',
    );
  }
}

/** Others write it too, but for a moment. */
const MAX_TRIES = 10;

/** Null: it goes on, or can't be read. What workers write was checked by them. */
function endedIn(text: string): EndedShard | null {
  const shard = jsonOrUndefined(text) as Shard | undefined;
  return shard?.state === 'done' || shard?.state === 'failed' || shard?.state === 'stopped' ? shard : null;
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });

async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}
