/**
 * The rows that a dispatch brought, in the parts in which they came, until somebody says where they should be. N rows, H channels.
 * Why: docs/decisions/exchange.md#rows-are-copied-once
 */
import { copyFloatRows, floatRows, type FloatRows } from '../../../base/float_rows.js';
import { leaseFloats, type LeasedFloats, type PayloadMemory } from '../../mesh/payload_pool.js';
import { checkTarget, invalid } from './all_to_all_check.js';
import type { ArrivedBySource } from './route.js';

/** Frames, and the own rows where they lie: they are copied once, or put together where nobody says where to. */
export class ReceivedParts {
  readonly numRows: number;
  private together: LeasedFloats | undefined;
  private isReleased = false;

  constructor(
    private readonly bySource: ArrivedBySource,
    private readonly hidden: number,
    private readonly memory: PayloadMemory,
  ) {
    this.numRows = bySource.reduce((sum, part) => sum + (part?.numRows ?? 0), 0);
  }

  /** All rows [N·H] in memory of their own, which takes the place of the parts. @throws CommError INVALID_ARGUMENT when they were released before */
  floats(): Float32Array {
    if (this.together === undefined) {
      this.checkHeld();
      const lease = leaseFloats(this.memory, this.numRows * this.hidden);
      this.copyParts(floatRows(lease.floats, this.hidden));
      this.together = lease;
      this.releaseParts();
    }
    return this.together.floats;
  }

  /** Writes all rows to the first ones of `target`. @throws CommError INVALID_ARGUMENT when there is no room, or the rows were released */
  copyTo(target: FloatRows): void {
    checkTarget('target', target, this.numRows, this.hidden);
    this.checkHeld();
    if (this.together === undefined) this.copyParts(target);
    else copyFloatRows(floatRows(this.together.floats, this.hidden), target);
  }

  /** Whether the floats are a part of {@link floats}. */
  isIn(floats: Float32Array): boolean {
    return this.together?.floats.buffer === floats.buffer;
  }

  /** Idempotent. `isLent`: what {@link floats} gave is still on its way, and stays. */
  release(isLent: boolean): void {
    if (!isLent) this.together?.release();
    if (!this.isReleased) this.releaseParts();
    this.isReleased = true;
  }

  private copyParts(target: FloatRows): void {
    let row = 0;
    for (const part of this.bySource) {
      part?.copyTo(target, row);
      row += part?.numRows ?? 0;
    }
  }

  private releaseParts(): void {
    for (const part of this.bySource) part?.release?.();
  }

  private checkHeld(): void {
    if (this.isReleased) throw invalid('the rows of this dispatch were released; use them before');
  }
}
