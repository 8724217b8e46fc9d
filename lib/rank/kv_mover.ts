/** A rank's part in moving sequences: blocks of its KV cache that go to other ranks beside a step, and those that come. */
import { setMaxListeners } from 'node:events';
import { CommError, remoteErrorOf } from '../../comm/base/errors.js';
import type { FrameKey } from '../../comm/mesh/frame.js';
import type { Frame, Mesh } from '../../comm/mesh/mesh.js';
import { InternalError } from '../../base/coded_error.js';
import { asRank } from '../../base/ids.js';
import type { KvCache } from '../model/decoder/decoder.js';
import type { KvPiece, KvReport, KvTransfer } from '../protocol/kv_transfer.js';
import type { StepPlan } from '../protocol/step_plan.js';

/** What a mover works with. */
export interface KvMoverParts {
  readonly cache: Pick<KvCache, 'read' | 'write'>;
  readonly mesh: Pick<Mesh, 'rank' | 'send' | 'receive'>;
  /** How long a frame is waited for. */
  readonly timeoutMs: number;
}

/** Blocks that travel beside a step. */
export interface KvMoving {
  /** The step is over: what came is in the cache. Null: nothing travels. Rejects with what the mesh says of a peer. */
  end(): Promise<KvReport | null>;
  /** The step failed. */
  abort(): void;
}

/** A block of which not all pieces have come. */
type Bytes = Uint8Array<ArrayBuffer>;

/** A transfer to this rank, as it came. */
interface Arrived extends Pick<Frame, 'payload' | 'release'> {
  readonly transfer: KvTransfer;
}

/** One per rank and job. */
export class KvMover {
  /** To which rank which block is on its way of which not all pieces have left: what it was when its first one did. */
  private readonly leaving = new Map<number, { readonly block: number; readonly bytes: Bytes }>();
  /** By block of this rank. */
  private readonly coming = new Map<number, Bytes>();

  constructor(private readonly parts: KvMoverParts) {}

  /** Sends what of this step leaves this rank, and begins to receive. */
  begin({ kv = [], step, epoch }: Pick<StepPlan, 'kv' | 'step' | 'epoch'>, signal?: AbortSignal): KvMoving {
    if (kv.length === 0) return NOTHING_MOVES;
    const { rank } = this.parts.mesh;
    const key: FrameKey = { phase: 'kv', step, epoch, layer: 0, microBatch: 0 };
    const failed = new AbortController();
    const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
    setMaxListeners(0, either); // each transfer listens
    const startMs = performance.now();
    const incoming = kv.filter(({ to }) => to === rank).map((transfer) => this.receive(transfer, key, either));
    const received = Promise.all(incoming);
    const sent = Promise.all(kv.filter(({ from }) => from === rank).map((transfer) => this.send(transfer, key)));
    const both = Promise.all([received, sent]);
    both.catch(() => undefined); // the step may fail first
    const sendMs = performance.now() - startMs;
    return {
      abort: () => failed.abort(),
      end: async () => {
        const endMs = performance.now();
        const [arrived] = await both;
        return { ...this.store(arrived), stallMs: sendMs + performance.now() - endMs };
      },
    };
  }

  /** Blocks that the head took back: what came of them is forgotten. */
  forget(blocks: readonly number[]): void {
    if (this.coming.size > 0) for (const block of blocks) this.coming.delete(block);
  }

  /** Nothing moves any more that did: the head begins anew. */
  drop(): void {
    this.leaving.clear();
    this.coming.clear();
  }

  /** A rank that can't read says so with an empty frame, so that nobody waits. */
  private async send({ to, pieces }: KvTransfer, key: FrameKey): Promise<void> {
    // All are read from the cache as it is now, before the step changes it.
    const reading = Promise.all(pieces.map((piece) => this.read(to, piece)));
    const payload = await reading.catch((): Bytes[] => []);
    const { rank } = this.parts.mesh;
    const payloadBytes = payload.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const route = { ...key, source: rank, destination: asRank(to) };
    const shape = { numRows: payload.length, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes } as const;
    this.parts.mesh.send(asRank(to), { ...route, ...shape }, payload);
  }

  private async read(to: number, { source, start, end, numBytes }: KvPiece): Promise<Bytes> {
    const known = start === 0 ? undefined : this.leaving.get(to);
    const bytes = known?.block === source ? known.bytes : await this.parts.cache.read(source);
    if (end < numBytes) this.leaving.set(to, { block: source, bytes });
    else if (known !== undefined) this.leaving.delete(to);
    return bytes.subarray(start, end);
  }

  private async receive(transfer: KvTransfer, key: FrameKey, signal: AbortSignal): Promise<Arrived> {
    const { mesh, timeoutMs } = this.parts;
    const { payload, release } = await mesh.receive(asRank(transfer.from), key, { timeoutMs, signal });
    return { transfer, payload, release };
  }

  private store(arrived: readonly Arrived[]): Omit<KvReport, 'stallMs'> {
    const failed: KvReport['failed'][number][] = [];
    let receivedBytes = 0;
    for (const { transfer, payload, release } of arrived) {
      try {
        if (payload.byteLength !== numBytesOf(transfer)) throw cannotSend(transfer);
        this.place(transfer.pieces, payload);
        receivedBytes += payload.byteLength;
      } catch (error) {
        failed.push({ from: transfer.from, error: remoteErrorOf(error) });
      } finally {
        release?.();
      }
    }
    return { receivedBytes, failed };
  }

  private place(pieces: readonly KvPiece[], payload: Bytes): void {
    let at = 0;
    for (const { target, start, end, numBytes } of pieces) {
      const bytes = payload.subarray(at, at + end - start);
      at += end - start;
      if (bytes.byteLength === numBytes) this.parts.cache.write(target, bytes);
      else this.gather(target, start, bytes, numBytes);
    }
  }

  private gather(target: number, start: number, bytes: Bytes, numBytes: number): void {
    const block = start === 0 ? new Uint8Array(numBytes) : this.coming.get(target);
    if (block?.byteLength !== numBytes) throw new InternalError(`block ${target} comes from its byte ${start} on`);
    block.set(bytes, start);
    if (start + bytes.byteLength < numBytes) {
      this.coming.set(target, block);
      return;
    }
    this.coming.delete(target);
    this.parts.cache.write(target, block);
  }
}

const NOTHING_MOVES: KvMoving = { end: () => Promise.resolve(null), abort: () => undefined };

const numBytesOf = ({ pieces }: KvTransfer): number => pieces.reduce((sum, { start, end }) => sum + end - start, 0);

const cannotSend = ({ from }: KvTransfer): CommError =>
  new CommError('PEER_FAILED', `rank ${from} could not send blocks of its KV cache; look at the log of rank ${from}`, {
    rank: asRank(from),
    phase: 'kv',
  });
