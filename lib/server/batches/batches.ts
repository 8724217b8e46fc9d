/** The batches of a server: those that clients make, and those that an earlier server left. Why: docs/decisions/batches.md#lines-are-requests-like-others */
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { shown } from '../../../base/foreign_text.js';
import type { BatchEndpoint } from '../../batches/batch_line.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { ApiError } from '../base/api_error.js';
import type { BatchCounts } from '../base/batch_counts.js';
import { BatchFolder } from './batch_folder.js';
import { isOver, newBatch, type BatchBegin, type BatchRecord } from './batch_record.js';
import { BatchWork, type BatchWorkParts } from './batch_work.js';
import { storageError } from './storage_error.js';
import { newFileId, StoredFiles } from './stored_files.js';
import { Turns } from './turns.js';

/** Whose batches they are. */
export interface BatchesHost {
  readonly config: Pick<ExpertwireConfig['server'], 'batches' | 'max_body_bytes'>;
  /** Where lines may go. */
  readonly endpoints: readonly BatchEndpoint[];
  readonly ask: BatchWorkParts['ask'];
  /** Clients wait for those whose turn it is already. */
  readonly isBusy: () => boolean;
  /** Aborted when no line begins any more. */
  readonly draining: AbortSignal;
  readonly log: Logger;
  /** Seconds since 1970. Default: the clock's. */
  readonly nowS?: () => number;
}

/** What a client says of a batch. */
export type BatchAsked = Pick<BatchBegin, 'owner' | 'endpoint' | 'inputFileId' | 'metadata' | 'outputExpiresAfterS'>;

/** Batches that are over and still told of: the oldest ones go, their files stay. */
const MAX_OVER = 1000;

/** All of a server. */
export class Batches {
  readonly files: StoredFiles;
  private readonly works = new Map<string, BatchWork>();
  private readonly running = new Set<Promise<void>>();
  private readonly turns: Turns;
  private readonly nowS: () => number;
  private numCompleted = 0;
  private numFailed = 0;
  private closed: Promise<void> | undefined;

  private constructor(
    private readonly host: BatchesHost,
    private readonly folder: BatchFolder,
  ) {
    const { config, isBusy, draining } = host;
    this.nowS = host.nowS ?? (() => Math.floor(Date.now() / 1000));
    this.turns = new Turns(config.batches.concurrency, isBusy);
    this.files = new StoredFiles(folder, config.batches, this.isRead, this.nowS);
    for (const batch of folder.found.batches) this.works.set(batch.id, this.workOf(batch));
    draining.addEventListener('abort', () => void this.drain(), { once: true });
  }

  /** What can be told before an engine is started. @throws ConfigError */
  static check({ batches }: BatchesHost['config']): Promise<void> {
    return BatchFolder.check(batches.folder);
  }

  /** Reads what is there; nothing runs yet. @throws ConfigError INVALID_VALUE where the folder can't be used */
  static async open(host: BatchesHost): Promise<Batches> {
    const folder = await BatchFolder.open(host.config.batches.folder, (text) => host.log.warn(text));
    return new Batches(host, folder);
  }

  /** Where lines may go. */
  get endpoints(): readonly BatchEndpoint[] {
    return this.host.endpoints;
  }

  /** For metrics. */
  get counts(): BatchCounts {
    const batches = new Map<string, number>();
    for (const { batch } of this.works.values()) batches.set(batch.status, (batches.get(batch.status) ?? 0) + 1);
    return { batches, numCompleted: this.numCompleted, numFailed: this.numFailed };
  }

  /** Goes on with what an earlier server left; the server answers requests from now on. */
  begin(): void {
    for (const work of this.works.values()) if (!isOver(work.batch)) this.start(work);
  }

