/** The record of a shard, written by whoever is first. Why: docs/decisions/jobs.md#a-shard-is-committed-once */
import { JobError } from '../base/errors.js';
import type { Records } from '../base/job_bus.js';
import { shardOf } from '../base/parse.js';
import { shardRecord, type Shard, type ShardKey } from '../base/task.js';

/** A record as this worker knows it. */
export class ShardRecord {
  private revision = 0;
  private text: string | null = null;

  constructor(
    private readonly records: Pick<Records, 'read' | 'write'>,
    private readonly key: ShardKey,
  ) {}

  /** As it is kept now. @throws JobError BUS_FAILED, BROKEN_RECORD */
  async read(): Promise<Shard | null> {
    const record = await this.records.read(shardRecord(this.key));
    this.revision = record?.revision ?? 0;
    this.text = record?.text ?? null;
    return shardOf(record);
  }

  /**
   * Writes what `next` makes of what is kept; where others wrote meanwhile, of what they wrote, unless that is the end of it. Gives what is kept then, and whether it was this worker's.
   * @throws JobError BUS_FAILED
   */
  async write(
    known: Shard | null,
    next: (shard: Shard | null) => Shard,
  ): Promise<{ readonly shard: Shard; readonly isOurs: boolean }> {
    let wanted: Shard | null = null;
    for (let shard = known; ; shard = await this.read()) {
      // It was written, and the bus went before it said so.
      if (wanted !== null && this.text === JSON.stringify(wanted)) return { shard: wanted, isOurs: true };
      if (shard !== null && shard.state !== 'trying') return { shard, isOurs: false };
      wanted = next(shard);
      try {
        this.revision = await this.records.write(shardRecord(this.key), JSON.stringify(wanted), this.revision);
        return { shard: wanted, isOurs: true };
      } catch (error) {
        if (!(error instanceof JobError && error.code === 'RECORD_CONFLICT')) throw error;
      }
    }
  }
}
