/** Records as a process sees them that doesn't own them: straight from the files. It may make new ones, and write jobs. */
import type { JobRecord, JobClock, RecordListener, Records } from '../base/job_bus.js';
import { conflict } from './local_records.js';
import type { RecordFiles } from './record_files.js';

const LOOK_EVERY_MS = 250;

/** {@link Records} of a folder that another process may own. */
export class VisitedRecords implements Records {
  private readonly stops = new Set<() => void>();

  constructor(
    private readonly files: RecordFiles,
    private readonly clock: JobClock,
  ) {}

  /** As {@link Records.read}. */
  read(key: string): Promise<JobRecord | null> {
    return this.files.read(key);
  }

  /** As {@link Records.write}; of two who change a job at once, the last one wins. */
  async write(key: string, text: string, revision: number): Promise<number> {
    const found = (await this.files.read(key))?.revision ?? 0;
    const next = Math.max(found + 1, this.clock.now()); // grows, also where one was removed
    if (found !== revision || !(await this.files.write({ key, text, revision: next }, found === 0)))
      throw conflict(key);
    return next;
  }

  /** As {@link Records.remove}. */
  remove(key: string): Promise<void> {
    return this.files.remove(key);
  }

  /** As {@link Records.list}. */
  list(prefix: string): Promise<readonly JobRecord[]> {
    return this.files.list(prefix);
  }

  /** As {@link Records.watch}: it looks again and again. */
  watch(prefix: string, listener: RecordListener): () => void {
    const told = new Map<string, number>();
    let isOver = false;
    let isFirst = true;
    let forget = (): void => undefined;
    const look = async (): Promise<void> => {
      const found = await this.files.list(prefix).catch(() => null); // it looks again
      if (isOver) return;
      if (found !== null) {
        tellChanges(told, found, listener);
        if (isFirst) listener.ready?.();
        isFirst = false;
      }
      forget = this.clock.after(LOOK_EVERY_MS, () => void look());
    };
    void look();
    const stop = (): void => {
      isOver = true;
      forget();
      this.stops.delete(stop);
    };
    this.stops.add(stop);
    return stop;
  }

  /** Nobody is told anything any more. */
  close(): void {
    for (const stop of [...this.stops]) stop();
  }
}

function tellChanges(told: Map<string, number>, found: readonly JobRecord[], { changed }: RecordListener): void {
  const keys = new Set(found.map(({ key }) => key));
  for (const { key, text, revision } of found) {
    if (told.get(key) === revision) continue;
    told.set(key, revision);
    changed(key, text, revision);
  }
  for (const key of [...told.keys()].filter((each) => !keys.has(each))) {
    told.delete(key);
    changed(key, null, 0);
  }
}
