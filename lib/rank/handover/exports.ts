/** Sequences of this rank whose keys and values others may read: leases, and who reads by them. */
import type { KvReader } from '../../../comm/kv/kv_link.js';
import { CommError } from '../../../comm/base/errors.js';
import type { KvCache, SequencePart } from '../../model/decoder/decoder.js';
import type { KvShape, LeaseOrder } from '../../protocol/handover.js';
import type { SequenceStart } from '../../protocol/step_plan.js';
import { Lease, leaseOver } from './lease.js';
import { readAlong } from './reading.js';
import type { RowsWatch } from './rows_watch.js';

/** Of one lease: so many who fail may still be there when the next one comes. */
const MAX_READERS = 4;

/** Where rows are read from. */
export interface ExportsParts {
  readonly cache: Pick<KvCache, 'readRows'>;
  readonly shape: KvShape;
}

/** The leases of one rank. What steps write is told by its executor. */
export class Exports implements RowsWatch {
  private readonly leases = new Map<string, Lease>();
  private readonly bySequence = new Map<number, readonly Lease[]>();

  constructor(private readonly parts: ExportsParts) {}

  /** Lets others read; what was told of the same lease before is replaced, and who reads goes on. */
  lease({ id, token, sequence, blocks, numTokens }: LeaseOrder): void {
    const lease = this.leases.get(id) ?? new Lease(token, sequence, this.parts.shape.numLayers);
    this.forget(lease);
    this.leases.set(id, lease);
    this.bySequence.set(sequence, [...(this.bySequence.get(sequence) ?? []), lease]);
    lease.sequence = sequence;
    lease.reset(blocks, numTokens);
  }

  /** Nothing is read any more by this lease. */
  release(id: string): void {
    const lease = this.leases.get(id);
    if (lease === undefined) return;
    this.leases.delete(id);
    this.forget(lease);
    lease.end();
  }

  /** Of all leases. */
  releaseAll(): void {
    for (const id of [...this.leases.keys()]) this.release(id);
  }

  /** What who reads by it must prove to know; null: it is not in force. */
  tokenOf(id: string): string | null {
    return this.leases.get(id)?.token ?? null;
  }

  /** Sends what it wants, as far as it is there, and the rest when it is. */
  onReader(id: string, reader: KvReader): void {
    const lease = this.leases.get(id);
    const refusal = lease === undefined ? leaseOver() : this.refusalOf(lease, reader);
    if (lease === undefined || refusal !== null) return reader.end(refusal);
    lease.readers.add(reader);
    reader.gone.addEventListener('abort', () => lease.leave(reader), { once: true });
    void readAlong(reader, lease, this.parts.cache);
  }

  /** A sequence begins, or begins anew. */
  began({ sequence, blocks, tokenIds }: Pick<SequenceStart, 'sequence' | 'blocks' | 'tokenIds'>): void {
    for (const lease of this.of(sequence)) lease.reset(blocks, tokenIds.length);
  }

  /** Rows are there that weren't. */
  wrote(layer: number | null, parts: readonly SequencePart[]): void {
    if (this.bySequence.size === 0) return;
    for (const { state, blocks, position, numTokens } of parts) {
      for (const lease of this.of(state!.sequence)) lease.wrote(layer, blocks, position + numTokens);
    }
  }

  /** Rows aren't there any more. */
  abandoned(parts: readonly SequencePart[]): void {
    for (const { state, position } of parts) for (const lease of this.of(state!.sequence)) lease.cut(position);
  }

  private of(sequence: number): readonly Lease[] {
    return this.bySequence.get(sequence) ?? [];
  }

  private forget(lease: Lease): void {
    const others = this.of(lease.sequence).filter((each) => each !== lease);
    if (others.length > 0) this.bySequence.set(lease.sequence, others);
    else this.bySequence.delete(lease.sequence);
  }

  private refusalOf({ readers }: Lease, { wish }: KvReader): CommError | null {
    const { numLayers, dtype, rowBytes } = this.parts.shape;
    if (wish.numLayers !== numLayers || wish.dtype !== dtype || wish.rowBytes !== rowBytes) {
      const other = `rows of ${wish.rowBytes} bytes of ${wish.dtype} in ${wish.numLayers} layers are wanted`;
      const own = `these are ${rowBytes} of ${dtype} in ${numLayers}`;
      return refusal('INVALID_ARGUMENT', `${other}, and ${own}; serve the same model with the same engine.kv_dtype`);
    }
    if (readers.size < MAX_READERS) return null;
    return refusal('LIMIT', `${MAX_READERS} read by this lease already; end one of them`);
  }
}

const refusal = (code: 'INVALID_ARGUMENT' | 'LIMIT', text: string): CommError =>
  new CommError(code, text, { phase: 'kv' });
