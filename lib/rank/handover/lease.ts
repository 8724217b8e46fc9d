/** What others may read of one sequence of this rank. Why: docs/decisions/handover.md#what-is-there-each-layer-knows */
import { CommError } from '../../../comm/base/errors.js';
import type { KvReader } from '../../../comm/kv/kv_link.js';

/** Which rows are there, and who reads them. */
export class Lease {
  readonly readers = new Set<KvReader>();
  private readonly numWritten: number[];
  private table: readonly number[] = [];
  private hasEnded = false;
  private waking: (() => void)[] = [];

  /** `sequence`: another one, where the lease is told again. */
  constructor(
    readonly token: string,
    public sequence: number,
    numLayers: number,
  ) {
    this.numWritten = new Array<number>(numLayers).fill(0);
  }

  /** In order of position: enough for all that is there. */
  get blocks(): readonly number[] {
    return this.table;
  }

  /** By attention layer: tokens whose rows are there. */
  get written(): readonly number[] {
    return this.numWritten;
  }

  /** Nothing may be read any more. */
  get isOver(): boolean {
    return this.hasEnded;
  }

  /** Resolves when any of these has changed, or a reader has left. */
  news(): Promise<void> {
    return new Promise((resolve) => void this.waking.push(resolve));
  }

  /** These tokens are there, and no others. */
  reset(blocks: readonly number[], numTokens: number): void {
    this.table = [...blocks];
    this.numWritten.fill(numTokens);
    this.wake();
  }

  /** So many tokens are there; `layer` null: in all of them. */
  wrote(layer: number | null, blocks: readonly number[], numTokens: number): void {
    this.table = blocks; // the executor's own, which keeps those of all that is written
    if (layer === null) this.numWritten.fill(numTokens);
    else this.numWritten[layer] = numTokens;
    this.wake();
  }

  /** Blocks of the tokens from `position` on may become others'. */
  cut(position: number): void {
    for (const [layer, numTokens] of this.numWritten.entries()) this.numWritten[layer] = Math.min(numTokens, position);
  }

  /** A reader has left. */
  leave(reader: KvReader): void {
    this.readers.delete(reader);
    this.wake();
  }

  /** It is released. */
  end(): void {
    this.hasEnded = true;
    for (const reader of this.readers) reader.end(leaseOver());
    this.wake();
  }

  private wake(): void {
    const { waking } = this;
    this.waking = [];
    for (const each of waking) each();
  }
}

/** What a reader hears whose lease is over, or that comes too late. */
export const leaseOver = (): CommError =>
  new CommError('CLOSED', 'the lease is over; ask its head whether the sequence goes on there', { phase: 'kv' });
