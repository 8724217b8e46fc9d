/** Records of the process that owns them: in memory, and each in its file before anybody hears of it. Others' new jobs and asks are found by looking. */
import { closedError, JobError } from '../base/errors.js';
import type { JobClock, JobRecord, RecordListener, Records } from '../base/job_bus.js';
import type { RecordFiles } from './record_files.js';

/** What others may write, and how often one looks for it. */
const FOREIGN = ['job', 'ask'] as const;
const LOOK_EVERY_MS = 250;

interface Watch {
  readonly prefix: string;
  readonly listener: RecordListener;
  isOver: boolean;
}

/** {@link Records} in this process. */
export class LocalRecords implements Records {
  private readonly known = new Map<string, JobRecord>();
  private readonly watches = new Set<Watch>();
  /** Of a key, one after the other. */
  private readonly turns = new Map<string, Promise<unknown>>();
  private stopLooking: () => void = () => undefined;
  private isClosed = false;

  /** Grows for ever, also for records that were removed and are made anew. */
  private lastRevision: number;

  private constructor(
    private readonly files: RecordFiles,
    private readonly clock: JobClock,
    private readonly isDurable: boolean,
  ) {
    this.lastRevision = clock.now();
  }

  /** With all that is in the files. `isDurable` false: nothing is read or written. */
  static async open(files: RecordFiles, clock: JobClock, isDurable: boolean): Promise<LocalRecords> {
    const records = new LocalRecords(files, clock, isDurable);
    if (!isDurable) return records;
    for (const record of await files.list('')) records.learn(record);
    records.lookLater();
    return records;
  }

  /** As {@link Records.read}. */
  read(key: string): Promise<JobRecord | null> {
    return this.whenOpen(() => this.known.get(key) ?? null);
  }

  /** As {@link Records.write}. */
  write(key: string, text: string, revision: number): Promise<number> {
    return this.inTurn(key, async () => {
      const found = this.known.get(key)?.revision ?? 0;
      const next = { key, text, revision: ++this.lastRevision };
      if (found !== revision || (this.isDurable && !(await this.files.write(next, found === 0)))) throw conflict(key);
      this.known.set(key, next);
      this.tell(key);
      return next.revision;
    });
  }

  /** As {@link Records.remove}. */
  remove(key: string): Promise<void> {
    return this.inTurn(key, async () => {
      if (this.isDurable) await this.files.remove(key);
      if (this.known.delete(key)) this.tell(key);
    });
  }

  /** As {@link Records.list}. */
  list(prefix: string): Promise<readonly JobRecord[]> {
    return this.whenOpen(() => [...this.known.values()].filter(({ key }) => isWithin(key, prefix)));
  }

  /** As {@link Records.watch}. */
  watch(prefix: string, listener: RecordListener): () => void {
    const watch: Watch = { prefix, listener, isOver: false };
    queueMicrotask(() => {
      if (watch.isOver) return;
      this.watches.add(watch);
      for (const { key, text, revision } of [...this.known.values()]) {
        if (isWithin(key, prefix) && !isOver(watch)) listener.changed(key, text, revision);
      }
      if (!isOver(watch)) listener.ready?.();
    });
    return () => {
      watch.isOver = true;
      this.watches.delete(watch);
    };
  }

  /** Writes that are under way are done. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.stopLooking();
    this.watches.clear();
    await Promise.all(this.turns.values());
  }

  private whenOpen<T>(get: () => T): Promise<T> {
    return this.isClosed ? Promise.reject(closedError()) : Promise.resolve(get());
  }

  private learn(record: JobRecord): void {
    this.known.set(record.key, record);
    this.lastRevision = Math.max(this.lastRevision, record.revision);
  }

  private tell(key: string): void {
    const record = this.known.get(key);
    queueMicrotask(() => {
      for (const { prefix, listener } of [...this.watches]) {
        if (isWithin(key, prefix)) listener.changed(key, record?.text ?? null, record?.revision ?? 0);
      }
    });
  }

  private async inTurn<T>(key: string, act: () => Promise<T>): Promise<T> {
    if (this.isClosed) throw closedError();
    const before = this.turns.get(key) ?? Promise.resolve();
    const work = before.then(act);
    const over = work.catch(() => undefined);
    this.turns.set(key, over);
    try {
      return await work;
    } finally {
      if (this.turns.get(key) === over) this.turns.delete(key);
    }
  }

  private lookLater(): void {
    this.stopLooking = this.clock.after(LOOK_EVERY_MS, () => {
      void this.look()
        .catch(() => undefined) // it looks again
        .finally(() => {
          if (!this.isClosed) this.lookLater();
        });
    });
  }

  private async look(): Promise<void> {
    for (const top of FOREIGN) {
      const there = new Set(await this.files.keys(top));
      const gone = [...this.known.keys()].filter((key) => isWithin(key, top) && !there.has(key));
      for (const key of [...there, ...gone]) await this.inTurn(key, () => this.lookAt(key));
    }
  }

  private async lookAt(key: string): Promise<void> {
    const [found, known] = [await this.files.read(key), this.known.get(key)];
    if (found?.text === known?.text && found?.revision === known?.revision) return;
    if (found === null) this.known.delete(key);
    else this.learn(found);
    this.tell(key);
  }
}

const isOver = (watch: Watch): boolean => watch.isOver;

/** Whole tokens: `shard.a` holds `shard.a.0`, not `shard.ab`. */
export const isWithin = (key: string, prefix: string): boolean =>
  prefix === '' || key === prefix || key.startsWith(`${prefix}.`);

/** Somebody else was quicker. */
export const conflict = (key: string): JobError =>
  new JobError('RECORD_CONFLICT', `the record ${key} was written by somebody else meanwhile; read it again`);
