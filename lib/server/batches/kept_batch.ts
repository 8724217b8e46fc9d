/** The record of a batch, in memory and on a disk that may be full for a while. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { BatchFolder } from './batch_folder.js';
import type { BatchRecord } from './batch_record.js';
import type { Persevering } from './row_files.js';

/** Where it is kept. */
export interface BatchKeeping {
  readonly folder: Pick<BatchFolder, 'writeBatch'>;
  readonly log: Logger;
}

/** So long a full disk is left alone. */
const DISK_PAUSE_MS = 1000;
const DISK_TEXT = 'a batch waits: its files can’t be written; free room on the disk of server.batches.folder';

/** Of one batch. */
export class KeptBatch {
  private readonly stopping = new AbortController();
  private saving: Promise<void> = Promise.resolve();
  private isDiskFull = false;

  constructor(
    /** As it is now. */
    public batch: BatchRecord,
    private readonly parts: BatchKeeping,
  ) {}

  /** It is on the disk, or a later one, when this resolves. @throws what {@link stop} is told */
  save(batch: BatchRecord): Promise<void> {
    this.batch = batch;
    const saved = this.saving.then(() => this.persevere(() => this.parts.folder.writeBatch(this.batch)));
    this.saving = saved.catch(() => undefined);
    return saved;
  }

  /** Nobody waits for the disk any more: whoever does rejects with `reason`. */
  stop(reason: Error): void {
    this.stopping.abort(reason);
  }

  /** Does `work` again and again until it can be done. @throws what {@link stop} is told */
  readonly persevere: Persevering = async (work) => {
    for (;;) {
      try {
        await work();
        if (this.isDiskFull)
          this.parts.log.warn({ batch: this.batch.id }, 'a batch goes on: its disk can be written again');
        this.isDiskFull = false;
        return;
      } catch (error) {
        if (!this.isDiskFull) this.parts.log.warn({ err: error, batch: this.batch.id }, DISK_TEXT);
        this.isDiskFull = true;
      }
      await delay(DISK_PAUSE_MS, undefined, { signal: this.stopping.signal }).catch(() => undefined);
      this.stopping.signal.throwIfAborted();
    }
  };
}