  /** @throws ApiError NOT_FOUND, INVALID_VALUE, QUEUE_FULL, STORAGE_FULL */
  async create(asked: BatchAsked): Promise<BatchRecord> {
    const { purpose } = this.files.find(asked.inputFileId, asked.owner, 'input_file_id');
    if (purpose !== 'batch') {
      const text = `file ${asked.inputFileId} is for ${purpose}; give one that was uploaded for batch`;
      throw new ApiError('INVALID_VALUE', text, { param: 'input_file_id' });
    }
    const { max_batches: most } = this.host.config.batches;
    const numOpen = [...this.works.values()].filter(({ batch }) => !isOver(batch)).length;
    if (numOpen >= most) {
      throw new ApiError('QUEUE_FULL', `there are server.batches.max_batches, ${most}, that aren't over; try later`);
    }
    const id = `batch_${randomBytes(12).toString('hex')}`;
    const files = { outputFileId: newFileId(), errorFileId: newFileId() };
    const batch = newBatch({ ...asked, ...files, id, createdS: this.nowS() });
    const work = this.workOf(batch);
    this.works.set(id, work); // it counts while it is written
    await this.folder.writeBatch(batch).catch((error: unknown) => {
      this.works.delete(id);
      storageError(error);
    });
    this.start(work);
    return batch;
  }

  /** @throws ApiError NOT_FOUND where it isn't, or isn't the owner's */
  find(id: string, owner: string): BatchRecord {
    return this.workFor(id, owner).batch;
  }

  /** Of an owner, oldest first. */
  list(owner: string): BatchRecord[] {
    return [...this.works.values()].map(({ batch }) => batch).filter((batch) => batch.owner === owner);
  }

  /** @throws ApiError NOT_FOUND; CONFLICT where it is over, or about to be */
  async cancel(id: string, owner: string): Promise<BatchRecord> {
    const work = this.workFor(id, owner);
    const { status, outcome } = work.batch;
    if (status === 'cancelling') return work.batch;
    if (outcome !== null || isOver(work.batch)) {
      throw new ApiError('CONFLICT', `batch ${id} is ${status}; what is done stays done`, { param: 'batch_id' });
    }
    await work.cancel();
    return work.batch;
  }

  /** Waits until nothing is written any more; a temporary folder goes. Idempotent. */
  close(): Promise<void> {
    return (this.closed ??= this.end());
  }

  private async end(): Promise<void> {
    for (const work of this.works.values()) work.stop();
    await Promise.all(this.running);
    await this.folder.close();
  }

  /** Lines that began end, and have their rows. */
  private async drain(): Promise<void> {
    await this.turns.pause();
    for (const work of this.works.values()) work.stop();
  }

  private start(work: BatchWork): void {
    if (this.host.draining.aborted) return; // another server goes on with it
    const run = work.run().finally(() => {
      this.running.delete(run);
      this.forgetOld();
    });
    this.running.add(run);
  }

  private workOf(batch: BatchRecord): BatchWork {
    const { config, ask, log } = this.host;
    const { max_lines: maxLines, concurrency } = config.batches;
    return new BatchWork(batch, {
      ...{ folder: this.folder, turns: this.turns, ask, log, nowS: this.nowS },
      limits: { maxLines, maxLineBytes: config.max_body_bytes, concurrency },
      wrote: ({ isSuccess }) => {
        if (isSuccess) this.numCompleted++;
        else this.numFailed++;
      },
      left: (file) => this.files.add(file),
    });
  }

  private workFor(id: string, owner: string): BatchWork {
    const work = this.works.get(id);
    if (work?.batch.owner === owner) return work;
    const text = `there is no batch ${shown(id)}; it is another's, or older than what is kept`;
    throw new ApiError('NOT_FOUND', text, { param: 'batch_id' });
  }

  private readonly isRead = (fileId: string): boolean =>
    [...this.works.values()].some(({ batch }) => batch.inputFileId === fileId && !isOver(batch));

  private forgetOld(): void {
    const over = [...this.works.values()].filter(({ batch }) => isOver(batch));
    for (const { batch } of over.slice(0, Math.max(0, over.length - MAX_OVER))) {
      this.works.delete(batch.id);
      void this.folder.removeBatch(batch.id).catch(() => undefined); // the next server tries again
    }
  }
}
