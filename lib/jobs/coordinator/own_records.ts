/** Records that only whoever leads writes. Why: docs/decisions/jobs.md#who-leads-decides-and-a-stale-leader-writes-nothing */
import { JobError } from '../base/errors.js';
import type { JobRecord, Records } from '../base/job_bus.js';

/** A watch may tell of a record a moment after it was removed. */
const MAX_REMOVED = 1000;

/** What a leader found when it began, and what it wrote since: nobody else writes, so nothing of it has to be asked for again. */
export class OwnRecords {
  private readonly revisions = new Map<string, number>();
  /** Keys that are being written, and the last ones that were removed. */
  private readonly writing = new Set<string>();
  private readonly removed = new Set<string>();
  private isOver = false;

  constructor(private readonly records: Records) {}

  /** All below a token, by key; those that `read` can't are told. @throws JobError BUS_FAILED */
  async load<T>(
    prefix: string,
    read: (record: JobRecord) => T,
    broken: (reason: unknown) => void,
  ): Promise<ReadonlyMap<string, T>> {
    const found = new Map<string, T>();
    for (const record of await this.records.list(prefix)) {
      this.revisions.set(record.key, record.revision);
      try {
        found.set(record.key, read(record));
      } catch (reason) {
        broken(reason);
      }
    }
    return found;
  }

  /** @throws JobError RECORD_CONFLICT: somebody else leads; BUS_FAILED, CLOSED */
  async put(key: string, value: unknown): Promise<void> {
    this.check();
    this.writing.add(key);
    const revision = await this.records.write(key, JSON.stringify(value), this.revisions.get(key) ?? 0);
    this.revisions.set(key, revision);
    this.writing.delete(key);
  }

  /** @throws JobError BUS_FAILED, CLOSED */
  async remove(key: string): Promise<void> {
    this.check();
    await this.records.remove(key);
    this.revisions.delete(key);
    this.removed.add(key);
    if (this.removed.size > MAX_REMOVED) this.removed.delete(this.removed.values().next().value!);
  }

  /** Whether somebody else wrote what a watch tells: another one leads, or thinks that it does. */
  isForeign(key: string, revision: number): boolean {
    return !this.writing.has(key) && !this.removed.has(key) && revision > (this.revisions.get(key) ?? 0);
  }

  /** Whether there is one. */
  has(key: string): boolean {
    return this.revisions.has(key);
  }

  /** This process doesn't lead any more: nothing is written. */
  end(): void {
    this.isOver = true;
  }

  /** @throws JobError CLOSED */
  check(): void {
    if (this.isOver) throw new JobError('CLOSED', 'this process leads no more; whoever leads now goes on');
  }
}
