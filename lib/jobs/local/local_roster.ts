/** Workers of one process, and who of them leads. Others read their records, `worker.ID`. */
import { closedError, JobError } from '../base/errors.js';
import type { JobClock, Records, Roster, Seat, WorkerRecord } from '../base/job_bus.js';
import { waited } from './clock.js';

/** Behind a leader who couldn't go on. */
const AGAIN_MS = 1000;

const recordOf = (id: string): string => `worker.${id}`;

/** {@link Roster} of the process that owns the records. */
export class LocalRoster implements Roster {
  private isClosed = false;
  private readonly workers = new Map<string, WorkerRecord>();
  private readonly listeners = new Set<(workers: readonly WorkerRecord[]) => void>();
  /** Who leads, and who wants to after that. */
  private leading: Promise<void> = Promise.resolve();
  private lastWrite: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly records: Records,
    private readonly clock: JobClock,
  ) {}

  /** As {@link Roster.enter}. */
  enter(record: WorkerRecord): Promise<Seat> {
    const { id } = record;
    const other = this.workers.get(id);
    if (this.isClosed) return Promise.reject(closedError());
    if (other !== undefined) {
      const text = `worker ${id} is there already, process ${other.pid} of ${other.host}; give another --name`;
      return Promise.reject(new JobError('WORKER_ID_TAKEN', text));
    }
    this.put(id, record);
    return Promise.resolve({
      update: (next) => this.put(id, next),
      leave: async () => {
        if (this.workers.has(id)) this.put(id, null);
        await this.lastWrite;
      },
    });
  }

  /** As {@link Roster.watch}. */
  watch(listener: (workers: readonly WorkerRecord[]) => void): () => void {
    this.listeners.add(listener);
    queueMicrotask(() => {
      if (this.listeners.has(listener)) listener([...this.workers.values()]);
    });
    return () => this.listeners.delete(listener);
  }

  /** As {@link Roster.campaign}. */
  async campaign(_id: string, lead: (until: AbortSignal) => Promise<void>, until: AbortSignal): Promise<void> {
    while (!until.aborted) {
      const own = this.leading.then(() => (until.aborted ? undefined : lead(until))).catch(() => undefined);
      this.leading = own;
      await own;
      await waited(this.clock, AGAIN_MS, until); // who can't lead lets others try
    }
  }

  /** What was told is in its file. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.listeners.clear();
    await this.lastWrite;
  }

  private put(id: string, record: WorkerRecord | null): void {
    if (record === null) this.workers.delete(id);
    else this.workers.set(id, record);
    this.lastWrite = this.lastWrite.then(() => this.write(id)).catch(() => undefined);
    queueMicrotask(() => {
      for (const listener of [...this.listeners]) listener([...this.workers.values()]);
    });
  }

  private async write(id: string): Promise<void> {
    const record = this.workers.get(id);
    if (record === undefined) return this.records.remove(recordOf(id));
    const found = await this.records.read(recordOf(id));
    await this.records.write(recordOf(id), JSON.stringify(record), found?.revision ?? 0);
  }
}

/** Workers as their records say: of a process that looks from outside. */
export function visitedRoster(records: Records): Pick<Roster, 'watch'> {
  return {
    watch: (listener) => {
      const known = new Map<string, WorkerRecord>();
      const tell = (): void => listener([...known.values()]);
      let isReady = false;
      return records.watch('worker', {
        changed: (key, text) => {
          if (text === null) known.delete(key);
          else known.set(key, JSON.parse(text) as WorkerRecord);
          if (isReady) tell();
        },
        ready: () => {
          isReady = true;
          tell();
        },
      });
    },
  };
}
