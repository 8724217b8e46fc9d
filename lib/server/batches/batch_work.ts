/** One batch on its way: validating, in progress, finalizing, over. Why: docs/decisions/batches.md#a-row-is-written-once */
import type { Logger } from 'pino';
import { BatchCheck, readBatchLine, type BatchLine, type LineProblem } from '../../batches/batch_line.js';
import { rowOf, type LineAnswer, type Row, type RowTally, type UnansweredCode } from '../../batches/rows.js';
import { runLines } from '../../batches/run_lines.js';
import { textLines } from '../../batches/text_lines.js';
import { causeText } from '../../../base/foreign_text.js';
import type { BatchFolder } from './batch_folder.js';
import { isOver, withStatus, type BatchRecord } from './batch_record.js';
import { KeptBatch } from './kept_batch.js';
import { RowFiles } from './row_files.js';
import type { StoredFile } from './stored_file.js';
import type { Turns } from './turns.js';

/** What it runs on. */
export interface BatchWorkParts {
  readonly folder: BatchFolder;
  readonly turns: Turns;
  readonly limits: { readonly maxLines: number; readonly maxLineBytes: number; readonly concurrency: number };
  /** Asks the server. */
  readonly ask: (line: BatchLine, id: string, signal: AbortSignal) => Promise<LineAnswer>;
  /** Told of rows as they are written, and of files that it leaves. */
  readonly wrote: (row: Row) => void;
  readonly left: (file: StoredFile) => void;
  readonly log: Logger;
  readonly nowS: () => number;
}

/** Why a batch ends before all of its lines are done; `stopped`: the server ends, and another one goes on. */
type End = 'cancelled' | 'expired' | 'stopped';

class EndError extends Error {
  constructor(readonly end: End) {
    super(end);
  }
}

/** What the rows of lines say that were not done. */
const UNANSWERED: Readonly<Record<Exclude<End, 'stopped'>, readonly [UnansweredCode, string]>> = {
  cancelled: ['batch_cancelled', 'This request was not executed before the batch was cancelled.'],
  expired: ['batch_expired', 'This request could not be executed before the completion window expired.'],
};

/** Rows of lines that nobody ran, written at once. */
const ROWS_AT_ONCE = 500;

/** Runs once. */
export class BatchWork {
  private readonly ending = new AbortController();
  private readonly kept: KeptBatch;

  constructor(
    batch: BatchRecord,
    private readonly parts: BatchWorkParts,
  ) {
    this.kept = new KeptBatch(batch, parts);
    if (batch.status === 'cancelling') this.end('cancelled');
  }

  /** As it is now. */
  get batch(): BatchRecord {
    return this.kept.batch;
  }

  /** Until it is over, or the server ends. Never rejects. */
  async run(): Promise<void> {
    const leftMs = (this.batch.expiresS - this.parts.nowS()) * 1000;
    const expiry = setTimeout(() => this.end('expired'), Math.max(0, leftMs)).unref();
    try {
      const outcome = this.batch.outcome ?? (await this.work());
      if (outcome !== null) await this.finalize(outcome);
    } catch (error) {
      if (endOf(error) !== 'stopped') this.parts.log.error({ err: error, batch: this.batch.id }, 'a batch broke off');
    } finally {
      clearTimeout(expiry);
    }
  }

  /** Its status is kept when this resolves; what runs of it is broken off. @throws what the server's end does */
  async cancel(): Promise<void> {
    const saved = this.kept.save(withStatus(this.batch, 'cancelling', this.parts.nowS()));
    this.end('cancelled');
    await saved;
  }

  /** The server ends. */
  stop(): void {
    this.end('stopped');
    this.kept.stop(new EndError('stopped'));
  }

  /** What all of it comes to; null: it failed before anything ran. @throws EndError stopped */
  private async work(): Promise<BatchRecord['outcome']> {
    try {
      if (this.batch.status === 'validating' && !(await this.validate())) return null;
      await this.runAll();
      return 'completed';
    } catch (error) {
      const end = endOf(error);
      if (end === 'stopped') throw error;
      if (end !== null) return end;
      this.parts.log.error({ err: error, batch: this.batch.id }, 'a batch failed');
      const message = `the server could not read or run the batch (${causeText(error)}); its log says more`;
      await this.fail([{ code: 'internal_error', message, param: null, line: null }]);
      return null;
    }
  }

  private async validate(): Promise<boolean> {
    const { limits, nowS } = this.parts;
    const check = new BatchCheck(this.batch.endpoint, limits.maxLines);
    for await (const { number, text } of textLines(await this.content(), limits.maxLineBytes)) {
      this.ending.signal.throwIfAborted();
      if (!(text === null ? check.tooLong(number, limits.maxLineBytes) : check.add(text, number))) break;
    }
    check.end();
    if (check.problems.length > 0) {
      await this.fail(check.problems);
      return false;
    }
    this.ending.signal.throwIfAborted();
    const counts = { ...this.batch.counts, total: check.numLines };
    await this.kept.save({ ...withStatus(this.batch, 'in_progress', nowS()), counts, model: check.model });
    return true;
  }

