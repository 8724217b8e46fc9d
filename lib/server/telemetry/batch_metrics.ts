/** Batches of requests, and their lines. */
import type { BatchCounts } from '../base/batch_counts.js';
import type { Level, SeriesMaker, Total } from './series.js';

/** Reads what was counted when it is asked to. */
export class BatchMetrics {
  private readonly batches: Level<'status'>;
  private readonly lines: Total<'outcome'>;

  /** `prefix`: of the names. */
  constructor(make: SeriesMaker, prefix: string) {
    this.batches = make.level(`${prefix}batches`, 'Batches that are kept, by their status.', 'status');
    this.lines = make.total(
      `${prefix}batch_requests_total`,
      'Requests of batches that have a row, by outcome: completed, failed.',
      'outcome',
    );
  }

  /** Takes over what was counted. */
  update({ batches, numCompleted, numFailed }: BatchCounts): void {
    this.batches.setAll([...batches].map(([status, count]) => [{ status }, count]));
    this.lines.setAll([
      [{ outcome: 'completed' }, numCompleted],
      [{ outcome: 'failed' }, numFailed],
    ]);
  }
}