  private async runAll(): Promise<void> {
    const { folder, ask, turns, limits, wrote } = this.parts;
    const rows = await RowFiles.open(await folder.rowsOf(this.batch.id), this.kept.persevere);
    const count = (): void => {
      const { numCompleted: completed, numFailed: failed, usage } = rows.tally;
      this.kept.batch = { ...this.batch, counts: { ...this.batch.counts, completed, failed }, usage };
    };
    count();
    try {
      await runLines({
        lines: this.openLines(rows.tally),
        concurrency: limits.concurrency,
        signal: this.ending.signal,
        send: async (line, id, signal) => {
          const over = await turns.take(signal);
          return ask(line, id, signal).finally(over);
        },
        write: async (row) => {
          await rows.write([row]);
          count();
          wrote(row);
        },
      });
    } catch (error) {
      const end = endOf(error);
      if (end === 'cancelled' || end === 'expired') await this.giveUp(end, rows);
      count();
      throw error;
    } finally {
      await rows.close();
    }
  }

  /** Each line has a row in the end. */
  private async giveUp(end: Exclude<End, 'stopped'>, rows: RowFiles): Promise<void> {
    const [code, message] = UNANSWERED[end];
    let group: Row[] = [];
    const flush = async (): Promise<void> => {
      await rows.write(group);
      for (const row of group) this.parts.wrote(row);
      group = [];
    };
    for await (const { customId } of this.openLines(rows.tally)) {
      const id = `batch_req_${this.batch.id.slice('batch_'.length)}_${rows.tally.customIds.size + group.length}`;
      if (group.push(rowOf(id, customId, { kind: 'unanswered', code, message })) >= ROWS_AT_ONCE) await flush();
    }
    await flush();
  }

  /** Those that have no row. */
  private async *openLines({ customIds }: RowTally): AsyncGenerator<BatchLine, void, undefined> {
    for await (const { number, text } of textLines(await this.content(), this.parts.limits.maxLineBytes)) {
      const line = readBatchLine(text ?? '', number, this.batch.endpoint);
      if ('problem' in line) throw new Error(`${line.problem.message} (it was another one before)`);
      if (!customIds.has(line.customId)) yield line;
    }
  }

  /** Rows become files of their owner. Again where a server died at it. */
  private async finalize(outcome: Exclude<BatchRecord['outcome'], null>): Promise<void> {
    const { folder, nowS, left } = this.parts;
    if (this.batch.outcome === null) {
      const isCancelled = outcome === 'cancelled';
      await this.kept.save({ ...(isCancelled ? this.batch : withStatus(this.batch, 'finalizing', nowS())), outcome });
    }
    const { id, owner, outputFileId, errorFileId, outputExpiresAfterS: afterS } = this.batch;
    const rows = await folder.rowsOf(id);
    const createdS = nowS();
    const file = {
      owner,
      purpose: 'batch_output',
      createdS,
      expiresS: afterS === null ? null : createdS + afterS,
    } as const;
    const publish = async (path: string, fileId: string, name: string): Promise<boolean> => {
      const found: StoredFile[] = [];
      await this.kept.persevere(async () => {
        const stored = await folder.publish(path, { ...file, id: fileId, filename: `${id}_${name}.jsonl` });
        if (stored !== null) found.push(stored);
      });
      for (const stored of found) left(stored);
      return found.length > 0;
    };
    const hasOutput = await publish(rows.output, outputFileId, 'output');
    const hasErrors = await publish(rows.errors, errorFileId, 'error');
    await this.kept.save({ ...withStatus(this.batch, outcome, nowS()), hasOutput, hasErrors });
    this.parts.log.info(
      { batch: id, ...this.batch.counts },
      `a batch ${outcome === 'completed' ? 'is' : 'was'} ${outcome}`,
    );
  }

  private fail(errors: readonly (Omit<LineProblem, 'code'> & { readonly code: string })[]): Promise<void> {
    const failed = withStatus(this.batch, 'failed', this.parts.nowS());
    return this.kept.save({ ...failed, errors: [...errors] });
  }

  private content(): Promise<AsyncIterable<Uint8Array>> {
    return this.parts.folder.read(this.batch.inputFileId);
  }

  private end(end: End): void {
    if (!isOver(this.batch)) this.ending.abort(new EndError(end));
  }
}

const endOf = (error: unknown): End | null => (error instanceof EndError ? error.end : null);
